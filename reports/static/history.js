/* The same case on the same machine, run after run. */
/** @import { Figure, Line, Trace } from "./payload.js" */

import { hover } from "./curves.js";
import { data, known } from "./data.js";
import { byId, safe } from "./dom.js";
import { color, style } from "./implementations.js";
import { errorBars, fill, labelled, layout, padded, scaled } from "./plots.js";
import { listen, visibleInAnyRun } from "./view.js";

/**
 * One implementation over the runs.
 * @param {string} name
 * @param {number[]} rows
 * @returns {Trace}
 */
const trace = (name, rows) => {
  const medians = rows.map((row) => known("median_ns", row)),
    { symbol, dash } = style(name),
    shade = color(name);
  return {
    x: rows.map((row) => data.created[known("run_index", row)]),
    y: medians,
    name: safe(name),
    mode: "lines+markers",
    error_y: errorBars(
      medians,
      rows.map((row) => known("low_ns", row)),
      rows.map((row) => known("high_ns", row)),
      shade,
    ),
    line: { color: shade, width: 1.75, dash },
    marker: { color: shade, symbol, size: 7 },
    text: rows.map(hover),
    hovertemplate: "%{text}<extra></extra>",
  };
};

/**
 * @param {Line[]} lines
 * @returns {Figure | null}
 */
const overRuns = (lines) => {
  const shown = lines.map(([name, rows]) => trace(name, rows.filter(visibleInAnyRun))).filter(({ x }) => x.length);
  if (!shown.length) return null;
  return {
    data: shown,
    layout: layout({
      xaxis: labelled({ type: "category" }),
      yaxis: scaled("time", padded(shown.flatMap(({ y }) => y))),
    }),
  };
};

const history = () => {
  const charts = data.history
    .filter(({ lines }) => lines.some(([, rows]) => rows.some(visibleInAnyRun)))
    .map((entry) => ({
      key: `${entry.machine} ${entry.case}`,
      title: entry.case,
      axes: /** @type {[string, string]} */ (["run", "time"]),
      figure: () => overRuns(entry.lines),
    }));
  fill(byId("history-panels"), charts, 4, "cases");
};

export const startHistory = () => {
  if (data.history.length) listen(history);
};
