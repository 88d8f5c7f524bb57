/* The table of all records: its search, its order and its pages. */
/** @import { Kind, NumberColumn, TextColumn } from "./payload.js" */
import { coded, known, number, text, value } from "./data.js";
import { detail } from "./detail.js";
import { all, byId, el } from "./dom.js";
import { exportCsv, exportJson } from "./download.js";
import { grouped, show, span } from "./figures.js";
import { glyph } from "./implementations.js";
import { speed } from "./reference.js";
import { listen, view, visibleRows, writeAddress } from "./view.js";

/** @type {[name: string, label: string, kind?: Kind][]} */
const COLUMNS = [
  ["implementation", "implementation"],
  ["case", "case"],
  ["status", "status"],
  ["median_ns", "median", "time"],
  ["interval", "95% interval"],
  ["speedup", "speed-up", "ratio"],
  ["tflop_s", "rate", "rate"],
  ["peak_bytes", "memory", "bytes"],
  ["first_call_ns", "first call", "time"],
  ["share_of_budget", "error/budget", "plain"],
];
/** @type {TextColumn[]} */
const SEARCHED = ["implementation", "case", "status", "reason", "notes", "series"];
const PAGE = 50;
const UNRANKED = 1e9;

/**
 * What a column sorts by.
 * @param {string} name
 * @param {number} row
 */
const key = (name, row) => {
  if (name === "speedup") return speed(row);
  return name === "interval" ? number("high_ns", row) : value(name, row);
};

/**
 * The visible rows that hold what is searched for.
 * @param {string} needle
 */
const searched = (needle) => {
  if (!needle) return [...visibleRows()];
  const hits = SEARCHED.map((name) => {
    const { codes, values } = coded(name);
    return { codes, found: values.map((one) => String(one).toLowerCase().includes(needle)) };
  });
  return [...visibleRows()].filter((row) => hits.some(({ codes, found }) => found[codes[row]]));
};

/**
 * The order by a column; rows without a value come last in either direction.
 * @param {string} name
 * @param {boolean} down
 * @param {number[]} rows
 */
const byColumn = (name, down, rows) => {
  const keys = new Map(rows.map((row) => [row, key(name, row)]));
  return (/** @type {number} */ a, /** @type {number} */ b) => {
    const x = keys.get(a) ?? null,
      y = keys.get(b) ?? null;
    if (x === y) return a - b;
    if (x === null) return 1;
    if (y === null) return -1;
    return (x < y ? -1 : 1) * (down ? -1 : 1);
  };
};

/** @type {(a: number, b: number) => number} */
const byCase = (a, b) => {
  const { codes } = coded("case");
  return (
    known("run_index", a) - known("run_index", b) ||
    codes[a] - codes[b] ||
    (number("rank", a) ?? UNRANKED) - (number("rank", b) ?? UNRANKED) ||
    a - b
  );
};

/** The rows of all pages, in their order. */
const tableRows = () => {
  const rows = searched(view.q.toLowerCase()),
    down = view.sort.startsWith("-"),
    name = view.sort.replace("-", "");
  return rows.sort(COLUMNS.some(([one]) => one === name) ? byColumn(name, down, rows) : byCase);
};

/**
 * @param {string} name
 * @param {Kind | undefined} kind
 * @param {number} row
 */
const cell = (name, kind, row) => {
  if (name === "implementation") {
    const implementation = text("implementation", row);
    return el("td", {}, glyph(implementation), " ", implementation);
  }
  if (name === "case")
    return el("td", {}, el("button", { type: "button", onclick: () => detail(row) }, text("case", row)));
  if (name === "status")
    return el("td", { class: text("status", row), title: text("reason", row) || null }, text("status", row));
  if (name === "interval")
    return el("td", { class: "n" }, span(number("low_ns", row), number("high_ns", row), "time"));
  const shown = show(
    name === "speedup" ? speed(row) : number(/** @type {NumberColumn} */ (name), row),
    kind ?? "plain",
  );
  if (name !== "median_ns" || number("rank", row) !== 0) return el("td", { class: "n" }, shown);
  const mark = el("span", { "aria-label": ", fastest of its case" }, " ◂");
  return el("td", { class: "n best", title: "fastest of its case" }, shown, mark);
};

/** @param {string} name */
const sort = (name) => {
  if (view.sort === name) view.sort = `-${name}`;
  else view.sort = view.sort === `-${name}` ? "" : name;
  view.page = 0;
  writeAddress();
  table();
  all(`#table [data-sort="${name}"]`)[0].focus();
};

const head = () =>
  el(
    "tr",
    {},
    ...COLUMNS.map(([name, label, kind]) => {
      const order = { [name]: "ascending", [`-${name}`]: "descending" }[view.sort] ?? "none";
      return el(
        "th",
        { scope: "col", class: kind || name === "interval" ? "n" : null, "aria-sort": order },
        el("button", { type: "button", "data-sort": name, onclick: () => sort(name) }, label),
      );
    }),
  );

/** @param {number} by */
const turn = (by) => () => {
  view.page += by;
  table();
};

const table = () => {
  const rows = tableRows(),
    pages = Math.max(1, Math.ceil(rows.length / PAGE));
  view.page = Math.min(view.page, pages - 1);
  const first = view.page * PAGE,
    slice = rows.slice(first, first + PAGE);
  const body = slice.map((row) =>
    el("tr", { "data-row": row }, ...COLUMNS.map(([name, , kind]) => cell(name, kind, row))),
  );
  byId("table").replaceChildren(el("table", {}, el("thead", {}, head()), el("tbody", {}, ...body)));
  byId("pages").replaceChildren(
    el("button", { type: "button", disabled: !view.page, onclick: turn(-1) }, "Previous"),
    `${rows.length ? first + 1 : 0} to ${first + slice.length} of ${grouped(rows.length)}`,
    el("button", { type: "button", disabled: view.page >= pages - 1, onclick: turn(1) }, "Next"),
  );
};

export const startRecords = () => {
  const search = /** @type {HTMLInputElement} */ (byId("search"));
  search.value = view.q;
  search.addEventListener("input", () => {
    view.q = search.value;
    view.page = 0;
    writeAddress();
    table();
  });
  byId("csv").addEventListener("click", () => exportCsv(tableRows()));
  byId("json").addEventListener("click", () => exportJson(tableRows()));
  listen(table);
};
