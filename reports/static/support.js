/* What runs where: how the cases of each kind ended, and the reasons for those that were refused or broke. */
import { data, text } from "./data.js";
import { byId, el } from "./dom.js";
import { grouped } from "./figures.js";
import { glyph } from "./implementations.js";
import { cap, listen, more, visibleRows } from "./view.js";

/** @type {Record<string, string>} */
const KINDS = {
  PASSED: "yes",
  WRONG: "wrong",
  UNSUPPORTED: "no",
  UNAVAILABLE: "no",
  ERROR: "broke",
  CRASHED: "broke",
  TIMEOUT: "broke",
  OUT_OF_MEMORY: "broke",
};
/** A kind's mark and what it says of cases. */
const MARKS = Object.entries({
  yes: ["✓", "agree"],
  wrong: ["✕", "disagree"],
  no: ["–", "not run"],
  broke: ["!", "broke"],
});

/**
 * @typedef {{ name: string, status: string, why: string, cases: number }} Reason
 * @typedef {Map<string, number>} Counts How many cases ended in each kind.
 */

/**
 * Words for the kind of a row's case, in their order.
 * @param {number} row
 */
const columnOf = (row) => {
  const layout = text("layout_kind", row),
    direction = text("direction", row);
  return [
    layout === "dense" ? "" : layout,
    text("mask_kind", row),
    text("phase", row),
    direction === "fwd" ? "" : direction,
    text("dtype", row),
  ]
    .filter((word) => word)
    .join(" ");
};

const counted = () => {
  /** @type {Map<string, Map<string, Counts>>} */
  const columns = new Map();
  /** @type {Map<string, Reason>} */
  const reasons = new Map();
  for (const row of visibleRows()) {
    const [name, status, why] = [text("implementation", row), text("status", row), text("reason", row)];
    const column = columnOf(row),
      kind = KINDS[status];
    const names = columns.get(column) ?? new Map(),
      counts = names.get(name) ?? new Map();
    columns.set(column, names.set(name, counts.set(kind, (counts.get(kind) ?? 0) + 1)));
    if (kind !== "no" && kind !== "broke") continue;
    const key = [name, status, why].join("\n");
    reasons.set(key, { name, status, why, cases: (reasons.get(key)?.cases ?? 0) + 1 });
  }
  return { columns, reasons: [...reasons.values()].sort((a, b) => b.cases - a.cases) };
};

/** @param {Counts} [counts] */
const cell = (counts = new Map()) => {
  const found = MARKS.filter(([kind]) => counts.get(kind));
  return el(
    "td",
    { title: found.map(([kind, [, said]]) => `${counts.get(kind)} ${said}`).join(", ") },
    ...found.flatMap(([kind, [mark]], place) => [
      place ? " " : "",
      el("span", { class: kind }, `${counts.get(kind)}`, el("span", { "aria-hidden": "true" }, mark)),
    ]),
  );
};

/** @param {Reason} reason */
const reasonItem = ({ name, status, why, cases }) =>
  el(
    "li",
    {},
    glyph(name),
    " ",
    el("b", {}, name),
    " ",
    el("span", { class: status }, status),
    ` on ${cases === 1 ? "1 case" : `${grouped(cases)} cases`}: `,
    why,
  );

const support = () => {
  const { columns, reasons } = counted();
  const names = data.implementations.filter((name) => [...columns.values()].some((counts) => counts.has(name)));
  const head = [...columns.keys()].map((column) =>
    el(
      "th",
      { scope: "col", class: "n" },
      ...column.split(" ").flatMap((word, place) => (place ? [el("br", {}), word] : [word])),
    ),
  );
  const body = names.map((name) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, glyph(name), " ", name),
      ...[...columns.values()].map((counts) => cell(counts.get(name))),
    ),
  );
  byId("matrix").replaceChildren(
    el(
      "table",
      { class: "matrix" },
      el("thead", {}, el("tr", {}, el("td", {}), ...head)),
      el("tbody", {}, ...body),
    ),
  );
  const most = cap("reasons", 12);
  byId("reasons").replaceChildren(
    el("ul", { class: "facts" }, ...reasons.slice(0, most).map(reasonItem)),
    ...more("reasons", reasons.length - most, "reasons"),
  );
};

export const startSupport = () => listen(support);
