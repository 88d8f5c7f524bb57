/* Charts over many cases: the roofline, the forest of a baseline, the history of a case. */
"use strict";
(() => {
  const { get, show, span, byId } = AB;
  const { safe, token, axis, ticks, padded, fill } = AB.plots;

  /* Roofline: the best rate of each implementation at each intensity, below what the machine is known or seen to reach. */
  const roofline = () => {
    const best = new Map();
    let top = 0,
      traffic = 0;
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
    for (const row of best.values()) {
      const name = get("implementation", row);
      lines.set(name, [...(lines.get(name) || []), row]);
    }
    const data = [...lines].map(([name, rows]) => ({
      x: rows.map((row) => get("intensity", row)),
      y: rows.map((row) => get("tflop_s", row)),
      name: safe(name),
      mode: "markers",
      marker: { color: AB.color(name), symbol: AB.style(name).symbol[0], size: 8, opacity: 0.85 },
      text: rows.map(AB.hover),
      hovertemplate: "%{text}<extra></extra>",
      meta: rows,
    }));
    const xs = data.flatMap((trace) => trace.x),
      ys = data.flatMap((trace) => trace.y),
      [left, right] = padded(xs);
    const known = AB.data.roofs.filter(
      (roof) => !AB.hidden.get("dtype").has(roof.dtype) && !AB.hidden.get("run").has(String(roof.run_index)),
    );
    const roofs = known.length ? known : [{ label: "best seen in these runs", tflop_s: top, gb_s: traffic }];
    const shapes = roofs.map((roof, place) => {
      const ridge = Math.min(Math.max((roof.tflop_s / roof.gb_s) * 1000, 10 ** left), 10 ** right);
      return {
        x: [10 ** left, ridge, 10 ** right],
        y: [(10 ** left * roof.gb_s) / 1000, Math.min(roof.tflop_s, (ridge * roof.gb_s) / 1000), roof.tflop_s].map(
          (y) => Math.min(y, roof.tflop_s),
        ),
        mode: "lines",
        name: safe(roof.label),
        hoverinfo: "name",
        line: { color: token("--muted"), width: 1.5, dash: AB.DASHES[place % 4] },
      };
    });
    const range = padded([...ys, ...shapes.flatMap((line) => line.y)]);
    return {
      data: [...shapes, ...data],
      layout: AB.layout({
        margin: { l: 8, r: 12, t: 8, b: 36 },
        xaxis: axis({
          title: { text: "FLOPs for each byte that must move", font: { size: 12 } },
          range: [left, right],
          ...ticks("plain", 10 ** left, 10 ** right),
        }),
        yaxis: axis({ range, ...ticks("rate", 10 ** range[0], 10 ** range[1]) }),
        annotations: roofs.map((roof) => ({
          x: right,
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

  /* The baseline as a forest plot: ratio and interval of each record, worst first. */
  const VERDICTS = {
    REGRESSED: ["triangle-right", "--bad"],
    IMPROVED: ["triangle-left", "--good"],
    UNCHANGED: ["circle", "--muted"],
    UNDECIDED: ["circle-open", "--warn"],
    INCOMPARABLE: ["x-thin-open", "--muted"],
  };
  const entries = AB.data.forest.map(([row, ratio, low, high, verdict, name, by]) => ({
    row,
    ratio,
    low,
    high,
    verdict,
    case: name || get("case", row),
    implementation: by || get("implementation", row),
  }));
  const forestRows = () =>
    entries.filter(({ row }) => row === null || AB.visible[row]).sort((a, b) => b.ratio - a.ratio);
  const ENDS = 15;
  const forestTitle = () => {
    const all = forestRows().length;
    return all > 2 * ENDS
      ? `The ${ENDS} slowest and the ${ENDS} fastest of ${all.toLocaleString("en")} records that both runs timed`
      : "Records that both runs timed, the slowest first";
  };
  const forest = () => {
    const all = forestRows(),
      rows = all.length > 2 * ENDS ? [...all.slice(0, ENDS), ...all.slice(-ENDS)] : all;
    if (!rows.length) return null;
    const data = Object.entries(VERDICTS)
      .map(([verdict, [symbol, color]]) => {
        const found = rows.map((entry, place) => [entry, place]).filter(([entry]) => entry.verdict === verdict);
        return {
          x: found.map(([entry]) => entry.ratio),
          y: found.map(([, place]) => -place),
          name: verdict,
          mode: "markers",
          error_x: {
            type: "data",
            symmetric: false,
            array: found.map(([entry]) => entry.high - entry.ratio),
            arrayminus: found.map(([entry]) => entry.ratio - entry.low),
            color: token(color),
            thickness: 1.5,
            width: 3,
          },
          marker: { symbol, color: token(color), size: 9 },
          text: found.map(
            ([entry]) =>
              `<b>${verdict}</b><br>${safe(entry.implementation)}<br>${safe(entry.case)}<br>${show(entry.ratio, "ratio")} (${span(entry.low, entry.high, "ratio")}) of the baseline's time`,
          ),
          hovertemplate: "%{text}<extra></extra>",
        };
      })
      .filter((trace) => trace.x.length);
    const ends = padded(rows.flatMap((entry) => [entry.low, entry.high, 1])),
      narrow = innerWidth < 700;
    return {
      data,
      layout: AB.layout({
        xaxis: axis({ range: ends, ...ticks("ratio", 10 ** ends[0], 10 ** ends[1]), side: "top" }),
        yaxis: {
          tickvals: rows.map((_, place) => -place),
          ticktext: rows.map((entry) =>
            safe(narrow ? `${entry.case.slice(0, 18)}…` : `${entry.implementation} ${entry.case}`.slice(0, 70)),
          ),
          automargin: true,
          fixedrange: true,
          tickfont: { size: 10, color: token("--muted") },
          gridcolor: token("--line"),
          zeroline: false,
          range: [-rows.length + 0.4, 0.6],
        },
        shapes: [
          { type: "line", yref: "paper", y0: 0, y1: 1, x0: 1, x1: 1, line: { color: token("--ink"), width: 1 } },
        ],
      }),
    };
  };

  /* A case over the runs. */
  const over = (entry) => {
    const data = entry.lines.flatMap(([name, all]) => {
      const rows = all.filter(AB.visibleInAnyRun);
      return rows.length
        ? [
            {
              x: rows.map((row) => AB.data.created[get("run_index", row)]),
              y: rows.map((row) => get("median_ns", row)),
              name: safe(name),
              mode: "lines+markers",
              error_y: {
                type: "data",
                symmetric: false,
                array: rows.map((row) => get("high_ns", row) - get("median_ns", row)),
                arrayminus: rows.map((row) => get("median_ns", row) - get("low_ns", row)),
                color: AB.color(name),
                thickness: 1.5,
                width: 3,
              },
              line: { color: AB.color(name), width: 1.75, dash: AB.style(name).dash },
              marker: { color: AB.color(name), symbol: AB.style(name).symbol[0], size: 7 },
              text: rows.map(AB.hover),
              hovertemplate: "%{text}<extra></extra>",
            },
          ]
        : [];
    });
    if (!data.length) return null;
    const range = padded(data.flatMap((trace) => trace.y));
    return {
      data,
      layout: AB.layout({
        xaxis: {
          type: "category",
          gridcolor: token("--line"),
          tickfont: { size: 10, color: token("--muted") },
          automargin: true,
          fixedrange: true,
        },
        yaxis: axis({ range, ...ticks("time", 10 ** range[0], 10 ** range[1]) }),
      }),
    };
  };
  const history = () =>
    fill(
      byId("history-panels"),
      AB.data.history
        .filter((entry) => entry.lines.some(([, rows]) => rows.some(AB.visibleInAnyRun)))
        .map((entry) => ({
          key: `${entry.machine} ${entry.case}`,
          title: entry.case,
          axes: ["run", "time"],
          figure: () => over(entry),
        })),
      4,
      "cases",
    );

  const alone = (id, chart) => {
    const place = byId(id);
    if (!place) return;
    place.classList.add("wide");
    AB.listeners.push(() => fill(place, [{ key: id, ...chart() }], 1, ""));
  };

  /* Plotly is the last script of the page, so that words and tables stand before it is read. */
  AB.startCharts = () => {
    AB.startCurves();
    alone("roofline-panels", () => ({
      title: "Rate against arithmetic intensity",
      axes: ["FLOPs for each byte that must move", "FLOP rate"],
      figure: roofline,
      height: 420,
    }));
    alone("baseline-panels", () => ({
      title: forestTitle(),
      axes: ["time over the baseline's time", "record"],
      figure: forest,
      height: Math.min(2 * ENDS, forestRows().length) * 18 + 80,
    }));
    if (byId("history-panels")) AB.listeners.push(history);
    document.addEventListener("theme", AB.plots.redraw);
    window.addEventListener("beforeprint", AB.plots.print);
    window.addEventListener("afterprint", AB.plots.printed);
    AB.update({ address: false });
    document.documentElement.dataset.ready = "yes";
  };
})();
