/* Speed-ups over the implementation that the reader chose. */
import { data, known, number, text } from "./data.js";
import { view } from "./view.js";

/** @type {{ ref: string | null, rows: Map<string, number> }} */
const found = { ref: null, rows: new Map() };

/** @param {number} row */
const sameCase = (row) => `${known("run_index", row)}\n${text("case", row)}`;

/**
 * The reference's row in the same run and case, where both are right and timed.
 * @param {number} row
 */
export const referenceRow = (row) => {
  if (found.ref !== view.ref) {
    found.ref = view.ref;
    found.rows.clear();
    for (let one = 0; one < data.count; one += 1)
      if (text("implementation", one) === view.ref && number("rank", one) !== null)
        found.rows.set(sameCase(one), one);
  }
  return number("rank", row) === null ? undefined : found.rows.get(sameCase(row));
};

/**
 * The reference's time over the row's.
 * @param {number} row
 */
export const speed = (row) => {
  const other = referenceRow(row);
  return other === undefined ? null : known("median_ns", other) / known("median_ns", row);
};

/**
 * A speed-up's interval has both medians at the far ends of theirs; the reference against itself has none.
 * @param {number} row
 * @returns {[number, number] | null}
 */
export const speedBounds = (row) => {
  const other = referenceRow(row);
  if (other === undefined) return null;
  if (other === row) return [1, 1];
  return [known("low_ns", other) / known("high_ns", row), known("high_ns", other) / known("low_ns", row)];
};
