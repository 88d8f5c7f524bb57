/* The baseline as a forest plot: ratio and interval of each record, worst first. */
/** @import { Figure, Trace } from "./payload.js" */
import { data, text } from "./data.js";
import { byId, safe, token } from "./dom.js";
import { grouped, show, span } from "./figures.js";
import { errorBars, fill, labelled, layout, padded, scaled } from "./plots.js";
import { listen, visible } from "./view.js";

/** @typedef {{ row: number | null, ratio: number, low: number, high: number, verdict: string, case: string, implementation: string }} Entry */

const VERDICTS = [
  ["REGRESSED", "triangle-right", "--bad"],
  ["IMPROVED", "triangle-left", "--good"],
  ["UNCHANGED", "circle", "--muted"],
  ["UNDECIDED", "circle-open", "--warn"],
  ["INCOMPARABLE", "x-thin-open", "--muted"],
];
const ENDS = 15;
const NARROW = 700;

/** @type {Entry[]} */
const entries = data.forest.map(([row, ratio, low, high, verdict, name, by]) => ({
  row,
  ratio,
  low,
  high,
  verdict,
  case: name ?? text("case", row ?? 0),
  implementation: by ?? text("implementation", row ?? 0),
}));

const shownEntries = () =>
  entries.filter(({ row }) => row === null || visible[row]).sort((a, b) => b.ratio - a.ratio);

/** @param {number} count */
const title = (count) =>
  count > 2 * ENDS
    ? `The ${ENDS} slowest and the ${ENDS} fastest of ${grouped(count)} records that both runs timed`
    : "Records that both runs timed, the slowest first";

/** @param {Entry} entry */
const said = ({ verdict, implementation, case: id, ratio, low, high }) =>
  [
    `<b>${verdict}</b>`,
    safe(implementation),
    safe(id),
    `${show(ratio, "ratio")} (${span(low, high, "ratio")}) of the baseline's time`,
  ].join("<br>");

/**
 * The entries of one verdict, each at its place.
 * @param {string[]} verdict
 * @param {Entry[]} rows
 * @returns {Trace}
 */
const trace = ([verdict, symbol, tone], rows) => {
  const mine = rows.filter((entry) => entry.verdict === verdict),
    ratios = mine.map(({ ratio }) => ratio);
  return {
    x: ratios,
    y: mine.map((entry) => -rows.indexOf(entry)),
    name: verdict,
    mode: "markers",
    error_x: errorBars(
      ratios,
      mine.map(({ low }) => low),
      mine.map(({ high }) => high),
      token(tone),
    ),
    marker: { symbol, color: token(tone), size: 9 },
    text: mine.map(said),
    hovertemplate: "%{text}<extra></extra>",
  };
};

/** @returns {Figure | null} */
const forest = () => {
  const all = shownEntries(),
    rows = all.length > 2 * ENDS ? [...all.slice(0, ENDS), ...all.slice(-ENDS)] : all;
  if (!rows.length) return null;
  const narrow = innerWidth < NARROW;
  return {
    data: VERDICTS.map((verdict) => trace(verdict, rows)).filter(({ x }) => x.length),
    layout: layout({
      xaxis: scaled("ratio", padded(rows.flatMap(({ low, high }) => [low, high, 1])), { side: "top" }),
      yaxis: labelled({
        tickvals: rows.map((_, place) => -place),
        ticktext: rows.map((entry) =>
          safe(narrow ? `${entry.case.slice(0, 18)}…` : `${entry.implementation} ${entry.case}`.slice(0, 70)),
        ),
        zeroline: false,
        range: [-rows.length + 0.4, 0.6],
      }),
      shapes: [
        { type: "line", yref: "paper", y0: 0, y1: 1, x0: 1, x1: 1, line: { color: token("--ink"), width: 1 } },
      ],
    }),
  };
};

export const startForest = () => {
  const place = document.getElementById("baseline-panels");
  if (!place) return;
  byId(place.id).classList.add("wide");
  listen(() => {
    const count = shownEntries().length;
    const chart = {
      key: place.id,
      title: title(count),
      axes: /** @type {[string, string]} */ (["time over the baseline's time", "record"]),
      figure: forest,
      height: Math.min(2 * ENDS, count) * 18 + 80,
    };
    fill(place, [chart], 1, "");
  });
};
