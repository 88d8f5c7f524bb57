/* Downloads: what the table shows, all pages, raw numbers. */
import { COLUMNS, command, runLabel, samples, value } from "./data.js";
import { el } from "./dom.js";
import { speed } from "./reference.js";
import { view } from "./view.js";

/** @typedef {string | number | number[] | null} Held */

/**
 * JSON knows no number that is not finite: its word stands for it, as in the run's file.
 * @param {string | number | null} held
 */
const kept = (held) =>
  typeof held !== "number" || Number.isFinite(held) ? held : String(held).toLowerCase().replace("infinity", "inf");

/**
 * @param {number} row
 * @returns {Record<string, Held>}
 */
const exported = (row) => ({
  ...Object.fromEntries(COLUMNS.map((name) => [name, kept(value(name, row))])),
  speedup: speed(row),
  reference: view.ref,
  machine: runLabel(row),
  samples_ns: samples(row).map((sample) => Number(sample.toPrecision(4))),
  command: command("check", row),
});

/**
 * Text that a spreadsheet takes for text.
 * @param {Held} held
 */
const harmless = (held) => {
  const said = Array.isArray(held) ? held.join("; ") : String(held ?? "");
  return typeof held === "string" && /^[=+\-@\t\r]/.test(said) ? `'${said}` : said;
};

/** @param {Held} held */
const quoted = (held) => `"${harmless(held).replaceAll('"', '""')}"`;

/**
 * @param {string} name
 * @param {string} type
 * @param {string} content
 */
const save = (name, type, content) => {
  const link = el("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

/** @param {number[]} rows */
export const exportCsv = (rows) => {
  const records = rows.map(exported),
    names = Object.keys(records[0] ?? {});
  const lines = records.map((record) => names.map((name) => quoted(record[name])).join(","));
  save("attnbench.csv", "text/csv", [names.join(","), ...lines].join("\r\n"));
};

/** @param {number[]} rows */
export const exportJson = (rows) =>
  save("attnbench.json", "application/json", JSON.stringify(rows.map(exported), null, 1));
