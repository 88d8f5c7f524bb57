/* Panels: drawn when they come into sight, and again when what they show has changed; their axes, ticks and pictures. */
"use strict";
(() => {
  const { el, show } = AB;
  const safe = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif';

  /* Tick labels inside a range: powers of ten where they are enough, steps between them where it is short. */
  const STEPS = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]];
  const spaced = (low, high) => {
    const rough = (high - low) / 4,
      power = 10 ** Math.floor(Math.log10(rough)),
      step = [1, 2, 5, 10].find((nice) => nice * power >= rough) * power;
    return Array.from({ length: 8 }, (_, place) => (Math.ceil(low / step) + place) * step).filter(
      (value) => value <= high,
    );
  };
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
    const tickvals = sets.find((found) => found.length > 2) || spaced(low, high);
    return { tickvals, ticktext: tickvals.map((value) => AB.tick(value, kind)) };
  };
  const axis = (more) => ({
    type: "log",
    gridcolor: token("--line"),
    linecolor: token("--line"),
    zeroline: false,
    tickfont: { size: 11, color: token("--muted") },
    automargin: true,
    fixedrange: true,
    ...more,
  });
  AB.layout = (more) => ({
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
    ...more,
  });
  const padded = (values) => {
    const low = Math.min(...values),
      high = Math.max(...values),
      room = Math.max(0.06, Math.log10(high / low) * 0.06);
    return [Math.log10(low) - room, Math.log10(high) + room];
  };

  /* Panels know how to draw themselves; those out of sight wait. */
  const seen = new IntersectionObserver(
    (entries) =>
      entries.forEach((entry) => {
        entry.target.inSight = entry.isIntersecting;
        if (entry.isIntersecting) draw(entry.target);
      }),
    { rootMargin: "200px" },
  );
  const PAPER = 680;
  let printing = "";
  const draw = (plot) => {
    if (!plot.stale) return;
    const figure = plot.figure();
    plot.stale = false;
    if (figure && printing) Object.assign(figure.layout, { width: PAPER, autosize: false });
    if (figure) Plotly.react(plot, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  };
  const save = (plot, title, format) => {
    draw(plot);
    const [x, y] = plot.axes,
      named = (axis, text) => ({ ...axis, title: { text, font: { size: 12 } } });
    const legend = {
      ...plot.layout,
      xaxis: named(plot.layout.xaxis, x),
      yaxis: named(plot.layout.yaxis, y),
      showlegend: true,
      title: { text: safe(title), font: { size: 14 } },
      margin: { l: 60, r: 20, t: 50, b: 50 },
    };
    const data = plot.data.map((trace) => ({ ...trace, showlegend: trace.mode !== "lines" }));
    return Plotly.downloadImage(
      { data, layout: legend },
      { format, width: 960, height: 540, scale: 2, filename: `attnbench ${title}`.replaceAll(/[^\w.-]+/g, "-") },
    );
  };
  AB.panel = ({ key, title, axes, figure, height }) => {
    const plot = el("div", {
      class: "plot",
      role: "img",
      "aria-label": `Chart of ${axes[1]} against ${axes[0]}: ${title}. Its numbers are in the table of records.`,
      style: height ? `height:${height}px` : null,
    });
    const made = el(
      "figure",
      { class: "panel", "data-key": key, style: "margin:0" },
      el(
        "header",
        {},
        el("h3", {}, title),
        ...["SVG", "PNG"].map((format) =>
          el(
            "button",
            {
              type: "button",
              "aria-label": `Save ${title} as ${format}`,
              onclick: () => save(plot, title, format.toLowerCase()),
            },
            format,
          ),
        ),
      ),
      plot,
    );
    Object.assign(plot, { figure, axes, stale: true });
    seen.observe(plot);
    return made;
  };

  /* Keep the panels that are there, so that a filter redraws and doesn't rebuild. */
  const fill = (place, wanted, first, what) => {
    const kept = new Map([...place.querySelectorAll(".panel")].map((node) => [node.dataset.key, node]));
    const most = AB.expanded.has(place.id) ? Infinity : first;
    const nodes = wanted.slice(0, most).map((one) => {
      const node = kept.get(one.key) || AB.panel(one),
        plot = node.querySelector(".plot");
      Object.assign(plot, { figure: one.figure, axes: one.axes, stale: true });
      node.querySelector("h3").textContent = one.title;
      if (one.height) plot.style.height = `${one.height}px`;
      if (plot.inSight) draw(plot);
      return node;
    });
    const more = AB.more(place.id, wanted.length - most, what);
    if (!nodes.length) nodes.push(el("p", { class: "note" }, "Nothing that is shown has a time."));
    place.replaceChildren(...nodes, ...(more ? [more] : []));
  };

  /* On paper a page is light, and its charts are as wide as a sheet: a printed page can't be measured. */
  const print = () => {
    printing ||= document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    for (const plot of document.querySelectorAll(".plot")) {
      plot.stale = true;
      draw(plot);
    }
  };
  const printed = () => {
    if (!printing) return;
    document.documentElement.dataset.theme = printing;
    printing = "";
    redraw();
  };
  const redraw = () => {
    for (const plot of document.querySelectorAll(".plot")) {
      plot.stale = true;
      if (plot.inSight) draw(plot);
    }
  };
  AB.plots = { print, printed, redraw, safe, token, axis, ticks, padded, fill, draw };
})();
