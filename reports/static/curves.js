/* Curves over the length and over the GQA ratio. */
/** @import { Figure, Kind, NumberColumn, Panel, Trace } from "./payload.js" */
import { data, known, number, samples, text } from "./data.js";
import { all, byId, el, inputById, safe, token } from "./dom.js";
import { length, show, span } from "./figures.js";
import { color, style } from "./implementations.js";
import { axis, fill, layout, padded, scaled } from "./plots.js";
import { speed, speedBounds } from "./reference.js";
import { listen, update, view, visible, writeAddress } from "./view.js";

/** @typedef {{ label: string, column: NumberColumn | "speedup", kind: Kind }} Measure */

/** @type {Record<string, Measure>} */
const MEASURES = {
  time: { label: "Time", column: "median_ns", kind: "time" },
  speedup: { label: "Speed-up", column: "speedup", kind: "ratio" },
  rate: { label: "FLOP rate", column: "tflop_s", kind: "rate" },
  memory: { label: "Peak memory", column: "peak_bytes", kind: "bytes" },
  first: { label: "First call", column: "first_call_ns", kind: "time" },
};

/**
 * What a point says of its record.
 * @param {number} row
 */
export const hover = (row) => {
  const ratio = speed(row),
    taken = samples(row).slice(0, 12);
  const interval = span(number("low_ns", row), number("high_ns", row), "time"),
    faster = ratio === null ? "" : `, ${show(ratio, "ratio")} the speed of ${safe(view.ref)}`;
  return [
    `<b>${safe(text("implementation", row))}</b>`,
    safe(text("case", row)),
    `${show(number("median_ns", row), "time")} (${interval})`,
    `${show(number("tflop_s", row), "rate")}${faster}`,
    `samples: ${taken.map((sample) => show(sample, "time")).join(", ")}`,
  ].join("<br>");
};

/**
 * @param {Measure} measure
 * @param {number} row
 */
const at = ({ column }, row) => (column === "speedup" ? speed(row) : number(column, row)) ?? 0;

/**
 * @param {Measure} measure
 * @param {number} row
 * @returns {[number, number] | null}
 */
const bounds = ({ column }, row) => {
  if (column === "speedup") return speedBounds(row);
  return column === "median_ns" ? [known("low_ns", row), known("high_ns", row)] : null;
};

/**
 * The rows of a line that can be drawn.
 * @param {Measure} measure
 * @param {number[]} rows
 */
const drawable = (measure, rows) => rows.filter((row) => visible[row] && at(measure, row) > 0);

/**
 * The band of a line's intervals, as a list that is empty where the measure has none.
 * @param {Measure} measure
 * @param {number[]} rows
 * @param {number[]} xs
 * @param {string} shade
 * @returns {Trace[]}
 */
const band = (measure, rows, xs, shade) => {
  const ends = rows.map((row) => bounds(measure, row)).filter((pair) => pair !== null);
  if (ends.length < rows.length) return [];
  return [
    {
      x: [...xs, ...xs.toReversed()],
      y: [...ends.map(([low]) => low), ...ends.map(([, high]) => high).toReversed()],
      mode: "lines",
      line: { width: 0 },
      fill: "toself",
      fillcolor: `${shade}33`,
      hoverinfo: "skip",
    },
  ];
};

/**
 * The bands and the lines of a panel, from the rows that are shown.
 * @param {Panel} panel
 * @param {NumberColumn} x
 * @param {Measure} measure
 */
const traces = (panel, x, measure) => {
  /** @type {Trace[]} */
  const bands = [];
  /** @type {Trace[]} */
  const lines = [];
  for (const [name, every] of panel.lines) {
    const rows = drawable(measure, every);
    if (!rows.length) continue;
    const shade = color(name),
      { symbol, dash } = style(name),
      xs = rows.map((row) => known(x, row));
    bands.push(...band(measure, rows, xs, shade));
    lines.push({
      x: xs,
      y: rows.map((row) => at(measure, row)),
      name: safe(name),
      mode: "lines+markers",
      line: { color: shade, width: 1.75, dash },
      marker: { color: shade, symbol, size: 7 },
      text: rows.map(hover),
      hovertemplate: "%{text}<extra></extra>",
      meta: rows,
    });
  }
  return { bands, lines };
};

/** A line at 1, where nothing is faster than the reference. */
const atOne = () => ({
  type: "line",
  xref: "paper",
  x0: 0,
  x1: 1,
  y0: 1,
  y1: 1,
  line: { color: token("--muted"), width: 1, dash: "dot" },
});

/**
 * @param {Panel} panel
 * @param {NumberColumn} x
 * @param {Measure} measure
 * @param {(value: number) => string} named
 * @returns {Figure | null}
 */
const curve = (panel, x, measure, named) => {
  const { bands, lines } = traces(panel, x, measure);
  if (!lines.length) return null;
  const xs = [...new Set(lines.flatMap((trace) => trace.x.map(Number)))].sort((a, b) => a - b),
    shown = xs.length > 9 ? xs.filter((value) => Number.isInteger(Math.log2(value))) : xs;
  return {
    data: [...bands, ...lines],
    layout: layout({
      xaxis: axis({ tickvals: shown, ticktext: shown.map(named), range: padded(xs), showgrid: false }),
      yaxis: scaled(measure.kind, padded([...bands, ...lines].flatMap((trace) => trace.y))),
      shapes: measure.column === "speedup" ? [atOne()] : [],
    }),
  };
};

/**
 * The charts of the panels in which something is left to draw.
 * @param {Panel[]} panels
 * @param {Measure} measure
 * @param {NumberColumn} x
 * @param {string} axisName
 * @param {(value: number) => string} named
 */
const charts = (panels, measure, x, axisName, named) =>
  panels
    .filter((panel) => panel.lines.some(([, rows]) => drawable(measure, rows).length))
    .map((panel) => ({
      key: `${panel.run} ${panel.series}`,
      title: data.runs.length > 1 ? `${panel.series} (${data.runs[panel.run]})` : panel.series,
      axes: /** @type {[string, string]} */ ([axisName, measure.label.toLowerCase()]),
      figure: () => curve(panel, x, measure, named),
    }));

const curves = () => {
  const measure = MEASURES[view.measure] ?? MEASURES.time;
  fill(byId("curves-panels"), charts(data.panels, measure, "length", "length", length), 6, "shapes");
};

const gqa = () => {
  const panels = charts(data.gqa, MEASURES.time, "gqa", "GQA ratio", (ratio) => `${ratio}:1`);
  fill(byId("gqa-panels"), panels, 2, "shapes");
};

const controls = () => {
  const radios = Object.entries(MEASURES).map(([value, { label }]) => {
    const onchange = () => {
      view.measure = value;
      writeAddress();
      curves();
    };
    return el("label", {}, el("input", { type: "radio", name: "measure", value, onchange }), label);
  });
  const options = data.implementations.map((name) => el("option", { value: name }, name));
  const onchange = () => {
    view.ref = inputById("ref").value;
    update();
  };
  byId("curves-controls").replaceChildren(
    el("fieldset", { class: "segments" }, el("legend", { class: "out" }, "Measure"), ...radios),
    el("label", {}, "Speed-up over ", el("select", { id: "ref", onchange }, ...options)),
  );
};

const reflect = () => {
  /** @type {HTMLInputElement[]} */
  const radios = all("#curves-controls input");
  for (const radio of radios) radio.checked = radio.value === view.measure;
  inputById("ref").value = view.ref;
};

export const startCurves = () => {
  controls();
  if (data.gqa.length) listen(gqa);
  listen(reflect, curves);
};
