/* How each implementation looks, everywhere the same: color, symbol, dash. */
import { data } from "./data.js";
import { el, token } from "./dom.js";

const SYMBOLS = [
  ["circle", "●"],
  ["square", "■"],
  ["diamond", "◆"],
  ["triangle-up", "▲"],
  ["triangle-down", "▼"],
  ["cross", "✚"],
  ["star", "★"],
];
export const DASHES = ["solid", "dash", "dot", "dashdot"];

const styles = new Map(
  data.implementations.map((name, place) => {
    const [symbol, character] = SYMBOLS[place % SYMBOLS.length];
    const dash = DASHES[Math.floor(place / 8) % DASHES.length];
    return [name, { color: `--c${place % 8}`, symbol, character, dash }];
  }),
);

/** @param {string} name */
export const isImplementation = (name) => styles.has(name);

/** @param {string} name */
export const style = (name) => {
  const found = styles.get(name);
  if (!found) throw new Error(`no implementation of this page is called ${name}`);
  return found;
};

/**
 * The color of an implementation in the present theme.
 * @param {string} name
 */
export const color = (name) => token(style(name).color);

/** @param {string} name */
export const glyph = (name) =>
  el(
    "span",
    { class: "glyph", "aria-hidden": "true", style: `color:var(${style(name).color})` },
    style(name).character,
  );
