/* Data, numbers, filters and the address. Every figure was computed before; this selects. */
"use strict";
const AB = {};
AB.data = JSON.parse(document.getElementById("payload").textContent);

for (const [name, column] of Object.entries(AB.data.columns)) {
  if (column === null) AB.data.columns[name] = new Array(AB.data.count).fill(null);
  else if (column.codes === 0) column.codes = new Uint8Array(AB.data.count);
}

/* One value of a row; text columns are codes into their values. */
AB.get = (name, row) => {
  const column = AB.data.columns[name];
  return column.codes ? column.values[column.codes[row]] : column[row];
};

/* Numbers as reports/units.py shows them, from the same table of units. */
AB.digits = (value) => {
  if (value === "inf" || value === Infinity) return "∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(2).replace("e+", "e");
  const rounded = Number(value.toPrecision(3));
  return rounded.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded)))));
};
AB.unit = (value, kind) => {
  const scales = AB.data.scales[kind],
    size = Number(Math.abs(value).toPrecision(3));
  return scales.filter(([least]) => size >= least).pop() || scales[0];
};
AB.tick = (value, kind) =>
  AB.show(value, kind)
    .replace(/(\.\d*?)0+(?=\D|$)/, "$1")
    .replace(/\.(?=\D|$)/, "");
AB.show = (value, kind) => {
  if (value === null || value === undefined) return "–";
  if (value === "inf") return "∞";
  const [size, unit] = AB.unit(value, kind);
  return AB.digits(value / size) + (unit && unit !== "x" ? " " : "") + unit;
};
AB.span = (low, high, kind) => {
  if (low === null || high === null) return "–";
  const [size, unit] = AB.unit(high, kind);
  return `${AB.digits(low / size)} to ${AB.digits(high / size)}${unit && unit !== "x" ? " " : ""}${unit}`;
};
AB.length = (tokens) => AB.data.lengths[tokens] || String(tokens);

/* An element with attributes and children; text is always text. */
AB.el = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

AB.SYMBOLS = [
  ["circle", "●"],
  ["square", "■"],
  ["diamond", "◆"],
  ["triangle-up", "▲"],
  ["triangle-down", "▼"],
  ["cross", "✚"],
  ["star", "★"],
];
AB.DASHES = ["solid", "dash", "dot", "dashdot"];
AB.implementations = new Map(
  AB.data.implementations.map((name, place) => [
    name,
    {
      color: `--c${place % 8}`,
      symbol: AB.SYMBOLS[place % 7],
      dash: AB.DASHES[Math.floor(place / 8) % 4],
    },
  ]),
);
AB.style = (name) => AB.implementations.get(name);
AB.color = (name) => getComputedStyle(document.documentElement).getPropertyValue(AB.style(name).color).trim();
AB.glyph = (name) =>
  AB.el(
    "span",
    { class: "glyph", "aria-hidden": "true", style: `color:var(${AB.style(name).color})` },
    AB.style(name).symbol[1],
  );

/* The filters: what is hidden, by facet. `len` holds the lengths that are shown, or null for all. */
AB.FACETS = [
  ["impl", "Implementation", "implementation"],
  ["phase", "Phase", "phase"],
  ["mask", "Mask", "mask"],
  ["dtype", "Dtype", "dtype"],
  ["dir", "Direction", "direction"],
  ["layout", "Layout", "layout_kind"],
  ["status", "Status", "status"],
  ["len", "Length", "length"],
  ["run", "Run", "run_index"],
];
AB.values = new Map(
  AB.FACETS.map(([key, , column]) => {
    const held = AB.data.columns[column];
    const seen =
      key === "impl"
        ? AB.data.implementations
        : held.codes
          ? held.values
          : [...new Set(held)].sort((a, b) => a - b);
    return [key, seen.map(String)];
  }),
);
/* Older runs of a machine are hidden until someone asks for them. */
AB.usual = (key) =>
  new Set(key === "run" ? AB.values.get("run").filter((place) => !AB.data.current.includes(Number(place))) : []);
