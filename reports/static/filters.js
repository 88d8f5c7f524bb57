/* The filter bar: the legend, a menu for each facet, and how many records are left. */
import { data } from "./data.js";
import { all, byId, el } from "./dom.js";
import { grouped, length } from "./figures.js";
import { glyph } from "./implementations.js";
import { FACETS, hiddenOf, hide, isUsual, listen, reset, valuesOf, view } from "./view.js";

/**
 * What a value of a facet is called.
 * @param {string} key
 * @param {string} value
 */
const named = (key, value) => {
  if (key === "run") return data.runs[Number(value)];
  return key === "len" ? length(value) : value;
};

/**
 * @param {string} key
 * @param {string} value
 */
const toggle = (key, value) => {
  const hides = new Set(hiddenOf(key));
  if (!hides.delete(value)) hides.add(value);
  hide(key, hides);
};

/**
 * @param {string} key
 * @param {string} value
 */
const only = (key, value) =>
  hide(
    key,
    valuesOf(key).filter((other) => other !== value),
  );

/** @param {string} name */
const legendItem = (name) => {
  /** @param {MouseEvent} event */
  const onclick = (event) => (event.shiftKey || event.altKey ? only("impl", name) : toggle("impl", name));
  const title = `${name}: click to hide or show, with Shift to show it alone`;
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", title, onclick, "data-impl": name },
      glyph(name),
      el("span", { class: "name" }, name),
    ),
  );
};

/**
 * @param {string} key
 * @param {string} label
 */
const menu = (key, label) => {
  const boxes = valuesOf(key).map((value) => {
    const onchange = () => toggle(key, value);
    return el(
      "label",
      {},
      el("input", { type: "checkbox", "data-key": key, "data-value": value, onchange }),
      named(key, value),
    );
  });
  const every = el("button", { type: "button", onclick: () => hide(key, []) }, "All"),
    none = el("button", { type: "button", onclick: () => hide(key, valuesOf(key)) }, "None");
  return el(
    "details",
    { "data-facet": key },
    el("summary", {}, label),
    el(
      "div",
      { class: "menu", role: "group", "aria-label": label },
      el("div", { class: "row" }, every, none),
      ...boxes,
    ),
  );
};

/**
 * One menu is open at a time; a click elsewhere or Escape closes it.
 * @param {HTMLDetailsElement[]} menus
 */
const closeOthers = (menus) => {
  /** @param {HTMLDetailsElement | null} except */
  const close = (except) => {
    for (const one of menus) if (one !== except) one.open = false;
  };
  for (const one of menus) one.addEventListener("toggle", () => one.open && close(one));
  document.addEventListener("click", ({ target }) => {
    if (!(target instanceof Element && target.closest("#facets"))) close(null);
  });
  document.addEventListener("keydown", ({ key }) => {
    const open = menus.find((one) => one.open);
    if (key !== "Escape" || !open) return;
    open.open = false;
    all("summary", open)[0].focus();
  });
};

const reflect = () => {
  for (const button of all("#legend button"))
    button.setAttribute("aria-pressed", String(!hiddenOf("impl").has(button.dataset.impl ?? "")));
  /** @type {HTMLInputElement[]} */
  const boxes = all("#facets input");
  for (const box of boxes) box.checked = !hiddenOf(box.dataset.key ?? "").has(box.dataset.value ?? "");
  for (const one of all("#facets details")) one.classList.toggle("active", !isUsual(one.dataset.facet ?? ""));
  const total = `${grouped(data.count)} records`;
  byId("shown").textContent = view.shown < data.count ? `${grouped(view.shown)} of ${total}` : total;
  byId("reset").hidden = FACETS.every(([key]) => isUsual(key));
};

export const startFilters = () => {
  const menus = FACETS.filter(([key]) => key !== "impl" && valuesOf(key).length > 1).map(([key, label]) =>
    menu(key, label),
  );
  byId("legend").replaceChildren(...valuesOf("impl").map(legendItem));
  byId("facets").replaceChildren(...menus);
  closeOthers(menus);
  byId("reset").addEventListener("click", reset);
  listen(reflect);
};
