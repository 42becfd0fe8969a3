"""Draws the results of `evaluate_unet.py`: one map of linear-probe accuracies for each dataset and pool.

    python scripts/draw_probes.py --out probes.html cub=cub.json digits=digits.json

A map shows accuracy by block and timestep. Hovering over a cell shows its 95 % interval. The title of a map shows its
best accuracy, and, if the file has them, the best with random weights and the best on raw pixels.
"""

import argparse
import json
from html import escape
from pathlib import Path

from plotly.subplots import make_subplots

from dashboards.page.style import TEMPLATE
from objectives.results import Accuracy


def title(name: str, pool: int, cells: list[list[int]], result: dict[str, dict[str, float]]) -> str:
    """Return the title of a map, with its best accuracy and those of other features."""
    best = max(correct / count for *_, correct, count in cells)
    rivals = [f"{row} {100 * result[row]['validation']:.1f}" for row in ("random", "pixels") if row in result]
    beside = f" ({', '.join(rivals)})" if rivals else ""
    return f"{escape(name, quote=False)}, pool {pool}: {100 * best:.1f} %{beside}"


def hover(accuracy: Accuracy) -> str:
    """Return the text of a cell: accuracy and 95 % interval."""
    low, high = accuracy.interval()
    return f"{100 * accuracy.value:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the probes of a U-Net.")
    parser.add_argument("results", nargs="+", metavar="NAME=FILE", help="a name and a file of evaluate_unet.py")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    results = {
        name: json.loads(Path(file).read_text(encoding="utf-8"))
        for name, _, file in (r.partition("=") for r in arguments.results)
    }
    pools = sorted({cell[2] for result in results.values() for cell in result["trained"]["surface"]})
    maps = [
        (name, pool, [cell for cell in result["trained"]["surface"] if cell[2] == pool], result)
        for name, result in results.items()
        for pool in pools
    ]
    titles = [title(*row) for row in maps]
    figure = make_subplots(
        rows=len(results), cols=len(pools), subplot_titles=titles, vertical_spacing=0.16, horizontal_spacing=0.06
    )
    for number, (_, _, cells, _) in enumerate(maps):
        row, column = number // len(pools) + 1, number % len(pools) + 1
        blocks, timesteps = (sorted({cell[i] for cell in cells}) for i in (0, 1))
        accuracies = {(cell[0], cell[1]): Accuracy(cell[3], cell[4]) for cell in cells}
        grid = [[accuracies[b, t] for b in blocks] for t in timesteps]
        figure.add_heatmap(
            x=blocks,
            y=[f"t {t}" for t in timesteps],
            z=[[100 * accuracy.value for accuracy in line] for line in grid],
            text=[[hover(accuracy) for accuracy in line] for line in grid],
            hovertemplate="block %{x}, %{y}<br>%{text}<extra></extra>",
            coloraxis=f"coloraxis{row}",
            xgap=1,
            ygap=1,
            row=row,
            col=column,
        )
        figure.update_xaxes(title="Block, in execution order", row=row, col=column)
    for row in range(1, len(results) + 1):
        bottom, top = figure.get_subplot(row, 1).yaxis.domain
        bar = {"x": 1.01, "y": (bottom + top) / 2, "len": top - bottom, "thickness": 10, "ticksuffix": " %"}
        figure.update_layout({f"coloraxis{row}": {"colorscale": "Cividis", "colorbar": bar}})
    figure.update_annotations(font={"size": 12})
    figure.update_yaxes(type="category")
    figure.update_layout(template=TEMPLATE, height=90 + 300 * len(results), margin={"t": 40, "r": 70})
    figure.write_html(arguments.out, include_plotlyjs=True, config={"displayModeBar": False})


if __name__ == "__main__":
    main()