AB.isUsual = (key) => {
  const hidden = AB.hidden.get(key),
    usual = AB.usual(key);
  return hidden.size === usual.size && [...usual].every((value) => hidden.has(value));
};
AB.hidden = new Map(AB.FACETS.map(([key]) => [key, AB.usual(key)]));
AB.view = { measure: "time", ref: AB.data.reference, q: "", sort: "", page: 0 };
AB.visible = new Uint8Array(AB.data.count);
AB.listeners = [];

AB.filter = () => {
  const { columns, count } = AB.data;
  AB.visible.fill(1);
  AB.shownCount = 0;
  for (const [key, , column] of AB.FACETS) {
    const hidden = AB.hidden.get(key);
    if (!hidden.size) continue;
    const held = columns[column];
    const codes = held.codes || held;
    const bad = new Set(
      held.codes
        ? held.values.flatMap((value, code) => (hidden.has(String(value)) ? [code] : []))
        : held.filter((value) => hidden.has(String(value))),
    );
    for (let row = 0; row < count; row += 1) if (bad.has(codes[row])) AB.visible[row] = 0;
  }
  for (let row = 0; row < count; row += 1) AB.shownCount += AB.visible[row];
};

/* A history speaks of all runs: every filter but that of the run. */
AB.visibleInAnyRun = (row) =>
  AB.FACETS.every(([key, , column]) => key === "run" || !AB.hidden.get(key).has(String(AB.get(column, row))));

/* Everything that can be shared stands behind the #, as key=value pairs; a section's own anchor is kept. */
AB.writeAddress = () => {
  const parts = new URLSearchParams();
  for (const [key] of AB.FACETS) {
    const hidden = AB.hidden.get(key);
    if (AB.isUsual(key)) continue;
    const all = AB.values.get(key),
      kept = all.filter((value) => !hidden.has(value));
    if (!hidden.size || kept.length <= hidden.size)
      (kept.length ? kept : [""]).forEach((value) => parts.append(key, value));
    else hidden.forEach((value) => parts.append(`${key}!`, value));
  }
  const view = AB.view;
  if (view.measure !== "time") parts.set("measure", view.measure);
  if (view.ref && view.ref !== AB.data.reference) parts.set("ref", view.ref);
  if (view.q) parts.set("q", view.q);
  if (view.sort) parts.set("sort", view.sort);
  history.replaceState(null, "", parts.size ? `#${parts}` : location.pathname + location.search);
};
AB.readAddress = () => {
  const parts = new URLSearchParams(location.hash.slice(1));
  for (const [key] of AB.FACETS) {
    const all = AB.values.get(key),
      kept = parts.getAll(key);
    const without = parts.getAll(`${key}!`);
    AB.hidden.set(
      key,
      kept.length
        ? new Set(all.filter((value) => !kept.includes(value)))
        : without.length
          ? new Set(without)
          : AB.usual(key),
    );
  }
  AB.view.measure = parts.get("measure") || "time";
  AB.view.ref = AB.implementations.has(parts.get("ref")) ? parts.get("ref") : AB.data.reference;
  AB.view.q = parts.get("q") || "";
  AB.view.sort = parts.get("sort") || "";
  AB.view.page = 0;
};
AB.isView = () => /[=]/.test(location.hash);

/* Apply the filters to everything. */
AB.update = ({ address = true } = {}) => {
  AB.filter();
  if (address) AB.writeAddress();
  for (const listener of AB.listeners) listener();
};

AB.command = (row) => {
  const quoted = (text) => AB.data.quoted[text] || text;
  return AB.data.command
    .replace("{seed}", () => AB.get("seed", row))
    .replace("{impl}", () => quoted(AB.get("implementation", row)))
    .replace("{case}", () => quoted(AB.get("example", row) || AB.get("case", row)));
};
AB.samples = (row) => AB.data.columns.permille[row].map((part) => AB.get("median_ns", row) * (1 + part / 1000));

/* What a reader asked to see all of. */
AB.byId = (id) => document.getElementById(id);
AB.expanded = new Set();
AB.more = (key, rest, what) =>
  rest <= 0
    ? null
    : AB.el(
        "button",
        {
          type: "button",
          class: "more",
          onclick: () => {
            AB.expanded.add(key);
            AB.update({ address: false });
          },
        },
        `Show ${rest} more ${what}`,
      );
AB.cap = (key, first) => (AB.expanded.has(key) ? Infinity : first);
