/* The table of records, its search, its order and its downloads. */
"use strict";
(() => {
  const { el, get, show, span, byId } = AB;

  /* The table of all records. */
  const COLUMNS = [
    ["implementation", "implementation"],
    ["case", "case"],
    ["status", "status"],
    ["median_ns", "median", "time"],
    ["interval", "95% interval"],
    ["speedup", "speed-up", "ratio"],
    ["tflop_s", "rate", "rate"],
    ["peak_bytes", "memory", "bytes"],
    ["first_call_ns", "first call", "time"],
    ["share_of_budget", "error/budget", "plain"],
  ];
  const PAGE = 50;
  let reference = new Map();
  /* The reference's row in the same run and case, where both are right and timed. */
  AB.referenceRow = (row) =>
    get("rank", row) === null ? undefined : reference.get(`${get("run_index", row)}\n${get("case", row)}`);
  const speed = (row) => {
    const other = AB.referenceRow(row);
    return other === undefined ? null : get("median_ns", other) / get("median_ns", row);
  };
  const value = (name, row) =>
    name === "speedup" ? speed(row) : name === "interval" ? get("high_ns", row) : get(name, row);
  AB.references = () => {
    reference = new Map();
    for (let row = 0; row < AB.data.count; row += 1)
      if (get("implementation", row) === AB.view.ref && get("rank", row) !== null)
        reference.set(`${get("run_index", row)}\n${get("case", row)}`, row);
  };
  AB.speed = speed;

  AB.tableRows = () => {
    const needle = AB.view.q.toLowerCase(),
      found = [];
    const searched = ["implementation", "case", "status", "reason", "notes", "series"];
    const hits = needle
      ? searched.map((name) => AB.data.columns[name].values.map((text) => text.toLowerCase().includes(needle)))
      : null;
    for (let row = 0; row < AB.data.count; row += 1) {
      if (!AB.visible[row]) continue;
      if (!hits || searched.some((name, place) => hits[place][AB.data.columns[name].codes[row]])) found.push(row);
    }
    const [, down, name] = /^(-?)(.*)$/.exec(AB.view.sort),
      keys = name ? new Map(found.map((row) => [row, value(name, row)])) : null;
    const real = (key) => (key === "inf" ? Infinity : key);
    const order = (a, b) => {
      const x = real(keys.get(a)),
        y = real(keys.get(b));
      if (x === y) return a - b;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : 1) * (down ? -1 : 1);
    };
    if (name && COLUMNS.some(([key]) => key === name)) return found.sort(order);
    const [cases, rank] = [AB.data.columns.case.codes, AB.data.columns.rank],
      runs = AB.data.columns.run_index;
    return found.sort(
      (a, b) => runs[a] - runs[b] || cases[a] - cases[b] || (rank[a] ?? 1e9) - (rank[b] ?? 1e9) || a - b,
    );
  };
  const text = (name, kind, row) => {
    if (name === "implementation") return el("td", {}, AB.glyph(get(name, row)), " ", get(name, row));
    if (name === "median_ns" && get("rank", row) === 0)
      return el(
        "td",
        { class: "n best", title: "fastest of its case" },
        show(get(name, row), kind),
        el("span", { "aria-label": ", fastest of its case" }, " ◂"),
      );
    if (name === "case")
      return el("td", {}, el("button", { type: "button", onclick: () => AB.detail(row) }, get(name, row)));
    if (name === "status")
      return el("td", { class: get(name, row), title: get("reason", row) || null }, get(name, row));
    if (name === "interval") return el("td", { class: "n" }, span(get("low_ns", row), get("high_ns", row), "time"));
    return el("td", { class: "n" }, show(value(name, row), kind));
  };
  const table = () => {
    const rows = AB.tableRows(),
      pages = Math.max(1, Math.ceil(rows.length / PAGE));
    AB.view.page = Math.min(AB.view.page, pages - 1);
    const first = AB.view.page * PAGE,
      slice = rows.slice(first, first + PAGE);
    const sort = (name) => {
      AB.view.sort = AB.view.sort === name ? `-${name}` : AB.view.sort === `-${name}` ? "" : name;
      AB.view.page = 0;
      AB.writeAddress();
      table();
      document.querySelector(`#table [data-sort="${name}"]`).focus();
    };
    const head = el(
      "tr",
      {},
      ...COLUMNS.map(([name, label, kind]) =>
        el(
          "th",
          {
            scope: "col",
            class: kind || name === "interval" ? "n" : null,
            "aria-sort": AB.view.sort === name ? "ascending" : AB.view.sort === `-${name}` ? "descending" : "none",
          },
          el("button", { type: "button", "data-sort": name, onclick: () => sort(name) }, label),
        ),
      ),
    );
    byId("table").replaceChildren(
      el(
        "table",
        {},
        el("thead", {}, head),
        el(
          "tbody",
          {},
          ...slice.map((row) =>
            el("tr", { "data-row": row }, ...COLUMNS.map(([name, , kind]) => text(name, kind, row))),
          ),
        ),
      ),
    );
    const turn = (by) => () => {
      AB.view.page += by;
      table();
    };
    byId("pages").replaceChildren(
      el("button", { type: "button", disabled: !AB.view.page, onclick: turn(-1) }, "Previous"),
      `${rows.length ? first + 1 : 0} to ${first + slice.length} of ${rows.length.toLocaleString("en")}`,
      el("button", { type: "button", disabled: AB.view.page >= pages - 1, onclick: turn(1) }, "Next"),
    );
  };
  AB.table = table;

  /* Downloads: what the table shows, all pages, raw numbers. */
  const exported = () => {
    const names = Object.keys(AB.data.columns).filter((name) => !["permille", "shares", "tied"].includes(name));
    return AB.tableRows().map((row) => ({
      ...Object.fromEntries(names.map((name) => [name, get(name, row) ?? null])),
      speedup: speed(row),
      reference: AB.view.ref,
      machine: AB.data.runs[get("run_index", row)],
      samples_ns: AB.samples(row).map((sample) => Number(sample.toPrecision(4))),
      command: AB.command(row),
    }));
  };
  const harmless = (held) => {
    const said = Array.isArray(held) ? held.join("; ") : held === null ? "" : String(held);
    return typeof held === "string" && /^[=+\-@\t\r]/.test(said) ? `'${said}` : said;
  };
  const csv = () => {
    const rows = exported(),
      names = Object.keys(rows[0] || {}),
      quote = (held) => `"${harmless(held).replaceAll('"', '""')}"`;
    return [names.join(","), ...rows.map((row) => names.map((name) => quote(row[name])).join(","))].join("\r\n");
  };
  const save = (name, kind, held) => {
    const link = el("a", { download: name, href: URL.createObjectURL(new Blob([held], { type: kind })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  AB.startRecords = () => {
    byId("search").value = AB.view.q;
    byId("search").addEventListener("input", (event) => {
      AB.view.q = event.target.value;
      AB.view.page = 0;
      AB.writeAddress();
      table();
    });
    byId("csv").addEventListener("click", () => save("attnbench.csv", "text/csv", csv()));
    byId("json").addEventListener("click", () =>
      save("attnbench.json", "application/json", JSON.stringify(exported(), null, 1)),
    );
    AB.listeners.unshift(AB.references);
    AB.listeners.push(table);
  };
})();
