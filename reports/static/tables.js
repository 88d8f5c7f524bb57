/* The map of winners, the matrices, the table of records and its downloads. */
"use strict";
(() => {
  const { el, get, show, span } = AB;
  const byId = (id) => document.getElementById(id);
  const cap = (key, first) => (AB.expanded.has(key) ? Infinity : first);
  AB.expanded = new Set();
  AB.more = (key, rest, what) => rest <= 0 ? null : el("button", { type: "button", class: "more", onclick: () => { AB.expanded.add(key); AB.update({ address: false }); } }, `Show ${rest} more ${what}`);

  /* Fastest visible row of each cell; its speed-up over the reference where that is visible in the same case. */
  AB.leader = (rows) => rows.find((row) => AB.visible[row]);
  const speedup = (rows, leader) => {
    const other = rows.find((row) => get("implementation", row) === AB.view.ref);
    return other === undefined || other === leader ? null : get("median_ns", other) / get("median_ns", leader);
  };
  const ties = (rows, leader) => rows.filter((row) => row !== leader && AB.visible[row] && get("low_ns", row) <= get("high_ns", leader));

  const cell = (rows) => {
    const leader = AB.leader(rows);
    if (leader === undefined) return null;
    const name = get("implementation", leader), equal = ties(rows, leader), ratio = speedup(rows, leader);
    const fact = ratio === null ? show(get("median_ns", leader), "time") : show(ratio, "ratio");
    const said = `${name}, ${show(get("median_ns", leader), "time")}${ratio === null ? "" : `, ${show(ratio, "ratio")} the speed of ${AB.view.ref}`}${equal.length ? `, ties with ${equal.map((row) => get("implementation", row)).join(", ")}` : ""}`;
    return el("button", { type: "button", style: `--cell:var(${AB.style(name).color})`, title: said, "aria-label": `${get("case", leader)}: ${said}`, onclick: () => AB.detail(leader) },
      el("span", { class: "name" }, AB.glyph(name), " ", name), el("span", { class: "fact" }, fact, equal.length ? " ≈" : ""));
  };

  const winners = () => {
    const shown = AB.data.winners.map((row) => [row, row.cells.filter(([, rows]) => AB.leader(rows) !== undefined)]).filter(([, cells]) => cells.length);
    const lengths = [...new Set(shown.flatMap(([, cells]) => cells.map(([length]) => length)))].sort((a, b) => a - b);
    const place = byId("winners");
    if (!shown.length) return place.replaceChildren(el("p", { class: "note" }, "No record that is shown is both right and timed."));
    const head = el("tr", {}, el("td", {}), ...lengths.map((length) => el("th", { scope: "col" }, AB.length(length))));
    const most = cap("winners", 16);
    const body = shown.slice(0, most).map(([row, cells]) => el("tr", {}, el("th", { scope: "row" }, row.series, AB.data.runs.length > 1 ? el("div", { class: "note" }, AB.data.runs[row.run]) : null),
      ...lengths.map((length) => { const found = cells.filter(([at]) => at === length).map(([, rows]) => cell(rows)); return el("td", {}, ...(found.length ? found : [el("div", { class: "none" }, "")])); })));
    const more = AB.more("winners", shown.length - most, "shapes");
    place.replaceChildren(el("table", { class: "winners" }, el("thead", {}, head), el("tbody", {}, ...body)), ...(more ? [more] : []));
  };

  /* The worst share of the budget for each implementation and family. */
  const errors = () => {
    const worst = new Map(), families = Object.keys(AB.data.columns.shares);
    for (let row = 0; row < AB.data.count; row += 1) {
      if (!AB.visible[row]) continue;
      for (const family of families) {
        const share = AB.data.columns.shares[family][row];
        if (share === null) continue;
        const key = `${get("implementation", row)}\n${family}`, value = share === "inf" ? Infinity : share;
        if (!worst.has(key) || worst.get(key)[0] < value) worst.set(key, [value, row]);
      }
    }
    const names = AB.data.implementations.filter((name) => families.some((family) => worst.has(`${name}\n${family}`)));
    const rows = names.map((name) => el("tr", {}, el("th", { scope: "row" }, AB.glyph(name), " ", name), ...families.map((family) => {
      const found = worst.get(`${name}\n${family}`);
      if (!found) return el("td", {}, el("span", { class: "no" }, "–"));
      const [share, row] = found;
      return el("td", { class: share > 1 ? "over" : "", title: get("case", row) }, share > 1 ? "✕ " : "", AB.digits(share));
    })));
    const head = el("tr", {}, el("td", {}), ...families.map((family) => el("th", { scope: "col", class: "n" }, family)));
    byId("errors").replaceChildren(names.length ? el("table", { class: "matrix" }, el("thead", {}, head), el("tbody", {}, ...rows)) : el("p", { class: "note" }, "Nothing that is shown was checked."));
    failures();
  };
  const failures = () => {
    const wrong = [];
    for (let row = 0; row < AB.data.count; row += 1) if (AB.visible[row] && get("status", row) === "WRONG") wrong.push(row);
    const size = (row) => { const share = AB.data.columns.share_of_budget[row]; return share === "inf" ? Infinity : share || 0; };
    wrong.sort((a, b) => size(b) - size(a));
    const most = cap("failures", 8), more = AB.more("failures", wrong.length - most, "wrong records");
    const items = wrong.slice(0, most).map((row) => el("li", {}, AB.glyph(get("implementation", row)), " ", el("b", {}, get("implementation", row)), " on ", el("code", {}, get("case", row)), ": ",
      get("failures", row) || get("reason", row), get("hint", row) ? ` (${get("hint", row)})` : "", el("code", { class: "cmd" }, AB.command(row))));
    byId("failures").replaceChildren(...(items.length ? [el("ul", { class: "facts" }, ...items)] : []), ...(more ? [more] : []));
  };

  const KINDS = { PASSED: "yes", WRONG: "wrong", UNSUPPORTED: "no", UNAVAILABLE: "no", ERROR: "broke", CRASHED: "broke", TIMEOUT: "broke", OUT_OF_MEMORY: "broke" };
  const MARKS = { yes: "✓", wrong: "✕", no: "–", broke: "!" }, SAID = { yes: "agree", wrong: "disagree", no: "not run", broke: "broke" };
  const support = () => {
    const columns = new Map(), counts = new Map(), reasons = new Map();
    for (let row = 0; row < AB.data.count; row += 1) {
      if (!AB.visible[row]) continue;
      const layout = get("layout_kind", row), direction = get("direction", row), name = get("implementation", row), kind = KINDS[get("status", row)];
      const column = `${layout === "dense" ? "" : `${layout} `}${get("mask_kind", row)} ${get("phase", row)}${direction === "fwd" ? "" : ` ${direction}`} ${get("dtype", row)}`;
      columns.set(column, true);
      const key = `${name}\n${column}`, held = counts.get(key) || {};
      held[kind] = (held[kind] || 0) + 1;
      counts.set(key, held);
      if (kind === "no" || kind === "broke") { const why = [name, get("status", row), get("reason", row)], said = why.join("\n"); reasons.set(said, [why, (reasons.get(said)?.[1] || 0) + 1]); }
    }
    const names = AB.data.implementations.filter((name) => [...columns.keys()].some((column) => counts.has(`${name}\n${column}`)));
    const head = el("tr", {}, el("td", {}), ...[...columns.keys()].map((column) => el("th", { scope: "col", class: "n" }, ...column.split(" ").flatMap((word, place) => place ? [el("br"), word] : [word]))));
    const body = names.map((name) => el("tr", {}, el("th", { scope: "row" }, AB.glyph(name), " ", name), ...[...columns.keys()].map((column) => {
      const held = counts.get(`${name}\n${column}`) || {}, kinds = Object.keys(MARKS).filter((kind) => held[kind]);
      return el("td", { title: kinds.map((kind) => `${held[kind]} ${SAID[kind]}`).join(", ") }, ...kinds.flatMap((kind, place) => [place ? " " : "", el("span", { class: kind }, `${held[kind]}`, el("span", { "aria-hidden": "true" }, MARKS[kind]), )]));
    })));
    byId("matrix").replaceChildren(el("table", { class: "matrix" }, el("thead", {}, head), el("tbody", {}, ...body)));
    const told = [...reasons.values()].sort((a, b) => b[1] - a[1]), most = cap("reasons", 12), more = AB.more("reasons", told.length - most, "reasons");
    byId("reasons").replaceChildren(el("ul", { class: "facts" }, ...told.slice(0, most).map(([[name, status, why], count]) => el("li", {}, AB.glyph(name), " ", el("b", {}, name), " ", el("span", { class: status }, status), ` on ${count === 1 ? "1 case" : `${count.toLocaleString("en")} cases`}: `, why))), ...(more ? [more] : []));
  };

  /* The table of all records. */
  const COLUMNS = [
    ["implementation", "implementation"], ["case", "case"], ["status", "status"], ["median_ns", "median", "time"], ["interval", "95% interval"], ["speedup", "speed-up", "ratio"],
    ["tflop_s", "rate", "rate"], ["peak_bytes", "memory", "bytes"], ["first_call_ns", "first call", "time"], ["share_of_budget", "error/budget", "plain"],
  ];
  const PAGE = 50;
  let reference = new Map();
  /* The reference's row in the same run and case, where both are right and timed. */
  AB.referenceRow = (row) => get("rank", row) === null ? undefined : reference.get(`${get("run_index", row)}\n${get("case", row)}`);
  const speed = (row) => { const other = AB.referenceRow(row); return other === undefined ? null : get("median_ns", other) / get("median_ns", row); };
  const value = (name, row) => name === "speedup" ? speed(row) : name === "interval" ? get("high_ns", row) : get(name, row);
  AB.references = () => {
    reference = new Map();
    for (let row = 0; row < AB.data.count; row += 1) if (get("implementation", row) === AB.view.ref && get("rank", row) !== null) reference.set(`${get("run_index", row)}\n${get("case", row)}`, row);
  };
  AB.speed = speed;

  AB.tableRows = () => {
    const needle = AB.view.q.toLowerCase(), found = [];
    const searched = ["implementation", "case", "status", "reason", "notes", "series"];
    const hits = needle ? searched.map((name) => AB.data.columns[name].values.map((text) => text.toLowerCase().includes(needle))) : null;
    for (let row = 0; row < AB.data.count; row += 1) {
      if (!AB.visible[row]) continue;
      if (!hits || searched.some((name, place) => hits[place][AB.data.columns[name].codes[row]])) found.push(row);
    }
    const [, down, name] = /^(-?)(.*)$/.exec(AB.view.sort), keys = name ? new Map(found.map((row) => [row, value(name, row)])) : null;
    const real = (key) => key === "inf" ? Infinity : key;
    const order = (a, b) => { const x = real(keys.get(a)), y = real(keys.get(b)); if (x === y) return a - b; if (x === null || x === undefined) return 1; if (y === null || y === undefined) return -1; return (x < y ? -1 : 1) * (down ? -1 : 1); };
    if (name && COLUMNS.some(([key]) => key === name)) return found.sort(order);
    const [cases, rank] = [AB.data.columns.case.codes, AB.data.columns.rank], runs = AB.data.columns.run_index;
    return found.sort((a, b) => runs[a] - runs[b] || cases[a] - cases[b] || (rank[a] ?? 1e9) - (rank[b] ?? 1e9) || a - b);
  };
  const text = (name, kind, row) => {
    if (name === "implementation") return el("td", {}, AB.glyph(get(name, row)), " ", get(name, row));
    if (name === "median_ns" && get("rank", row) === 0) return el("td", { class: "n best", title: "fastest of its case" }, show(get(name, row), kind), el("span", { "aria-label": ", fastest of its case" }, " ◂"));
    if (name === "case") return el("td", {}, el("button", { type: "button", onclick: () => AB.detail(row) }, get(name, row)));
    if (name === "status") return el("td", { class: get(name, row), title: get("reason", row) || null }, get(name, row));
    if (name === "interval") return el("td", { class: "n" }, span(get("low_ns", row), get("high_ns", row), "time"));
    return el("td", { class: "n" }, show(value(name, row), kind));
  };
  const table = () => {
    const rows = AB.tableRows(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
    AB.view.page = Math.min(AB.view.page, pages - 1);
    const first = AB.view.page * PAGE, slice = rows.slice(first, first + PAGE);
    const sort = (name) => { AB.view.sort = AB.view.sort === name ? `-${name}` : AB.view.sort === `-${name}` ? "" : name; AB.view.page = 0; AB.writeAddress(); table(); document.querySelector(`#table [data-sort="${name}"]`).focus(); };
    const head = el("tr", {}, ...COLUMNS.map(([name, label, kind]) => el("th", { scope: "col", class: kind || name === "interval" ? "n" : null, "aria-sort": AB.view.sort === name ? "ascending" : AB.view.sort === `-${name}` ? "descending" : "none" }, el("button", { type: "button", "data-sort": name, onclick: () => sort(name) }, label))));
    byId("table").replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...slice.map((row) => el("tr", { "data-row": row }, ...COLUMNS.map(([name, , kind]) => text(name, kind, row)))))));
    const turn = (by) => () => { AB.view.page += by; table(); };
    byId("pages").replaceChildren(el("button", { type: "button", disabled: !AB.view.page, onclick: turn(-1) }, "Previous"), `${rows.length ? first + 1 : 0} to ${first + slice.length} of ${rows.length.toLocaleString("en")}`, el("button", { type: "button", disabled: AB.view.page >= pages - 1, onclick: turn(1) }, "Next"));
  };
  AB.table = table;

  /* Downloads: what the table shows, all pages, raw numbers. */
  const exported = () => {
    const names = Object.keys(AB.data.columns).filter((name) => !["permille", "shares", "tied"].includes(name));
    return AB.tableRows().map((row) => ({ ...Object.fromEntries(names.map((name) => [name, get(name, row) ?? null])), speedup: speed(row), reference: AB.view.ref, machine: AB.data.runs[get("run_index", row)], samples_ns: AB.samples(row).map((sample) => Number(sample.toPrecision(4))), command: AB.command(row) }));
  };
  const harmless = (held) => { const said = Array.isArray(held) ? held.join("; ") : held === null ? "" : String(held); return typeof held === "string" && /^[=+\-@\t\r]/.test(said) ? `'${said}` : said; };
  const csv = () => {
    const rows = exported(), names = Object.keys(rows[0] || {}), quote = (held) => `"${harmless(held).replaceAll('"', '""')}"`;
    return [names.join(","), ...rows.map((row) => names.map((name) => quote(row[name])).join(","))].join("\r\n");
  };
  const save = (name, kind, held) => {
    const link = el("a", { download: name, href: URL.createObjectURL(new Blob([held], { type: kind })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  AB.startTables = () => {
    byId("search").value = AB.view.q;
    byId("search").addEventListener("input", (event) => { AB.view.q = event.target.value; AB.view.page = 0; AB.writeAddress(); table(); });
    byId("csv").addEventListener("click", () => save("attnbench.csv", "text/csv", csv()));
    byId("json").addEventListener("click", () => save("attnbench.json", "application/json", JSON.stringify(exported(), null, 1)));
    AB.listeners.push(AB.references, winners, errors, support, table);
  };
})();
