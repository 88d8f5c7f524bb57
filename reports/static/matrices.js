/* The map of winners and the matrices: error against budget, and what runs where. */
"use strict";
(() => {
  const { el, get, show, byId, cap } = AB;

  /* Fastest visible row of each cell; its speed-up over the reference where that is visible in the same case. */
  AB.leader = (rows) => rows.find((row) => AB.visible[row]);
  const speedup = (rows, leader) => {
    const other = rows.find((row) => get("implementation", row) === AB.view.ref);
    return other === undefined || other === leader ? null : get("median_ns", other) / get("median_ns", leader);
  };
  const ties = (rows, leader) =>
    rows.filter((row) => row !== leader && AB.visible[row] && get("low_ns", row) <= get("high_ns", leader));

  const cell = (rows) => {
    const leader = AB.leader(rows);
    if (leader === undefined) return null;
    const name = get("implementation", leader),
      equal = ties(rows, leader),
      ratio = speedup(rows, leader);
    const fact = ratio === null ? show(get("median_ns", leader), "time") : show(ratio, "ratio");
    const said = `${name}, ${show(get("median_ns", leader), "time")}${ratio === null ? "" : `, ${show(ratio, "ratio")} the speed of ${AB.view.ref}`}${equal.length ? `, ties with ${equal.map((row) => get("implementation", row)).join(", ")}` : ""}`;
    return el(
      "button",
      {
        type: "button",
        style: `--cell:var(${AB.style(name).color})`,
        title: said,
        "aria-label": `${get("case", leader)}: ${said}`,
        onclick: () => AB.detail(leader),
      },
      el("span", { class: "name" }, AB.glyph(name), " ", name),
      el("span", { class: "fact" }, fact, equal.length ? " ≈" : ""),
    );
  };

  const winners = () => {
    const shown = AB.data.winners
      .map((row) => [row, row.cells.filter(([, rows]) => AB.leader(rows) !== undefined)])
      .filter(([, cells]) => cells.length);
    const lengths = [...new Set(shown.flatMap(([, cells]) => cells.map(([length]) => length)))].sort(
      (a, b) => a - b,
    );
    const place = byId("winners");
    if (!shown.length)
      return place.replaceChildren(el("p", { class: "note" }, "No record that is shown is both right and timed."));
    const head = el(
      "tr",
      {},
      el("td", {}),
      ...lengths.map((length) => el("th", { scope: "col" }, AB.length(length))),
    );
    const most = cap("winners", 16);
    const body = shown.slice(0, most).map(([row, cells]) =>
      el(
        "tr",
        {},
        el(
          "th",
          { scope: "row" },
          row.series,
          AB.data.runs.length > 1 ? el("div", { class: "note" }, AB.data.runs[row.run]) : null,
        ),
        ...lengths.map((length) => {
          const found = cells.filter(([at]) => at === length).map(([, rows]) => cell(rows));
          return el("td", {}, ...(found.length ? found : [el("div", { class: "none" }, "")]));
        }),
      ),
    );
    const more = AB.more("winners", shown.length - most, "shapes");
    place.replaceChildren(
      el("table", { class: "winners" }, el("thead", {}, head), el("tbody", {}, ...body)),
      ...(more ? [more] : []),
    );
  };

  /* The worst share of the budget for each implementation and family. */
  const errors = () => {
    const worst = new Map(),
      families = Object.keys(AB.data.columns.shares);
    for (let row = 0; row < AB.data.count; row += 1) {
      if (!AB.visible[row]) continue;
      for (const family of families) {
        const share = AB.data.columns.shares[family][row];
        if (share === null) continue;
        const key = `${get("implementation", row)}\n${family}`,
          value = share === "inf" ? Infinity : share;
        if (!worst.has(key) || worst.get(key)[0] < value) worst.set(key, [value, row]);
      }
    }
    const names = AB.data.implementations.filter((name) =>
      families.some((family) => worst.has(`${name}\n${family}`)),
    );
    const rows = names.map((name) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, AB.glyph(name), " ", name),
        ...families.map((family) => {
          const found = worst.get(`${name}\n${family}`);
          if (!found) return el("td", {}, el("span", { class: "no" }, "–"));
          const [share, row] = found,
            declared = AB.data.limits[name]?.[family];
          if (share > 1 && declared)
            return el("td", { title: `declared limit: ${declared}` }, el("span", { class: "no" }, "known"));
          return el(
            "td",
            { class: share > 1 ? "over" : "", title: get("case", row) },
            share > 1 ? "✕ " : "",
            AB.digits(share),
          );
        }),
      ),
    );
    const head = el(
      "tr",
      {},
      el("td", {}),
      ...families.map((family) => el("th", { scope: "col", class: "n" }, family)),
    );
    byId("errors").replaceChildren(
      names.length
        ? el("table", { class: "matrix" }, el("thead", {}, head), el("tbody", {}, ...rows))
        : el("p", { class: "note" }, "Nothing that is shown was checked."),
    );
    failures();
  };
  const failures = () => {
    const wrong = [];
    for (let row = 0; row < AB.data.count; row += 1)
      if (AB.visible[row] && get("status", row) === "WRONG") wrong.push(row);
    const size = (row) => {
      const share = AB.data.columns.share_of_budget[row];
      return share === "inf" ? Infinity : share || 0;
    };
    wrong.sort((a, b) => size(b) - size(a));
    const most = cap("failures", 8),
      more = AB.more("failures", wrong.length - most, "wrong records");
    const items = wrong
      .slice(0, most)
      .map((row) =>
        el(
          "li",
          {},
          AB.glyph(get("implementation", row)),
          " ",
          el("b", {}, get("implementation", row)),
          " on ",
          el("code", {}, get("case", row)),
          ": ",
          get("failures", row) || get("reason", row),
          get("hint", row) ? ` (${get("hint", row)})` : "",
          el("code", { class: "cmd" }, AB.command(row)),
        ),
      );
    byId("failures").replaceChildren(
      ...(items.length ? [el("ul", { class: "facts" }, ...items)] : []),
      ...(more ? [more] : []),
    );
  };

  const KINDS = {
    PASSED: "yes",
    WRONG: "wrong",
    UNSUPPORTED: "no",
    UNAVAILABLE: "no",
    ERROR: "broke",
    CRASHED: "broke",
    TIMEOUT: "broke",
    OUT_OF_MEMORY: "broke",
  };
  const MARKS = { yes: "✓", wrong: "✕", no: "–", broke: "!" },
    SAID = { yes: "agree", wrong: "disagree", no: "not run", broke: "broke" };
  const support = () => {
    const columns = new Map(),
      counts = new Map(),
      reasons = new Map();
    for (let row = 0; row < AB.data.count; row += 1) {
      if (!AB.visible[row]) continue;
      const layout = get("layout_kind", row),
        direction = get("direction", row),
        name = get("implementation", row),
        kind = KINDS[get("status", row)];
      const column = `${layout === "dense" ? "" : `${layout} `}${get("mask_kind", row)} ${get("phase", row)}${direction === "fwd" ? "" : ` ${direction}`} ${get("dtype", row)}`;
      columns.set(column, true);
      const key = `${name}\n${column}`,
        held = counts.get(key) || {};
      held[kind] = (held[kind] || 0) + 1;
      counts.set(key, held);
      if (kind === "no" || kind === "broke") {
        const why = [name, get("status", row), get("reason", row)],
          said = why.join("\n");
        reasons.set(said, [why, (reasons.get(said)?.[1] || 0) + 1]);
      }
    }
    const names = AB.data.implementations.filter((name) =>
      [...columns.keys()].some((column) => counts.has(`${name}\n${column}`)),
    );
    const head = el(
      "tr",
      {},
      el("td", {}),
      ...[...columns.keys()].map((column) =>
        el(
          "th",
          { scope: "col", class: "n" },
          ...column.split(" ").flatMap((word, place) => (place ? [el("br"), word] : [word])),
        ),
      ),
    );
    const body = names.map((name) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, AB.glyph(name), " ", name),
        ...[...columns.keys()].map((column) => {
          const held = counts.get(`${name}\n${column}`) || {},
            kinds = Object.keys(MARKS).filter((kind) => held[kind]);
          return el(
            "td",
            { title: kinds.map((kind) => `${held[kind]} ${SAID[kind]}`).join(", ") },
            ...kinds.flatMap((kind, place) => [
              place ? " " : "",
              el("span", { class: kind }, `${held[kind]}`, el("span", { "aria-hidden": "true" }, MARKS[kind])),
            ]),
          );
        }),
      ),
    );
    byId("matrix").replaceChildren(
      el("table", { class: "matrix" }, el("thead", {}, head), el("tbody", {}, ...body)),
    );
    const told = [...reasons.values()].sort((a, b) => b[1] - a[1]),
      most = cap("reasons", 12),
      more = AB.more("reasons", told.length - most, "reasons");
    byId("reasons").replaceChildren(
      el(
        "ul",
        { class: "facts" },
        ...told
          .slice(0, most)
          .map(([[name, status, why], count]) =>
            el(
              "li",
              {},
              AB.glyph(name),
              " ",
              el("b", {}, name),
              " ",
              el("span", { class: status }, status),
              ` on ${count === 1 ? "1 case" : `${count.toLocaleString("en")} cases`}: `,
              why,
            ),
          ),
      ),
      ...(more ? [more] : []),
    );
  };

  AB.listeners.push(winners, errors, support);
})();
