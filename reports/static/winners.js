/* The map of the fastest implementation that is right. */
import { data, known, text } from "./data.js";
import { detail } from "./detail.js";
import { byId, el } from "./dom.js";
import { length, show } from "./figures.js";
import { glyph, style } from "./implementations.js";
import { cap, listen, more, view, visible } from "./view.js";

/**
 * The fastest visible row of a cell.
 * @param {number[]} rows
 */
const leaderOf = (rows) => rows.find((row) => visible[row]);

/**
 * Its speed-up over the reference, where the reference was timed in the same case.
 * @param {number[]} rows
 * @param {number} leader
 */
const speedup = (rows, leader) => {
  const other = rows.find((row) => text("implementation", row) === view.ref);
  return other === undefined || other === leader ? null : known("median_ns", other) / known("median_ns", leader);
};

/**
 * @param {number[]} rows
 * @param {number} leader
 */
const ties = (rows, leader) =>
  rows.filter((row) => row !== leader && visible[row] && known("low_ns", row) <= known("high_ns", leader));

/** @param {number[]} rows */
const cell = (rows) => {
  const leader = leaderOf(rows);
  if (leader === undefined) return null;
  const name = text("implementation", leader),
    equal = ties(rows, leader),
    ratio = speedup(rows, leader),
    time = show(known("median_ns", leader), "time");
  const said = [
    name,
    time,
    ...(ratio === null ? [] : [`${show(ratio, "ratio")} the speed of ${view.ref}`]),
    ...(equal.length ? [`ties with ${equal.map((row) => text("implementation", row)).join(", ")}`] : []),
  ].join(", ");
  return el(
    "button",
    {
      type: "button",
      style: `--cell:var(${style(name).color})`,
      title: said,
      "aria-label": `${text("case", leader)}: ${said}`,
      onclick: () => detail(leader),
    },
    el("span", { class: "name" }, glyph(name), " ", name),
    el("span", { class: "fact" }, ratio === null ? time : show(ratio, "ratio"), equal.length ? " ≈" : ""),
  );
};

const winners = () => {
  const place = byId("winners");
  const shown = data.winners
    .map((row) => ({ ...row, cells: row.cells.filter(([, rows]) => leaderOf(rows) !== undefined) }))
    .filter(({ cells }) => cells.length);
  if (!shown.length)
    return place.replaceChildren(el("p", { class: "note" }, "No record that is shown is both right and timed."));
  const lengths = [...new Set(shown.flatMap(({ cells }) => cells.map(([at]) => at)))].sort((a, b) => a - b);
  const head = lengths.map((at) => el("th", { scope: "col" }, length(at)));
  const most = cap("winners", 16);
  const body = shown.slice(0, most).map(({ series, run, cells }) =>
    el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        series,
        data.runs.length > 1 ? el("div", { class: "note" }, data.runs[run]) : null,
      ),
      ...lengths.map((at) => {
        const found = cells.filter(([mine]) => mine === at).map(([, rows]) => cell(rows));
        return el("td", {}, ...(found.length ? found : [el("div", { class: "none" }, "")]));
      }),
    ),
  );
  place.replaceChildren(
    el(
      "table",
      { class: "winners" },
      el("thead", {}, el("tr", {}, el("td", {}), ...head)),
      el("tbody", {}, ...body),
    ),
    ...more("winners", shown.length - most, "shapes"),
  );
};

export const startWinners = () => listen(winners);
