/* The dialog about one record, with its raw samples in the order in which they were taken. */
import { command, data, known, number, runLabel, samples, text } from "./data.js";
import { byId, el } from "./dom.js";
import { digits, show, span } from "./figures.js";
import { color, glyph } from "./implementations.js";
import { speed } from "./reference.js";
import { view } from "./view.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
const drawn = (tag, attributes) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
};

/** @param {number} row */
const strip = (row) => {
  const taken = samples(row);
  if (!taken.length) return null;
  const low = Math.min(...taken),
    high = Math.max(...taken);
  const drawing = drawn("svg", {
    viewBox: `0 0 ${WIDTH} 64`,
    class: "samples",
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `${taken.length} samples from ${show(low, "time")} to ${show(high, "time")}`,
  });
  const fill = color(text("implementation", row));
  const dots = taken.map((sample, place) =>
    drawn("circle", {
      cx: 6 + (WIDTH - 12) * (taken.length > 1 ? place / (taken.length - 1) : 0.5),
      cy: 58 - 52 * (high > low ? (sample - low) / (high - low) : 0.5),
      r: 3,
      fill,
    }),
  );
  drawing.append(...dots);
  return drawing;
};

/** @param {number | null} held */
const exact = (held) => (held !== null && Number.isFinite(held) ? String(held) : show(held, "plain"));

/** @param {number} row */
const worst = (row) =>
  text("worst_family", row)
    ? `${text("worst_output", row)} on ${text("worst_family", row)} at ${text("worst_index", row)}: ` +
      `expected ${exact(number("expected", row))}, got ${exact(number("got", row))}`
    : "";

/**
 * The row's share of each ceiling of its machine.
 * @param {number} row
 * @returns {[string, string][]}
 */
const shares = (row) => {
  if (number("rank", row) === null) return [];
  const mine = data.roofs.filter(
    (roof) => roof.dtype === text("dtype", row) && roof.run_index === known("run_index", row),
  );
  return mine.map((roof) => [
    `share of ${roof.label}`,
    `${digits((100 * known("tflop_s", row)) / roof.tflop_s)}% of the rate, ` +
      `${digits((100 * known("gb_s", row)) / roof.gb_s)}% of the traffic`,
  ]);
};

/** @param {number} row */
const timed = (row) => number("median_ns", row) !== null;

/**
 * Names and what is said of them; what is not known of a record is left out.
 * @param {number} row
 * @returns {[string, Node | string | null][]}
 */
const facts = (row) => [
  ["status", el("span", { class: text("status", row) }, text("status", row))],
  ["reason", text("reason", row)],
  ["median", show(number("median_ns", row), "time")],
  ["95% interval", span(number("low_ns", row), number("high_ns", row), "time")],
  [`against ${view.ref}`, show(speed(row), "ratio")],
  ["rate", show(number("tflop_s", row), "rate")],
  ...shares(row),
  ["traffic", show(number("gb_s", row), "traffic")],
  ["peak memory", show(number("peak_bytes", row), "bytes")],
  ["saved for backward", show(number("saved_bytes", row), "bytes")],
  ["first call", show(number("first_call_ns", row), "time")],
  ["host", show(number("host_ns", row), "time")],
  ["energy", show(number("energy_j", row), "energy")],
  ["disturbed", text("disturbance", row)],
  ["clock", text("clock", row)],
  ["error/budget", show(number("share_of_budget", row), "plain")],
  ["worst", worst(row)],
  ["failures", text("failures", row)],
  ["hint", text("hint", row)],
  ["notes", text("notes", row)],
  ["run", runLabel(row)],
  ["time it again", timed(row) ? el("code", {}, command("time", row)) : null],
  ["check it again", el("code", {}, command("check", row))],
  [
    "samples",
    samples(row)
      .map((sample) => show(sample, "time"))
      .join(", "),
  ],
];

/**
 * Open the dialog about a record.
 * @param {number} row
 */
export const detail = (row) => {
  const dialog = /** @type {HTMLDialogElement} */ (byId("detail"));
  const name = text("implementation", row);
  const told = facts(row).filter(([, held]) => held && held !== data.figures.none);
  // The focus goes to the title: on the button at the end, it would scroll the facts out of sight.
  dialog.replaceChildren(
    el("h2", { id: "detail-title", tabindex: -1, autofocus: true }, glyph(name), " ", name),
    el("p", { class: "note" }, el("code", {}, text("case", row))),
    el("dl", {}, ...told.flatMap(([term, held]) => [el("dt", {}, term), el("dd", {}, held)])),
    strip(row) ?? "",
    el("form", { method: "dialog" }, el("button", {}, "Close")),
  );
  dialog.showModal();
  dialog.scrollTop = 0;
};
