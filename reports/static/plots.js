/* Charts: drawn when they come into sight, and again when what they show has changed; their axes and pictures. */
/** @import { Chart, Kind, Layout, Plot, Trace } from "./payload.js" */
import { all, el, safe, token } from "./dom.js";
import { tick } from "./figures.js";
import { cap, more } from "./view.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif';

/* Tick labels inside a range: powers of ten where they are enough, steps between them where it is short. */
const STEPS = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]];

/**
 * @param {number} low
 * @param {number} high
 */
const spaced = (low, high) => {
  const rough = (high - low) / 4,
    power = 10 ** Math.floor(Math.log10(rough)),
    step = ([1, 2, 5].find((nice) => nice * power >= rough) ?? 10) * power;
  return Array.from({ length: 8 }, (_, place) => (Math.ceil(low / step) + place) * step).filter(
    (value) => value <= high,
  );
};

/**
 * @param {Kind} kind
 * @param {number} low
 * @param {number} high
 */
const ticks = (kind, low, high) => {
  const first = Math.floor(Math.log10(low)),
    last = Math.ceil(Math.log10(high)),
    every = last - first > 7 ? 2 : 1;
  const powers = Array.from({ length: last - first + 1 }, (_, place) => first + place).filter(
    (power) => power % every === 0,
  );
  const sets = STEPS.map((steps) =>
    powers
      .flatMap((power) => steps.map((step) => step * 10 ** power))
      .filter((value) => value >= low && value <= high),
  );
  const tickvals = sets.find((found) => found.length > 2) ?? spaced(low, high);
  return { tickvals, ticktext: tickvals.map((value) => tick(value, kind)) };
};

/**
 * A logarithmic axis.
 * @param {Layout} extra
 * @returns {Layout}
 */
export const axis = (extra) => ({
  type: "log",
  gridcolor: token("--line"),
  linecolor: token("--line"),
  zeroline: false,
  tickfont: { size: 11, color: token("--muted") },
  automargin: true,
  fixedrange: true,
  ...extra,
});

/**
 * A logarithmic axis over a range of powers of ten, with ticks of this kind.
 * @param {Kind} kind
 * @param {[number, number]} range
 * @param {Layout} [extra]
 */
export const scaled = (kind, range, extra = {}) =>
  axis({ range, ...ticks(kind, 10 ** range[0], 10 ** range[1]), ...extra });

/**
 * An axis whose ticks are texts.
 * @param {Layout} extra
 * @returns {Layout}
 */
export const labelled = (extra) => ({
  gridcolor: token("--line"),
  tickfont: { size: 10, color: token("--muted") },
  automargin: true,
  fixedrange: true,
  ...extra,
});

/**
 * @param {Layout} extra
 * @returns {Layout}
 */
export const layout = (extra) => ({
  paper_bgcolor: token("--bg"),
  plot_bgcolor: token("--bg"),
  font: { family: FONT, size: 12, color: token("--ink") },
  margin: { l: 8, r: 12, t: 8, b: 8 },
  showlegend: false,
  hoverlabel: {
    bgcolor: token("--bg"),
    bordercolor: token("--line"),
    font: { color: token("--ink"), size: 12, family: FONT },
    align: "left",
  },
  hovermode: "closest",
  ...extra,
});

/**
 * The range of a logarithmic axis that holds these values, with some room.
 * @param {number[]} values
 * @returns {[number, number]}
 */
export const padded = (values) => {
  const low = Math.min(...values),
    high = Math.max(...values),
    room = Math.max(0.06, Math.log10(high / low) * 0.06);
  return [Math.log10(low) - room, Math.log10(high) + room];
};

/**
 * Bars from a low to a high end around each value.
 * @param {number[]} values
 * @param {number[]} lows
 * @param {number[]} highs
 * @param {string} color
 */
export const errorBars = (values, lows, highs, color) => ({
  type: "data",
  symmetric: false,
  array: values.map((value, place) => highs[place] - value),
  arrayminus: values.map((value, place) => value - lows[place]),
  color,
  thickness: 1.5,
  width: 3,
});

/* A chart out of sight waits. */
const PAPER = 680;
let printing = "";

