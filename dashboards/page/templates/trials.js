"use strict";
for (const region of document.querySelectorAll(".interactive")) {
  // A table that its reader sorts and filters, with the figure above it. Without this script it is a plain table.
  const table = region.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent));
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent.toLowerCase());
  const figure = region.parentElement.querySelector(".figure");

  // "1,437" and "24.2 (22.1–26.4)" begin with their number. "13 + 16" has two.
  const numbers = (text) => text.split(" + ").map((part) => parseFloat(part.replaceAll(",", "")));
  const compare = {
    "=": (a, b) => a === b,
    "!=": (a, b) => a !== b,
    "<": (a, b) => a < b,
    ">": (a, b) => a > b,
    "<=": (a, b) => a <= b,
    ">=": (a, b) => a >= b,
  };

  /* Whether a row meets "pool=4", "timestep<50", "lr=1e-3", or holds a plain word. */
  const meets = (cells, term) => {
    const [, name, sign, value] = term.match(/^([a-z]+)(!=|<=|>=|=|<|>)(.+)$/) ?? [];
    if (!name) return cells.some((text) => text.toLowerCase().includes(term));
    const column = names.findIndex((title) => title.startsWith(name));
    let text = cells[column]?.toLowerCase();
    if (names[column] === "head") text = text.split(",")[0];
    text ??= cells[names.indexOf("head")]?.match(new RegExp(`, ${name} ([^,]+)`))?.[1];
    if (text === undefined) return false;
    if (isNaN(parseFloat(value))) return sign === "!=" ? text !== value : text === value;
    return numbers(text).some((number) => !isNaN(number) && compare[sign](number, parseFloat(value)));
  };

  const box = document.createElement("div");
  box.className = "filter";
  const id = `${region.parentElement.id}-filter`;
  const label = Object.assign(document.createElement("label"), { htmlFor: id, textContent: "Filter" });
  const input = document.createElement("input");
  Object.assign(input, { id, type: "search", placeholder: "pool=4 timestep<50 mlp", autocomplete: "off", spellcheck: false });
  const shown = document.createElement("output");
  shown.htmlFor = id;
  box.append(label, input, shown);
  region.before(box);

  const original = figure && JSON.parse(figure.querySelector("script").textContent).data;
  const lined = original?.map((_, index) => index).filter((index) => original[index].meta);

  /* Leave only the lines of the rows that are kept. All lines have as many points, and an empty one after them. */
  const thin = (kept) => {
    const left = (trace, letter) => {
      const points = trace[letter].length / trace.meta.length;
      return trace[letter].filter((_, index) => kept[trace.meta[Math.floor(index / points)]]);
    };
    const update = (letter) => lined.map((index) => left(original[index], letter));
    Plotly.restyle(figure, { x: update("x"), y: update("y") }, lined);
  };

  const filter = () => {
    const terms = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = texts.map((cells) => terms.every((term) => meets(cells, term)));
    rows.forEach((row, index) => (row.hidden = !kept[index]));
    shown.textContent = `${kept.filter(Boolean).length} of ${rows.length}`;
    if (figure?.data) thin(kept);
  };

  let due;
  input.addEventListener("input", () => {
    clearTimeout(due);
    due = setTimeout(filter, 120);
  });
  // A click on a value of an axis sets it as the filter, or takes it away.
  const click = ({ points }) => {
    const term = points[0].customdata;
    if (!term) return;
    const terms = input.value.split(/\s+/).filter(Boolean);
    input.value = (terms.includes(term) ? terms.filter((other) => other !== term) : [...terms, term]).join(" ");
    filter();
  };
  figure?.addEventListener("drawn", () => {
    figure.removeAllListeners("plotly_click");
    figure.on("plotly_click", click);
    if (input.value) filter();
  });

  heads.forEach((head, column) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.ariaSort === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.ariaSort = down ? "descending" : "ascending";
      const words = head.classList.contains("words");
      const keys = texts.map((cells) => (words ? cells[column] : numbers(cells[column])[0]));
      const empty = (key) => key === "" || Number.isNaN(key);
      const order = rows.map((_, index) => index);
      order.sort((a, b) => {
        if (empty(keys[a]) || empty(keys[b])) return empty(keys[a]) - empty(keys[b]); // always last
        const larger = words ? keys[a].localeCompare(keys[b]) : keys[a] - keys[b];
        return down ? -larger : larger;
      });
      body.append(...order.map((index) => rows[index]));
    });
  });
  filter();
}
