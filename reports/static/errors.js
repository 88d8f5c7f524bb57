/* Error against budget: the worst of each implementation and family, and the wrong records. */
import { command, data, number, shares, text } from "./data.js";
import { byId, el } from "./dom.js";
import { digits } from "./figures.js";
import { glyph } from "./implementations.js";
import { cap, listen, more, visibleRows } from "./view.js";

/** @typedef {{ share: number, row: number }} Worst */

/** The worst share of the budget for each implementation, by family. */
const worstOf = () => {
  /** @type {Map<string, Map<string, Worst>>} */
  const worst = new Map();
  for (const row of visibleRows()) {
    const name = text("implementation", row);
    for (const [family, column] of shares) {
      const share = column[row];
      if (share === null) continue;
      const mine = worst.get(name) ?? new Map();
      worst.set(name, mine);
      const before = mine.get(family);
      if (!before || before.share < share) mine.set(family, { share, row });
    }
  }
  return worst;
};

/**
 * @param {string} name
 * @param {string} family
 * @param {Worst | undefined} worst
 */
const cell = (name, family, worst) => {
  if (!worst) return el("td", {}, el("span", { class: "no" }, "–"));
  const { share, row } = worst,
    declared = data.limits[name]?.[family],
    over = share > 1;
  if (over && declared)
    return el("td", { title: `declared limit: ${declared}` }, el("span", { class: "no" }, "known"));
  return el("td", { class: over ? "over" : "", title: text("case", row) }, over ? "✕ " : "", digits(share));
};

const errors = () => {
  const worst = worstOf(),
    names = data.implementations.filter((name) => worst.has(name));
  const head = shares.map(([family]) => el("th", { scope: "col", class: "n" }, family));
  const rows = names.map((name) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, glyph(name), " ", name),
      ...shares.map(([family]) => cell(name, family, worst.get(name)?.get(family))),
    ),
  );
  byId("errors").replaceChildren(
    names.length
      ? el(
          "table",
          { class: "matrix" },
          el("thead", {}, el("tr", {}, el("td", {}), ...head)),
          el("tbody", {}, ...rows),
        )
      : el("p", { class: "note" }, "Nothing that is shown was checked."),
  );
};

/** @param {number} row */
const size = (row) => number("share_of_budget", row) ?? 0;

const failures = () => {
  const wrong = [...visibleRows()].filter((row) => text("status", row) === "WRONG");
  wrong.sort((a, b) => (size(a) === size(b) ? a - b : size(b) - size(a)));
  const most = cap("failures", 8);
  const items = wrong
    .slice(0, most)
    .map((row) =>
      el(
        "li",
        {},
        glyph(text("implementation", row)),
        " ",
        el("b", {}, text("implementation", row)),
        " on ",
        el("code", {}, text("case", row)),
        ": ",
        text("failures", row) || text("reason", row),
        text("hint", row) ? ` (${text("hint", row)})` : "",
        el("code", { class: "cmd" }, command("check", row)),
      ),
    );
  byId("failures").replaceChildren(
    ...(items.length ? [el("ul", { class: "facts" }, ...items)] : []),
    ...more("failures", wrong.length - most, "wrong records"),
  );
};

export const startErrors = () => listen(errors, failures);