/** @param {Plot} plot */
const draw = (plot) => {
  if (!plot.stale) return;
  const figure = plot.figure();
  plot.stale = false;
  if (figure && printing) Object.assign(figure.layout, { width: PAPER, autosize: false });
  if (figure) Plotly.react(plot, figure.data, figure.layout, { displayModeBar: false, responsive: true });
};

const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const plot = /** @type {Plot} */ (target);
      plot.inSight = isIntersecting;
      if (isIntersecting) draw(plot);
    }
  },
  { rootMargin: "200px" },
);

/**
 * Save a chart with its legend, its title and what its axes mean.
 * @param {Plot} plot
 * @param {string} title
 * @param {string} format
 */
const save = (plot, title, format) => {
  draw(plot);
  const [x, y] = plot.axes;
  const saved = {
    ...plot.layout,
    xaxis: { ...plot.layout.xaxis, title: { text: x, font: { size: 12 } } },
    yaxis: { ...plot.layout.yaxis, title: { text: y, font: { size: 12 } } },
    showlegend: true,
    title: { text: safe(title), font: { size: 14 } },
    margin: { l: 60, r: 20, t: 50, b: 50 },
  };
  /** @type {Trace[]} */
  const data = plot.data.map((trace) => ({ ...trace, showlegend: trace.mode !== "lines" }));
  const filename = `attnbench ${title}`.replaceAll(/[^\w.-]+/g, "-");
  return Plotly.downloadImage({ data, layout: saved }, { format, width: 960, height: 540, scale: 2, filename });
};

/** @param {Chart} chart */
const panel = ({ key, title, axes }) => {
  const plot = /** @type {Plot} */ (
    /** @type {HTMLElement} */ (
      el("div", {
        class: "plot",
        role: "img",
        "aria-label": `Chart of ${axes[1]} against ${axes[0]}: ${title}. Its numbers are in the table of records.`,
      })
    )
  );
  const buttons = ["SVG", "PNG"].map((format) =>
    el(
      "button",
      {
        type: "button",
        "aria-label": `Save ${title} as ${format}`,
        onclick: () => save(plot, title, format.toLowerCase()),
      },
      format,
    ),
  );
  seen.observe(plot);
  return el(
    "figure",
    { class: "panel", "data-key": key, style: "margin:0" },
    el("header", {}, el("h3", {}, title), ...buttons),
    plot,
  );
};

/**
 * Show the first charts in a place, the rest behind a button. Those that are there are kept, so that a filter
 * redraws and doesn't rebuild.
 * @param {HTMLElement} place
 * @param {Chart[]} wanted
 * @param {number} first
 * @param {string} what
 */
export const fill = (place, wanted, first, what) => {
  const kept = new Map(all(".panel", place).map((node) => [node.dataset.key, node]));
  const most = cap(place.id, first);
  const nodes = wanted.slice(0, most).map((chart) => {
    const node = kept.get(chart.key) ?? panel(chart),
      plot = /** @type {Plot} */ (node.querySelector(".plot"));
    Object.assign(plot, { figure: chart.figure, axes: chart.axes, stale: true });
    all("h3", node)[0].textContent = chart.title;
    if (chart.height) plot.style.height = `${chart.height}px`;
    if (plot.inSight) draw(plot);
    return node;
  });
  const none = el("p", { class: "note" }, "Nothing that is shown has a time.");
  place.replaceChildren(...(nodes.length ? nodes : [none]), ...more(place.id, wanted.length - most, what));
};

/** @type {() => Plot[]} */
const plots = () => all(".plot");

/* On paper a page is light, and its charts are as wide as a sheet: a printed page can't be measured. */
const print = () => {
  printing ||= document.documentElement.dataset.theme ?? "light";
  document.documentElement.dataset.theme = "light";
  for (const plot of plots()) {
    plot.stale = true;
    draw(plot);
  }
};
const redraw = () => {
  for (const plot of plots()) {
    plot.stale = true;
    if (plot.inSight) draw(plot);
  }
};
const printed = () => {
  if (!printing) return;
  document.documentElement.dataset.theme = printing;
  printing = "";
  redraw();
};

/** Redraw in another theme, and on paper. */
export const startPlots = () => {
  document.addEventListener("theme", redraw);
  window.addEventListener("beforeprint", print);
  window.addEventListener("afterprint", printed);
};
