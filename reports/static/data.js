/* The payload: every record once, by column. Python computed each figure, rank and group; the page selects. */
/** @import { NumberColumn, Payload, Real, TextColumn } from "./payload.js" */
import { byId } from "./dom.js";

/** @type {Payload} */
export const data = JSON.parse(byId("payload").textContent);

/** @type {Record<string, number>} */
const WORDS = { inf: Infinity, "-inf": -Infinity, nan: NaN };

/**
 * JSON's words for what is not finite, as numbers.
 * @param {Real[]} column
 * @returns {(number | null)[]}
 */
const numeric = (column) => column.map((value) => (typeof value === "string" ? WORDS[value] : value));

const texts = Object.fromEntries(
  Object.entries(data.texts).map(([name, { codes, values }]) => [
    name,
    { codes: codes === 0 ? new Uint8Array(data.count) : codes, values },
  ]),
);
/** @type {Record<string, (number | null)[]>} */
const numbers = Object.fromEntries(
  Object.entries(data.numbers).map(([name, column]) => [
    name,
    column === null ? new Array(data.count).fill(null) : numeric(column),
  ]),
);

/** Names of every column, for a download. */
export const COLUMNS = [...Object.keys(texts), ...Object.keys(numbers)];

/** For each family of inputs the share of its budget that each row's error takes, or null. */
export const shares = Object.entries(data.shares).map(
  /** @returns {[string, (number | null)[]]} */
  ([family, column]) => [family, numeric(column)],
);

/**
 * A text of a row.
 * @param {TextColumn} name
 * @param {number} row
 */
export const text = (name, row) => texts[name].values[texts[name].codes[row]];

/**
 * A number of a row, null where there is none.
 * @param {NumberColumn} name
 * @param {number} row
 */
export const number = (name, row) => numbers[name][row];

/**
 * A number that every such row has, such as the median of one that was timed.
 * @param {NumberColumn} name
 * @param {number} row
 */
export const known = (name, row) => /** @type {number} */ (numbers[name][row]);

/**
 * Whatever stands in a column.
 * @param {string} name
 * @param {number} row
 */
export const value = (name, row) =>
  name in texts ? text(/** @type {TextColumn} */ (name), row) : number(/** @type {NumberColumn} */ (name), row);

/**
 * The codes of a column's rows, and what each code stands for.
 * @param {string} name
 * @returns {{ codes: ArrayLike<number>, values: (string | number)[] }}
 */
export const coded = (name) => {
  if (name in texts) return texts[name];
  const held = /** @type {number[]} */ (numbers[name]);
  const values = [...new Set(held)].sort((a, b) => a - b);
  const places = new Map(values.map((one, place) => [one, place]));
  return { codes: held.map((one) => /** @type {number} */ (places.get(one))), values };
};

/**
 * The label of a run.
 * @param {number} row
 */
export const runLabel = (row) => data.runs[known("run_index", row)];

/**
 * Raw samples in nanoseconds, in the order in which they were taken.
 * @param {number} row
 */
export const samples = (row) => data.permille[row].map((part) => known("median_ns", row) * (1 + part / 1000));

/**
 * The shell's words for a record: what repeats its check, or what times it.
 * @param {"check" | "time"} what
 * @param {number} row
 */
export const command = (what, row) => {
  const shown = {
    impl: text("implementation", row),
    case: text("example", row) || text("case", row),
    seed: String(known("seed", row)),
  };
  const template = data.commands[known("run_index", row)][what];
  return template.replace(/\{(impl|case|seed)\}/g, (_, name) => {
    const word = shown[/** @type {keyof typeof shown} */ (name)];
    return data.quoted[word] ?? word;
  });
};
