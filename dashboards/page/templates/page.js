"use strict";
{
  const PAPER_WIDTH = 660; // CSS pixels between the margins of A4 and Letter alike
  const PAPER_SCALE = 0.66; // of the cells of a table with many columns, against the screen
  const NARROW = 560; // CSS pixels: below this, a figure is arranged for a phone
  const CHARACTER = 7.2; // CSS pixels of a character of a figure's text
  const LEGIBLE = 9; // CSS pixels: no smaller text in the cells of a heatmap
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage"]] };
  const figures = [...document.querySelectorAll(".figure")];
  const drawings = new Map(figures.map((figure) => [figure, figure.querySelector("script").textContent]));
  const waiting = [...figures];
  const axes = (layout, letter) => Object.keys(layout).filter((key) => new RegExp(`^${letter}axis\\d*$`).test(key)).map((key) => layout[key]);

  const wrapped = (text, characters) => {
    const lines = [""];
    for (const word of String(text).split(" ")) {
      const longer = (lines.at(-1) + " " + word).trim();
      if (lines.at(-1) && longer.length > characters) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines.join("<br>");
  };

  /* Two plots side by side, one above the other. */
  const stack = (layout) => {
    if (!layout.xaxis2 || layout.yaxis2?.matches !== "y") return;
    for (const axis of [layout.xaxis, layout.xaxis2]) axis.domain = [0, 1];
    layout.yaxis.domain = [0.62, 1];
    Object.assign(layout.yaxis2, { domain: [0, 0.38], showticklabels: true });
    layout.height += 180;
  };

  /* What does not fit on a phone: long titles, long labels beside bars and on them, labels below narrow cells, squares. */
  const narrow = (data, layout, width) => {
    stack(layout);
    const room = width - 90;
    for (const axis of axes(layout, "x")) if (axis.title?.text) axis.title.text = wrapped(axis.title.text, room / CHARACTER);
    for (const axis of axes(layout, "y")) if (axis.title?.text) axis.title.text = wrapped(axis.title.text, layout.height / 2 / CHARACTER);
    const bars = data.filter((trace) => trace.type === "bar" && trace.orientation === "h");
    if (bars.length) {
      const names = bars[0].y;
      const short = names.map((name) => wrapped(name, 16));
      Object.assign(layout.yaxis, { tickmode: "array", tickvals: names, ticktext: short });
      if (!layout.xaxis.range) {
        const label = CHARACTER * Math.max(...bars.flatMap((bar) => bar.text ?? []).map((text) => text.length));
        const plot = width - 30 - CHARACTER * Math.max(...short.flatMap((name) => name.split("<br>")).map((line) => line.length));
        layout.xaxis.range = [0, (Math.max(...bars.flatMap((bar) => bar.x)) * plot) / Math.max(plot - label, 40)];
        for (const bar of bars) bar.textposition = "outside";
      }
    }
    for (const { type, x, colorbar } of data) {
      if (type !== "heatmap") continue;
      const named = layout.xaxis.type === "category" || typeof x[0] === "string";
      const { tickvals, ticktext } = layout.xaxis;
      const each = CHARACTER * Math.max(...(ticktext ?? x).map((label) => String(label).length)) + 8;
      const beside = colorbar?.orientation === "h" ? 0 : 60;
      const every = Math.max(layout.xaxis.dtick ?? 1, Math.ceil((x.length * each) / (room - beside)));
      const thinned = (values) => values?.filter((_, index) => index % every === 0);
      if (tickvals) Object.assign(layout.xaxis, { tickangle: 0, tickvals: thinned(tickvals), ticktext: thinned(ticktext) });
      else Object.assign(layout.xaxis, { tickangle: 0, tickmode: "linear", tick0: named ? 0 : x[0], dtick: every });
      const lines = wrapped(colorbar?.title?.text?.replace(/<br> $/, "") ?? "", (room - 30) / CHARACTER).split("<br>");
      if (colorbar?.orientation === "h" && lines.length > 1) {
        colorbar.title.text = [...lines, " "].join("<br>");
        layout.margin.b += 18 * (lines.length - 1);
        layout.height += 18 * (lines.length - 1);
      }
    }
    if (layout.yaxis?.scaleanchor) layout.height = Math.min(layout.height, width + 150);
  };

  const draw = (figure, paper) => {
    const { data, layout } = JSON.parse(drawings.get(figure));
    const width = paper ?? figure.clientWidth;
    if (paper) layout.width = paper;
    else if (width < layout.meta?.least_width) layout.width = layout.meta.least_width; // it scrolls sideways
    layout.autosize = !layout.width;
    if (width < NARROW) narrow(data, layout, width);
    figure.dataset.narrow = width < NARROW;
    figure.style.minHeight = `${layout.height}px`;
    Plotly.react(figure, data, layout, config);
    figure.classList.toggle("wide", figure.scrollWidth > figure.clientWidth + 1);
    figure.dispatchEvent(new Event("drawn"));
    for (const text of figure.querySelectorAll(".heatmap-label text")) {
      if (parseFloat(getComputedStyle(text).fontSize) < LEGIBLE) text.style.display = "none";
    }
  };

  // One at a time, so that the page can be read and scrolled from the start, however many trials it draws.
  const drawOn = () => {
    if (waiting.length) {
      draw(waiting.shift());
      setTimeout(drawOn);
    } else {
      document.documentElement.dataset.drawn = "all";
    }
  };
  requestAnimationFrame(() => setTimeout(drawOn));
  addEventListener("resize", () => {
    if (matchMedia("print").matches) return;
    for (const figure of figures) {
      if (figure.dataset.narrow && figure.dataset.narrow !== String(figure.clientWidth < NARROW)) draw(figure);
    }
  });

  // Code breaks into lines at spaces only. A browser alone would break "--trials" after its hyphens.
  for (const code of document.querySelectorAll("pre code")) {
    const parts = code.textContent.split(/(\s+)/).map((text) => (/-/.test(text) ? Object.assign(document.createElement("span"), { textContent: text }) : text));
    code.replaceChildren(...parts);
  }

  // Tables that are wider than the page say that they scroll.
  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) target.classList.toggle("wide", target.scrollWidth > target.clientWidth + 1);
  });
  for (const table of document.querySelectorAll(".scroll")) widths.observe(table);

  /* A table of too many columns for paper, in parts that fit. Else the browser would shrink every page. */
  const split = (table) => {
    const widths = [...table.tHead.rows[0].cells].map((cell) => PAPER_SCALE * cell.offsetWidth);
    const [first, ...others] = widths;
    const count = Math.ceil(others.reduce((sum, width) => sum + width, 0) / (PAPER_WIDTH - first));
    if (count === 1) return [];
    const columns = Math.ceil(others.length / count);
    table.hidden = true;
    return [...Array(count).keys()].map((index) => {
      const part = table.cloneNode(true);
      part.hidden = false;
      if (index) part.caption.remove();
      for (const row of part.rows) {
        [...row.cells].slice(1).forEach((cell, place) => Math.floor(place / columns) !== index && cell.remove());
      }
      table.parentElement.append(part);
      return part;
    });
  };

  // Plotly sizes by the screen; paper has its own width, and folded tables must not be lost on it.
  const folds = [...document.querySelectorAll("details")];
  let opened = [];
  let parts = [];
  addEventListener("beforeprint", () => {
    waiting.length = 0;
    opened = folds.filter((fold) => !fold.open);
    for (const fold of opened) fold.open = true;
    parts = [...document.querySelectorAll(".many")].flatMap(split);
    for (const figure of figures) draw(figure, PAPER_WIDTH);
  });
  addEventListener("afterprint", () => {
    for (const part of parts) part.remove();
    for (const table of document.querySelectorAll(".many")) table.hidden = false;
    for (const fold of opened) fold.open = false;
    for (const figure of figures) draw(figure);
  });
}
