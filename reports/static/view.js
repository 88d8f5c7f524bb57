/* What is shown: the filters, the reader's choices, and the address that keeps both. */
import { coded, data, value } from "./data.js";
import { byId, el } from "./dom.js";
import { isImplementation } from "./implementations.js";

/** A facet's key in the address, its label, and the column that it filters. */
export const FACETS = [
  ["impl", "Implementation", "implementation"],
  ["phase", "Phase", "phase"],
  ["mask", "Mask", "mask"],
  ["dtype", "Dtype", "dtype"],
  ["dir", "Direction", "direction"],
  ["layout", "Layout", "layout_kind"],
  ["status", "Status", "status"],
  ["len", "Length", "length"],
  ["run", "Run", "run_index"],
];
const columns = new Map(FACETS.map(([key, , column]) => [key, coded(column)]));
const values = new Map(
  FACETS.map(([key]) => [
    key,
    key === "impl" ? data.implementations : (columns.get(key)?.values ?? []).map(String),
  ]),
);

/**
 * Every value of a facet.
 * @param {string} key
 */
export const valuesOf = (key) => values.get(key) ?? [];

/**
 * What a facet hides until someone asks for it: older runs of a machine.
 * @param {string} key
 * @returns {Set<string>}
 */
const usual = (key) =>
  new Set(key === "run" ? valuesOf("run").filter((place) => !data.current.includes(Number(place))) : []);

const hidden = new Map(FACETS.map(([key]) => [key, usual(key)]));

/**
 * What a facet hides.
 * @param {string} key
 */
export const hiddenOf = (key) => hidden.get(key) ?? new Set();

/** @param {string} key */
export const isUsual = (key) => {
  const now = hiddenOf(key),
    then = usual(key);
  return now.size === then.size && [...then].every((one) => now.has(one));
};

export const view = { measure: "time", ref: data.reference, q: "", sort: "", page: 0, shown: data.count };

/** For each row 1 where it passes every filter. */
export const visible = new Uint8Array(data.count);

const filter = () => {
  visible.fill(1);
  for (const [key] of FACETS) {
    const hides = hiddenOf(key),
      column = columns.get(key);
    if (!hides.size || !column) continue;
    const bad = column.values.map((one) => hides.has(String(one)));
    for (let row = 0; row < data.count; row += 1) if (bad[column.codes[row]]) visible[row] = 0;
  }
  view.shown = visible.reduce((sum, one) => sum + one, 0);
};

/**
 * A history shows all runs: every filter but that of the run.
 * @param {number} row
 */
export const visibleInAnyRun = (row) =>
  FACETS.every(([key, , column]) => key === "run" || !hiddenOf(key).has(String(value(column, row))));

/** The rows that pass every filter. */
export function* visibleRows() {
  for (let row = 0; row < data.count; row += 1) if (visible[row]) yield row;
}

/* Everything that can be shared stands behind the #, as key=value pairs; a section's own anchor is kept. */
export const writeAddress = () => {
  const parts = new URLSearchParams();
  for (const [key] of FACETS) {
    if (isUsual(key)) continue;
    const hides = hiddenOf(key),
      kept = valuesOf(key).filter((one) => !hides.has(one));
    if (!hides.size || kept.length <= hides.size)
      for (const one of kept.length ? kept : [""]) parts.append(key, one);
    else for (const one of hides) parts.append(`${key}!`, one);
  }
  if (view.measure !== "time") parts.set("measure", view.measure);
  if (view.ref && view.ref !== data.reference) parts.set("ref", view.ref);
  if (view.q) parts.set("q", view.q);
  if (view.sort) parts.set("sort", view.sort);
  history.replaceState(null, "", parts.size ? `#${parts}` : location.pathname + location.search);
};

export const readAddress = () => {
  const parts = new URLSearchParams(location.hash.slice(1));
  for (const [key] of FACETS) {
    const kept = parts.getAll(key),
      without = parts.getAll(`${key}!`);
    if (kept.length) hidden.set(key, new Set(valuesOf(key).filter((one) => !kept.includes(one))));
    else hidden.set(key, without.length ? new Set(without) : usual(key));
  }
  const ref = parts.get("ref");
  view.measure = parts.get("measure") || "time";
  view.ref = ref && isImplementation(ref) ? ref : data.reference;
  view.q = parts.get("q") || "";
  view.sort = parts.get("sort") || "";
  view.page = 0;
};

/** @type {(() => void)[]} */
const listeners = [];

/**
 * Call these after each change of what is shown.
 * @param {...(() => void)} added
 */
export const listen = (...added) => listeners.push(...added);

/** Apply the filters to everything. */
export const update = ({ address = true } = {}) => {
  filter();
  if (address) writeAddress();
  for (const listener of listeners) listener();
};

/**
 * Hide these values of a facet.
 * @param {string} key
 * @param {Iterable<string>} hides
 */
export const hide = (key, hides) => {
  hidden.set(key, new Set(hides));
  view.page = 0;
  update();
};

/** Show what a page shows when it is opened. */
export const reset = () => {
  for (const [key] of FACETS) hidden.set(key, usual(key));
  update();
};

/**
 * Places of which a reader asked to see all.
 * @type {Set<string>}
 */
const expanded = new Set();

/**
 * How many entries a place shows: `first`, or all once the reader asked.
 * @param {string} key
 * @param {number} first
 */
export const cap = (key, first) => (expanded.has(key) ? Infinity : first);

/**
 * The button that shows the rest, as a list that is empty where there is none.
 * @param {string} key
 * @param {number} rest
 * @param {string} what
 */
export const more = (key, rest, what) => {
  const onclick = () => {
    expanded.add(key);
    update({ address: false });
  };
  return rest > 0 ? [el("button", { type: "button", class: "more", onclick }, `Show ${rest} more ${what}`)] : [];
};

/** Show what the address says, where it says anything of the view. */
export const followAddress = () => {
  if (location.hash && !location.hash.includes("=")) return;
  readAddress();
  /** @type {HTMLInputElement} */ (byId("search")).value = view.q;
  update({ address: false });
};
