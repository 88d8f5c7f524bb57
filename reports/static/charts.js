/* Charts: a panel is drawn when it comes into sight, and again when what it shows has changed. */
"use strict";
(() => {
  const { el, get, show, span } = AB;
  const byId = (id) => document.getElementById(id);
  const safe = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif';

  AB.MEASURES = {
    time: ["Time", "median_ns", "time"], speedup: ["Speed-up", "speedup", "ratio"], rate: ["FLOP rate", "tflop_s", "rate"],
    memory: ["Peak memory", "peak_bytes", "bytes"], first: ["First call", "first_call_ns", "time"],
  };

  /* Tick labels inside a range: powers of ten where they are enough, steps between them where it is short. */
  const STEPS = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]];
  const spaced = (low, high) => {
    const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].find((nice) => nice * power >= rough) * power;
    return Array.from({ length: 8 }, (_, place) => (Math.ceil(low / step) + place) * step).filter((value) => value <= high);
  };
  const ticks = (kind, low, high) => {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), every = last - first > 7 ? 2 : 1;
    const powers = Array.from({ length: last - first + 1 }, (_, place) => first + place).filter((power) => power % every === 0);
    const sets = STEPS.map((steps) => powers.flatMap((power) => steps.map((step) => step * 10 ** power)).filter((value) => value >= low && value <= high));
    const tickvals = sets.find((found) => found.length > 2) || spaced(low, high);
    return { tickvals, ticktext: tickvals.map((value) => AB.tick(value, kind)) };
  };
  const axis = (more) => ({ type: "log", gridcolor: token("--line"), linecolor: token("--line"), zeroline: false, tickfont: { size: 11, color: token("--muted") }, automargin: true, fixedrange: true, ...more });
  AB.layout = (more) => ({
    paper_bgcolor: token("--bg"), plot_bgcolor: token("--bg"), font: { family: FONT, size: 12, color: token("--ink") }, margin: { l: 8, r: 12, t: 8, b: 8 }, showlegend: false,
    hoverlabel: { bgcolor: token("--bg"), bordercolor: token("--line"), font: { color: token("--ink"), size: 12, family: FONT }, align: "left" }, hovermode: "closest", ...more,
  });
  const padded = (values) => { const low = Math.min(...values), high = Math.max(...values), room = Math.max(0.06, Math.log10(high / low) * 0.06); return [Math.log10(low) - room, Math.log10(high) + room]; };

  AB.hover = (row) => {
    const samples = AB.samples(row).slice(0, 12).map((sample) => show(sample, "time")).join(", ");
    return `<b>${safe(get("implementation", row))}</b><br>${safe(get("case", row))}<br>${show(get("median_ns", row), "time")} (${span(get("low_ns", row), get("high_ns", row), "time")})` +
      `<br>${show(get("tflop_s", row), "rate")}${AB.speed(row) === null ? "" : `, ${show(AB.speed(row), "ratio")} the speed of ${safe(AB.view.ref)}`}<br>samples: ${samples}`;
  };
  /* A speed-up's interval has both medians at the far ends of theirs; the reference against itself has none. */
  const speedBounds = (row) => { const other = AB.referenceRow(row); return other === undefined ? [null, null] : other === row ? [1, 1] : [get("low_ns", other) / get("high_ns", row), get("high_ns", other) / get("low_ns", row)]; };
  const at = (measure, row) => measure === "speedup" ? AB.speed(row) : get(AB.MEASURES[measure][1], row);
  const bounds = (measure, row) => measure === "time" ? [get("low_ns", row), get("high_ns", row)] : measure === "speedup" ? speedBounds(row) : null;

  /* A line with its band for each implementation of a panel, from the rows that are shown. */
  const traces = (panel, x, measure) => {
    const bands = [], lines = [];
    for (const [name, all] of panel.lines) {
      const rows = all.filter((row) => AB.visible[row] && at(measure, row) > 0);
      if (!rows.length) continue;
      const color = AB.color(name), { symbol, dash } = AB.style(name), xs = rows.map((row) => get(x, row));
      if (bounds(measure, rows[0])) {
        const ends = rows.map((row) => bounds(measure, row));
        bands.push({ x: [...xs, ...xs.toReversed()], y: [...ends.map(([low]) => low), ...ends.map(([, high]) => high).toReversed()], mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: `${color}33`, hoverinfo: "skip" });
      }
      lines.push({ x: xs, y: rows.map((row) => at(measure, row)), name: safe(name), mode: "lines+markers", line: { color, width: 1.75, dash }, marker: { color, symbol: symbol[0], size: 7 }, text: rows.map(AB.hover), hovertemplate: "%{text}<extra></extra>", meta: rows });
    }
    return [...bands, ...lines];
  };
  const curve = (panel, x, measure, words) => {
    const data = traces(panel, x, measure), points = data.filter((trace) => trace.mode === "lines+markers");
    if (!points.length) return null;
    const xs = [...new Set(points.flatMap((trace) => trace.x))].sort((a, b) => a - b), ys = data.flatMap((trace) => trace.y), range = padded(ys);
    const named = xs.length > 9 ? xs.filter((value) => Number.isInteger(Math.log2(value))) : xs;
    return { data, layout: AB.layout({
      xaxis: axis({ tickvals: named, ticktext: named.map(words), range: padded(xs), showgrid: false }),
      yaxis: axis({ range, ...ticks(AB.MEASURES[measure][2], 10 ** range[0], 10 ** range[1]) }),
      shapes: measure === "speedup" ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: token("--muted"), width: 1, dash: "dot" } }] : [],
    }) };
  };

  /* Panels know how to draw themselves; those out of sight wait. */
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => { entry.target.inSight = entry.isIntersecting; if (entry.isIntersecting) draw(entry.target); }), { rootMargin: "200px" });
  const draw = (plot) => {
    if (!plot.stale) return;
    const figure = plot.figure();
    plot.stale = false;
    if (figure) Plotly.react(plot, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  };
  const save = (plot, title, format) => {
    draw(plot);
    const [x, y] = plot.axes, named = (axis, text) => ({ ...axis, title: { text, font: { size: 12 } } });
    const legend = { ...plot.layout, xaxis: named(plot.layout.xaxis, x), yaxis: named(plot.layout.yaxis, y), showlegend: true, title: { text: safe(title), font: { size: 14 } }, margin: { l: 60, r: 20, t: 50, b: 50 } };
    const data = plot.data.map((trace) => ({ ...trace, showlegend: trace.mode !== "lines" }));
    return Plotly.downloadImage({ data, layout: legend }, { format, width: 960, height: 540, scale: 2, filename: `attnbench ${title}`.replaceAll(/[^\w.-]+/g, "-") });
  };
  AB.panel = ({ key, title, axes, figure, height }) => {
    const plot = el("div", { class: "plot", role: "img", "aria-label": `Chart of ${axes[1]} against ${axes[0]}: ${title}. Its numbers are in the table of records.`, style: height ? `height:${height}px` : null });
    const made = el("figure", { class: "panel", "data-key": key, style: "margin:0" }, el("header", {}, el("h3", {}, title), ...["SVG", "PNG"].map((format) => el("button", { type: "button", "aria-label": `Save ${title} as ${format}`, onclick: () => save(plot, title, format.toLowerCase()) }, format))), plot);
    Object.assign(plot, { figure, axes, stale: true });
    seen.observe(plot);
    return made;
  };

  /* Keep the panels that are there, so that a filter redraws and doesn't rebuild. */
  const fill = (place, wanted, first, what) => {
    const kept = new Map([...place.querySelectorAll(".panel")].map((node) => [node.dataset.key, node]));
    const most = AB.expanded.has(place.id) ? Infinity : first;
    const nodes = wanted.slice(0, most).map((one) => {
      const node = kept.get(one.key) || AB.panel(one), plot = node.querySelector(".plot");
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
  const alive = (panel, measure) => panel.lines.some(([, rows]) => rows.some((row) => AB.visible[row] && at(measure, row) > 0));
  const titled = (panel) => AB.data.runs.length > 1 ? `${panel.series} (${AB.data.runs[panel.run]})` : panel.series;
  const curves = () => {
    const measure = AB.MEASURES[AB.view.measure] ? AB.view.measure : "time";
    const wanted = AB.data.panels.filter((panel) => alive(panel, measure)).map((panel) => ({ key: `${panel.run} ${panel.series}`, title: titled(panel), axes: ["length", AB.MEASURES[measure][0].toLowerCase()], figure: () => curve(panel, "length", measure, AB.length) }));
    fill(byId("curves-panels"), wanted, 6, "shapes");
  };
  const gqa = () => {
    const wanted = AB.data.gqa.filter((panel) => alive(panel, "time")).map((panel) => ({ key: `${panel.run} ${panel.series}`, title: titled(panel), axes: ["GQA ratio", "time"], figure: () => curve(panel, "gqa", "time", (ratio) => `${ratio}:1`) }));
    fill(byId("gqa-panels"), wanted, 2, "shapes");
  };

  /* Roofline: the best rate of each implementation at each intensity, below what the machine is known or seen to reach. */
  const roofline = () => {
    const best = new Map();
    let top = 0, traffic = 0;
    for (let row = 0; row < AB.data.count; row += 1) {
      if (get("rank", row) === null) continue;
      top = Math.max(top, get("tflop_s", row));
      traffic = Math.max(traffic, get("gb_s", row));
      if (!AB.visible[row]) continue;
      const key = `${get("implementation", row)}\n${Math.round(20 * Math.log10(get("intensity", row)))}`;
      if (!best.has(key) || get("tflop_s", best.get(key)) < get("tflop_s", row)) best.set(key, row);
    }
    if (!best.size) return null;
    const lines = new Map();
    for (const row of best.values()) { const name = get("implementation", row); lines.set(name, [...(lines.get(name) || []), row]); }
    const data = [...lines].map(([name, rows]) => ({ x: rows.map((row) => get("intensity", row)), y: rows.map((row) => get("tflop_s", row)), name: safe(name), mode: "markers", marker: { color: AB.color(name), symbol: AB.style(name).symbol[0], size: 8, opacity: 0.85 }, text: rows.map(AB.hover), hovertemplate: "%{text}<extra></extra>", meta: rows }));
    const xs = data.flatMap((trace) => trace.x), ys = data.flatMap((trace) => trace.y), [left, right] = padded(xs);
    const roofs = AB.data.roofs.length ? AB.data.roofs : [{ label: "best seen in these runs", tflop_s: top, gb_s: traffic }];
    const shapes = roofs.map((roof, place) => {
      const ridge = Math.min(Math.max(roof.tflop_s / roof.gb_s * 1000, 10 ** left), 10 ** right);
      return { x: [10 ** left, ridge, 10 ** right], y: [10 ** left * roof.gb_s / 1000, Math.min(roof.tflop_s, ridge * roof.gb_s / 1000), roof.tflop_s].map((y) => Math.min(y, roof.tflop_s)), mode: "lines", name: safe(roof.label), hoverinfo: "name", line: { color: token("--muted"), width: 1.5, dash: AB.DASHES[place % 4] } };
    });
    const range = padded([...ys, ...shapes.flatMap((line) => line.y)]);
    return { data: [...shapes, ...data], layout: AB.layout({ margin: { l: 8, r: 12, t: 8, b: 36 }, xaxis: axis({ title: { text: "FLOPs for each byte that must move", font: { size: 12 } }, range: [left, right], ...ticks("plain", 10 ** left, 10 ** right) }), yaxis: axis({ range, ...ticks("rate", 10 ** range[0], 10 ** range[1]) }),
      annotations: roofs.map((roof) => ({ x: right, y: Math.log10(roof.tflop_s), text: safe(`${roof.label}: ${show(roof.tflop_s, "rate")}, ${show(roof.gb_s, "traffic")}`), showarrow: false, xanchor: "right", yanchor: "bottom", font: { size: 11, color: token("--muted") } })) }) };
  };

  /* The baseline as a forest plot: ratio and interval of each record, worst first. */
  const VERDICTS = { REGRESSED: ["triangle-right", "--bad"], IMPROVED: ["triangle-left", "--good"], UNCHANGED: ["circle", "--muted"], UNDECIDED: ["circle-open", "--warn"], INCOMPARABLE: ["x-thin-open", "--muted"] };
  const entries = AB.data.forest.map(([row, ratio, low, high, verdict, name, by]) => ({ row, ratio, low, high, verdict, case: name || get("case", row), implementation: by || get("implementation", row) }));
  const forestRows = () => entries.filter(({ row }) => row === null || AB.visible[row]).sort((a, b) => b.ratio - a.ratio);
  const ENDS = 15;
  const forestTitle = () => { const all = forestRows().length; return all > 2 * ENDS ? `The ${ENDS} slowest and the ${ENDS} fastest of ${all.toLocaleString("en")} records that both runs timed` : "Records that both runs timed, the slowest first"; };
  const forest = () => {
    const all = forestRows(), rows = all.length > 2 * ENDS ? [...all.slice(0, ENDS), ...all.slice(-ENDS)] : all;
    if (!rows.length) return null;
    const data = Object.entries(VERDICTS).map(([verdict, [symbol, color]]) => {
      const found = rows.map((entry, place) => [entry, place]).filter(([entry]) => entry.verdict === verdict);
      return { x: found.map(([entry]) => entry.ratio), y: found.map(([, place]) => -place), name: verdict, mode: "markers", error_x: { type: "data", symmetric: false, array: found.map(([entry]) => entry.high - entry.ratio), arrayminus: found.map(([entry]) => entry.ratio - entry.low), color: token(color), thickness: 1.5, width: 3 }, marker: { symbol, color: token(color), size: 9 }, text: found.map(([entry]) => `<b>${verdict}</b><br>${safe(entry.implementation)}<br>${safe(entry.case)}<br>${show(entry.ratio, "ratio")} (${span(entry.low, entry.high, "ratio")}) of the baseline's time`), hovertemplate: "%{text}<extra></extra>" };
    }).filter((trace) => trace.x.length);
    const ends = padded(rows.flatMap((entry) => [entry.low, entry.high, 1])), narrow = innerWidth < 700;
    return { data, layout: AB.layout({ xaxis: axis({ range: ends, ...ticks("ratio", 10 ** ends[0], 10 ** ends[1]), side: "top" }), yaxis: { tickvals: rows.map((_, place) => -place), ticktext: rows.map((entry) => safe(narrow ? `${entry.case.slice(0, 18)}…` : `${entry.implementation} ${entry.case}`.slice(0, 70))), automargin: true, fixedrange: true, tickfont: { size: 10, color: token("--muted") }, gridcolor: token("--line"), zeroline: false, range: [-rows.length + 0.4, 0.6] },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: 1, x1: 1, line: { color: token("--ink"), width: 1 } }] }) };
  };

  /* A case over the runs. */
  const over = (entry) => {
    const data = entry.lines.flatMap(([name, all]) => {
      const rows = all.filter(AB.visibleInAnyRun);
      return rows.length ? [{ x: rows.map((row) => AB.data.created[get("run_index", row)]), y: rows.map((row) => get("median_ns", row)), name: safe(name), mode: "lines+markers", error_y: { type: "data", symmetric: false, array: rows.map((row) => get("high_ns", row) - get("median_ns", row)), arrayminus: rows.map((row) => get("median_ns", row) - get("low_ns", row)), color: AB.color(name), thickness: 1.5, width: 3 }, line: { color: AB.color(name), width: 1.75, dash: AB.style(name).dash }, marker: { color: AB.color(name), symbol: AB.style(name).symbol[0], size: 7 }, text: rows.map(AB.hover), hovertemplate: "%{text}<extra></extra>" }] : [];
    });
    if (!data.length) return null;
    const range = padded(data.flatMap((trace) => trace.y));
    return { data, layout: AB.layout({ xaxis: { type: "category", gridcolor: token("--line"), tickfont: { size: 10, color: token("--muted") }, automargin: true, fixedrange: true }, yaxis: axis({ range, ...ticks("time", 10 ** range[0], 10 ** range[1]) }) }) };
  };
  const history = () => fill(byId("history-panels"), AB.data.history.filter((entry) => entry.lines.some(([, rows]) => rows.some(AB.visibleInAnyRun))).map((entry) => ({ key: `${entry.machine} ${entry.case}`, title: entry.case, axes: ["run", "time"], figure: () => over(entry) })), 4, "cases");

  const controls = () => {
    const place = byId("curves-controls");
    const choose = (measure) => { AB.view.measure = measure; AB.writeAddress(); curves(); };
    const radios = Object.entries(AB.MEASURES).map(([key, [label]]) => el("label", {}, el("input", { type: "radio", name: "measure", value: key, onchange: () => choose(key) }), label));
    const against = el("select", { id: "ref", onchange: (event) => { AB.view.ref = event.target.value; AB.update(); } }, ...AB.data.implementations.map((name) => el("option", { value: name }, name)));
    place.replaceChildren(el("fieldset", { class: "segments" }, el("legend", { class: "out" }, "Measure"), ...radios), el("label", {}, "Speed-up over ", against));
  };
  const reflect = () => {
    for (const radio of document.querySelectorAll("#curves-controls input")) radio.checked = radio.value === AB.view.measure;
    byId("ref").value = AB.view.ref;
  };

  AB.charts = { start: () => {
    controls();
    byId("roofline-panels").classList.add("wide");
    if (byId("gqa-panels")) AB.listeners.push(gqa);
    AB.listeners.push(reflect, curves, () => fill(byId("roofline-panels"), [{ key: "roofline", title: "Rate against arithmetic intensity", axes: ["FLOPs for each byte that must move", "FLOP rate"], figure: roofline, height: 420 }], 1, ""));
    if (byId("baseline-panels")) {
      byId("baseline-panels").classList.add("wide");
      AB.listeners.push(() => fill(byId("baseline-panels"), [{ key: "forest", title: forestTitle(), axes: ["time over the baseline's time", "record"], figure: forest, height: Math.min(2 * ENDS, forestRows().length) * 18 + 80 }], 1, ""));
    }
    if (byId("history-panels")) AB.listeners.push(history);
    const again = () => { for (const plot of document.querySelectorAll(".plot")) { plot.stale = true; if (plot.inSight) draw(plot); } };
    document.addEventListener("theme", again);
    window.addEventListener("beforeprint", () => document.querySelectorAll(".plot").forEach(draw));
    AB.update({ address: false });
    document.documentElement.dataset.ready = "yes";
  } };
})();
