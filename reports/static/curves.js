/* Curves over the length and over the GQA ratio. */
"use strict";
(() => {
  const { el, get, show, span, byId } = AB;
  const { safe, token, axis, ticks, padded, fill } = AB.plots;

  AB.MEASURES = {
    time: ["Time", "median_ns", "time"],
    speedup: ["Speed-up", "speedup", "ratio"],
    rate: ["FLOP rate", "tflop_s", "rate"],
    memory: ["Peak memory", "peak_bytes", "bytes"],
    first: ["First call", "first_call_ns", "time"],
  };

  AB.hover = (row) => {
    const samples = AB.samples(row)
      .slice(0, 12)
      .map((sample) => show(sample, "time"))
      .join(", ");
    return (
      `<b>${safe(get("implementation", row))}</b><br>${safe(get("case", row))}<br>${show(get("median_ns", row), "time")} (${span(get("low_ns", row), get("high_ns", row), "time")})` +
      `<br>${show(get("tflop_s", row), "rate")}${AB.speed(row) === null ? "" : `, ${show(AB.speed(row), "ratio")} the speed of ${safe(AB.view.ref)}`}<br>samples: ${samples}`
    );
  };
  /* A speed-up's interval has both medians at the far ends of theirs; the reference against itself has none. */
  const speedBounds = (row) => {
    const other = AB.referenceRow(row);
    return other === undefined
      ? [null, null]
      : other === row
        ? [1, 1]
        : [get("low_ns", other) / get("high_ns", row), get("high_ns", other) / get("low_ns", row)];
  };
  const at = (measure, row) => (measure === "speedup" ? AB.speed(row) : get(AB.MEASURES[measure][1], row));
  const bounds = (measure, row) =>
    measure === "time"
      ? [get("low_ns", row), get("high_ns", row)]
      : measure === "speedup"
        ? speedBounds(row)
        : null;

  /* A line with its band for each implementation of a panel, from the rows that are shown. */
  const traces = (panel, x, measure) => {
    const bands = [],
      lines = [];
    for (const [name, all] of panel.lines) {
      const rows = all.filter((row) => AB.visible[row] && at(measure, row) > 0);
      if (!rows.length) continue;
      const color = AB.color(name),
        { symbol, dash } = AB.style(name),
        xs = rows.map((row) => get(x, row));
      if (bounds(measure, rows[0])) {
        const ends = rows.map((row) => bounds(measure, row));
        bands.push({
          x: [...xs, ...xs.toReversed()],
          y: [...ends.map(([low]) => low), ...ends.map(([, high]) => high).toReversed()],
          mode: "lines",
          line: { width: 0 },
          fill: "toself",
          fillcolor: `${color}33`,
          hoverinfo: "skip",
        });
      }
      lines.push({
        x: xs,
        y: rows.map((row) => at(measure, row)),
        name: safe(name),
        mode: "lines+markers",
        line: { color, width: 1.75, dash },
        marker: { color, symbol: symbol[0], size: 7 },
        text: rows.map(AB.hover),
        hovertemplate: "%{text}<extra></extra>",
        meta: rows,
      });
    }
    return [...bands, ...lines];
  };
  const curve = (panel, x, measure, words) => {
    const data = traces(panel, x, measure),
      points = data.filter((trace) => trace.mode === "lines+markers");
    if (!points.length) return null;
    const xs = [...new Set(points.flatMap((trace) => trace.x))].sort((a, b) => a - b),
      ys = data.flatMap((trace) => trace.y),
      range = padded(ys);
    const named = xs.length > 9 ? xs.filter((value) => Number.isInteger(Math.log2(value))) : xs;
    return {
      data,
      layout: AB.layout({
        xaxis: axis({ tickvals: named, ticktext: named.map(words), range: padded(xs), showgrid: false }),
        yaxis: axis({ range, ...ticks(AB.MEASURES[measure][2], 10 ** range[0], 10 ** range[1]) }),
        shapes:
          measure === "speedup"
            ? [
                {
                  type: "line",
                  xref: "paper",
                  x0: 0,
                  x1: 1,
                  y0: 1,
                  y1: 1,
                  line: { color: token("--muted"), width: 1, dash: "dot" },
                },
              ]
            : [],
      }),
    };
  };

  const alive = (panel, measure) =>
    panel.lines.some(([, rows]) => rows.some((row) => AB.visible[row] && at(measure, row) > 0));
  const titled = (panel) =>
    AB.data.runs.length > 1 ? `${panel.series} (${AB.data.runs[panel.run]})` : panel.series;
  const curves = () => {
    const measure = AB.MEASURES[AB.view.measure] ? AB.view.measure : "time";
    const wanted = AB.data.panels
      .filter((panel) => alive(panel, measure))
      .map((panel) => ({
        key: `${panel.run} ${panel.series}`,
        title: titled(panel),
        axes: ["length", AB.MEASURES[measure][0].toLowerCase()],
        figure: () => curve(panel, "length", measure, AB.length),
      }));
    fill(byId("curves-panels"), wanted, 6, "shapes");
  };
  const gqa = () => {
    const wanted = AB.data.gqa
      .filter((panel) => alive(panel, "time"))
      .map((panel) => ({
        key: `${panel.run} ${panel.series}`,
        title: titled(panel),
        axes: ["GQA ratio", "time"],
        figure: () => curve(panel, "gqa", "time", (ratio) => `${ratio}:1`),
      }));
    fill(byId("gqa-panels"), wanted, 2, "shapes");
  };

  const controls = () => {
    const place = byId("curves-controls");
    const choose = (measure) => {
      AB.view.measure = measure;
      AB.writeAddress();
      curves();
    };
    const radios = Object.entries(AB.MEASURES).map(([key, [label]]) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name: "measure", value: key, onchange: () => choose(key) }),
        label,
      ),
    );
    const against = el(
      "select",
      {
        id: "ref",
        onchange: (event) => {
          AB.view.ref = event.target.value;
          AB.update();
        },
      },
      ...AB.data.implementations.map((name) => el("option", { value: name }, name)),
    );
    place.replaceChildren(
      el("fieldset", { class: "segments" }, el("legend", { class: "out" }, "Measure"), ...radios),
      el("label", {}, "Speed-up over ", against),
    );
  };
  const reflect = () => {
    for (const radio of document.querySelectorAll("#curves-controls input"))
      radio.checked = radio.value === AB.view.measure;
    byId("ref").value = AB.view.ref;
  };

  AB.startCurves = () => {
    controls();
    if (byId("gqa-panels")) AB.listeners.push(gqa);
    AB.listeners.push(reflect, curves);
  };
})();
