/* The filter bar, the detail of one record, and the start. */
"use strict";
(() => {
  const { el, get, show, span, byId } = AB;
  const names = (key, value) => (key === "len" ? AB.length(value) : key === "run" ? AB.data.runs[value] : value);

  const toggle = (key, value) => {
    const hidden = AB.hidden.get(key);
    hidden.has(value) ? hidden.delete(value) : hidden.add(value);
    AB.view.page = 0;
    AB.update();
  };
  const legend = () => {
    byId("legend").replaceChildren(
      ...AB.values.get("impl").map((name) =>
        el(
          "li",
          {},
          el(
            "button",
            {
              type: "button",
              title: `${name}: click to hide or show, with Shift to show it alone`,
              onclick: (event) => (event.shiftKey || event.altKey ? only("impl", name) : toggle("impl", name)),
              "data-impl": name,
            },
            AB.glyph(name),
            el("span", { class: "name" }, name),
          ),
        ),
      ),
    );
  };
  const only = (key, value) => {
    AB.hidden.set(key, new Set(AB.values.get(key).filter((other) => other !== value)));
    AB.update();
  };
  const facets = () => {
    const made = AB.FACETS.filter(([key]) => key !== "impl" && AB.values.get(key).length > 1).map(
      ([key, label]) => {
        const boxes = AB.values.get(key).map((value) =>
          el(
            "label",
            {},
            el("input", {
              type: "checkbox",
              "data-key": key,
              "data-value": value,
              onchange: () => toggle(key, value),
            }),
            names(key, value),
          ),
        );
        const all = el(
          "button",
          {
            type: "button",
            onclick: () => {
              AB.hidden.set(key, new Set());
              AB.update();
            },
          },
          "All",
        );
        const none = el(
          "button",
          {
            type: "button",
            onclick: () => {
              AB.hidden.set(key, new Set(AB.values.get(key)));
              AB.update();
            },
          },
          "None",
        );
        return el(
          "details",
          { "data-facet": key },
          el("summary", {}, label),
          el(
            "div",
            { class: "menu", role: "group", "aria-label": label },
            el("div", { class: "row" }, all, none),
            ...boxes,
          ),
        );
      },
    );
    byId("facets").replaceChildren(...made);
    const close = (except) =>
      made.forEach((menu) => {
        if (menu !== except) menu.open = false;
      });
    made.forEach((menu) => menu.addEventListener("toggle", () => menu.open && close(menu)));
    document.addEventListener("click", (event) => {
      if (!event.target.closest("#facets")) close(null);
    });
    document.addEventListener("keydown", (event) => {
      const open = made.find((menu) => menu.open);
      if (event.key === "Escape" && open) {
        open.open = false;
        open.querySelector("summary").focus();
      }
    });
  };
  const reflect = () => {
    for (const button of document.querySelectorAll("#legend button"))
      button.setAttribute("aria-pressed", String(!AB.hidden.get("impl").has(button.dataset.impl)));
    for (const box of document.querySelectorAll("#facets input"))
      box.checked = !AB.hidden.get(box.dataset.key).has(box.dataset.value);
    for (const menu of document.querySelectorAll("#facets details"))
      menu.classList.toggle("active", !AB.isUsual(menu.dataset.facet));
    const all = AB.data.count,
      some = AB.shownCount < all,
      usual = AB.FACETS.every(([key]) => AB.isUsual(key));
    byId("shown").textContent = some
      ? `${AB.shownCount.toLocaleString("en")} of ${all.toLocaleString("en")} records`
      : `${all.toLocaleString("en")} records`;
    byId("reset").hidden = usual;
  };

  /* Everything about one record, with its raw samples drawn in the order they were taken. */
  const strip = (row) => {
    const samples = AB.samples(row);
    if (!samples.length) return null;
    const low = Math.min(...samples),
      high = Math.max(...samples),
      width = 600,
      space = "http://www.w3.org/2000/svg";
    const drawing = document.createElementNS(space, "svg");
    drawing.setAttribute("viewBox", `0 0 ${width} 64`);
    drawing.setAttribute("class", "samples");
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("role", "img");
    drawing.setAttribute(
      "aria-label",
      `${samples.length} samples from ${show(low, "time")} to ${show(high, "time")}`,
    );
    samples.forEach((sample, place) => {
      const dot = document.createElementNS(space, "circle");
      dot.setAttribute("cx", 6 + (width - 12) * (samples.length > 1 ? place / (samples.length - 1) : 0.5));
      dot.setAttribute("cy", 58 - 52 * (high > low ? (sample - low) / (high - low) : 0.5));
      dot.setAttribute("r", 3);
      dot.setAttribute("fill", AB.color(get("implementation", row)));
      drawing.append(dot);
    });
    return drawing;
  };
  AB.detail = (row) => {
    const fact = (name, held) =>
      held === null || held === undefined || held === "" || held === "–"
        ? []
        : [el("dt", {}, name), el("dd", {}, held)];
    const samples = AB.samples(row),
      dialog = byId("detail");
    const worst = get("worst_family", row)
      ? `${get("worst_output", row)} on ${get("worst_family", row)} at ${get("worst_index", row)}: expected ${get("expected", row)}, got ${get("got", row)}`
      : "";
    dialog.replaceChildren(
      el("h2", { id: "detail-title" }, AB.glyph(get("implementation", row)), " ", get("implementation", row)),
      el("p", { class: "note" }, el("code", {}, get("case", row))),
      el(
        "dl",
        {},
        ...fact("status", el("span", { class: get("status", row) }, get("status", row))),
        ...fact("reason", get("reason", row)),
        ...fact("median", show(get("median_ns", row), "time")),
        ...fact("95% interval", span(get("low_ns", row), get("high_ns", row), "time")),
        ...fact(`against ${AB.view.ref}`, show(AB.speed(row), "ratio")),
        ...fact("rate", show(get("tflop_s", row), "rate")),
        ...(get("rank", row) === null
          ? []
          : AB.data.roofs
              .filter((roof) => roof.dtype === get("dtype", row) && roof.run_index === get("run_index", row))
              .flatMap((roof) =>
                fact(
                  `share of ${roof.label}`,
                  `${AB.digits((100 * get("tflop_s", row)) / roof.tflop_s)}% of the rate, ${AB.digits((100 * get("gb_s", row)) / roof.gb_s)}% of the traffic`,
                ),
              )),
        ...fact("traffic", show(get("gb_s", row), "traffic")),
        ...fact("peak memory", show(get("peak_bytes", row), "bytes")),
        ...fact("saved for backward", show(get("saved_bytes", row), "bytes")),
        ...fact("first call", show(get("first_call_ns", row), "time")),
        ...fact("host", show(get("host_ns", row), "time")),
        ...fact("energy", show(get("energy_j", row), "energy")),
        ...fact("disturbed", get("disturbance", row)),
        ...fact("clock", get("clock", row)),
        ...fact("error/budget", show(get("share_of_budget", row), "plain")),
        ...fact("worst", worst),
        ...fact("failures", get("failures", row)),
        ...fact("hint", get("hint", row)),
        ...fact("notes", get("notes", row)),
        ...fact("run", AB.data.runs[get("run_index", row)]),
        ...fact("repeat it", el("code", {}, AB.command(row))),
        ...fact("samples", samples.map((sample) => show(sample, "time")).join(", ")),
      ),
      strip(row) || "",
      el("form", { method: "dialog" }, el("button", {}, "Close")),
    );
    dialog.showModal();
  };

  AB.readAddress();
  legend();
  facets();
  AB.startRecords();
  AB.listeners.push(reflect);
  AB.update({ address: false });
  byId("reset").addEventListener("click", () => {
    for (const [key] of AB.FACETS) AB.hidden.set(key, AB.usual(key));
    AB.update();
  });
  window.addEventListener("hashchange", () => {
    if (AB.isView() || !location.hash) {
      AB.readAddress();
      byId("search").value = AB.view.q;
      AB.update({ address: false });
    }
  });
})();
