/* Light and dark: the system decides until the reader chooses; the choice is kept where the browser keeps things. */
const KEY = "attnbench-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

// A page opened from a file may be refused its storage; the choice then lasts as long as the page.
const read = () => {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
};

/** @param {string} choice */
const keep = (choice) => {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    return;
  }
};

/** @param {string | null} choice */
const show = (choice) => {
  document.documentElement.dataset.theme = choice || (system.matches ? "dark" : "light");
  document.dispatchEvent(new CustomEvent("theme"));
};

show(read());
system.addEventListener("change", () => show(read()));
document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("theme")?.addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    keep(next);
    show(next);
  });
});
