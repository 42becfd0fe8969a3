"use strict";
{
  const PAPER_WIDTH = 660; // CSS pixels between the margins of A4 and Letter alike
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage"]] };
  const figures = [...document.querySelectorAll(".figure")];
  const waiting = [...figures];
  const drawNext = () => {
    const figure = waiting.shift();
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
    Plotly.newPlot(figure, data, layout, config);
  };
  // One at a time, so that the page can be read and scrolled from the start, however many trials it draws.
  const drawOn = () => {
    if (waiting.length) {
      drawNext();
      setTimeout(drawOn);
    } else {
      document.documentElement.dataset.drawn = "all";
    }
  };
  requestAnimationFrame(() => setTimeout(drawOn));
  // Plotly sizes by the screen; paper has its own width, and folded tables must not be lost on it.
  const folds = [...document.querySelectorAll("details")];
  let opened = [];
  addEventListener("beforeprint", () => {
    while (waiting.length) drawNext();
    opened = folds.filter((fold) => !fold.open);
    for (const fold of opened) fold.open = true;
    for (const figure of figures) Plotly.relayout(figure, { width: PAPER_WIDTH });
  });
  addEventListener("afterprint", () => {
    for (const fold of opened) fold.open = false;
    for (const figure of figures) Plotly.relayout(figure, { width: null, autosize: true });
  });
}
