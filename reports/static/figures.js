/* Numbers as every other report shows them: Python's table says how, see `figure_table` in the module of units. */
/** @import { Kind } from "./payload.js" */
import { data } from "./data.js";

const { digits: DIGITS, units: UNITS, none: NONE } = data.figures;

/**
 * The last row of a table that is for numbers of this size.
 * @template {[least: number, ...rest: unknown[]]} Row
 * @param {Row[]} rows
 * @param {number} value
 */
const fitting = (rows, value) => rows.findLast(([least]) => Math.abs(value) >= least) ?? rows[0];

/** @param {number} value */
export const digits = (value) => {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "-∞";
  const [, divisor, decimals, ending] = fitting(DIGITS, value);
  return (value / divisor).toFixed(decimals) + ending;
};

/**
 * A number with its unit, a dash where there is none.
 * @param {number | null} value
 * @param {Kind} kind
 */
export const show = (value, kind) => {
  if (value === null) return NONE;
  const [, size, unit] = fitting(UNITS[kind], value);
  return digits(value / size) + unit;
};

/**
 * An interval in the unit of its upper end.
 * @param {number | null} low
 * @param {number | null} high
 * @param {Kind} kind
 */
export const span = (low, high, kind) => {
  if (low === null || high === null) return NONE;
  const [, size, unit] = fitting(UNITS[kind], high);
  return `${digits(low / size)} to ${digits(high / size)}${unit}`;
};

/**
 * A label of an axis: without zeros that say nothing.
 * @param {number} value
 * @param {Kind} kind
 */
export const tick = (value, kind) =>
  show(value, kind)
    .replace(/(\.\d*?)0+(?=\D|$)/, "$1")
    .replace(/\.(?=\D|$)/, "");

/** @param {number | string} tokens */
export const length = (tokens) => data.lengths[tokens] ?? String(tokens);

/** @param {number} number */
export const grouped = (number) => number.toLocaleString("en");
