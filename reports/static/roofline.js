/* The roofline: the best rate of each implementation at each intensity, below what the machine is known or seen to reach. */
/** @import { Figure, Roof } from "./payload.js" */

import { hover } from "./curves.js";
import { data, known, number, text } from "./data.js";
import { byId, safe, token } from "./dom.js";
import { show } from "./figures.js";
import { color, DASHES, style } from "./implementations.js";
import { fill, layout, padded, scaled } from "./plots.js";
import { hiddenOf, listen, visible } from "./view.js";

/** For each implementation the best of its visible rows at nearly one intensity, and the best rates of all rows. */
const bestRows = () => {
  /** @type {Map<string, number>} */
  const best = new Map();
  const seen = { label: "best seen in these runs", tflop_s: 0, gb_s: 0 };
  for (let row = 0; row < data.count; row += 1) {
    if (number("rank", row) === null) continue;
    const rate = known("tflop_s", row);
    seen.tflop_s = Math.max(seen.tflop_s, rate);
    seen.gb_s = Math.max(seen.gb_s, known("gb_s", row));
    if (!visible[row]) continue;
    const key = `${text("implementation", row)}\n${Math.round(20 * Math.log10(known("intensity", row)))}`,
      before = best.get(key);
    if (before === undefined || known("tflop_s", before) < rate) best.set(key, row);
  }
  return { rows: [...best.values()], seen };
};

/**
 * @param {string} name
 * @param {number[]} rows
 */
const points = (name, rows) => ({
  x: rows.map((row) => known("intensity", row)),
  y: rows.map((row) => known("tflop_s", row)),
  name: safe(name),
  mode: "markers",
  marker: { color: color(name), symbol: style(name).symbol, size: 8, opacity: 0.85 },
  text: rows.map(hover),
  hovertemplate: "%{text}<extra></extra>",
  meta: rows,
});

/**
 * A ceiling between two intensities, given as powers of ten.
 * @param {Roof} roof
 * @param {[number, number]} range
 * @param {number} place
 */
const ceiling = (roof, [left, right], place) => {
  const ridge = Math.min(Math.max((roof.tflop_s / roof.gb_s) * 1000, 10 ** left), 10 ** right),
    x = [10 ** left, ridge, 10 ** right];
  return {
    x,
    y: x.map((intensity) => Math.min(roof.tflop_s, (intensity * roof.gb_s) / 1000)),
    mode: "lines",
    name: safe(roof.label),
    hoverinfo: "name",
    line: { color: token("--muted"), width: 1.5, dash: DASHES[place % DASHES.length] },
  };
};

/** @returns {Figure | null} */
const roofline = () => {
  const { rows, seen } = bestRows();
  if (!rows.length) return null;
  const dots = data.implementations
      .map((name) =>
        points(
          name,
          rows.filter((row) => text("implementation", row) === name),
        ),
      )
      .filter(({ x }) => x.length),
    range = padded(dots.flatMap(({ x }) => x));
  const published = data.roofs.filter(
    (roof) => !hiddenOf("dtype").has(roof.dtype ?? "") && !hiddenOf("run").has(String(roof.run_index)),
  );
  const roofs = published.length ? published : [seen],
    ceilings = roofs.map((roof, place) => ceiling(roof, range, place));
  const title = { text: "FLOPs for each byte that must move", font: { size: 12 } };
  return {
    data: [...ceilings, ...dots],
    layout: layout({
      margin: { l: 8, r: 12, t: 8, b: 36 },
      xaxis: scaled("plain", range, { title }),
      yaxis: scaled("rate", padded([...dots, ...ceilings].flatMap((trace) => trace.y))),
      annotations: roofs.map((roof) => ({
        x: range[1],
        y: Math.log10(roof.tflop_s),
        text: safe(`${roof.label}: ${show(roof.tflop_s, "rate")}, ${show(roof.gb_s, "traffic")}`),
        showarrow: false,
        xanchor: "right",
        yanchor: "bottom",
        font: { size: 11, color: token("--muted") },
      })),
    }),
  };
};

export const startRoofline = () => {
  const place = byId("roofline-panels");
  place.classList.add("wide");
  listen(() => {
    const chart = {
      key: place.id,
      title: "Rate against arithmetic intensity",
      axes: /** @type {[string, string]} */ (["FLOPs for each byte that must move", "FLOP rate"]),
      figure: roofline,
      height: 420,
    };
    fill(place, [chart], 1, "");
  });
};
