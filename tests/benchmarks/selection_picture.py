"""The picture of `selection.py`: mean regret by passes and by seconds, a column a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.page.style import BLUE, INK, ORANGE, TEMPLATE, VERMILION

LINES = {
    "screening": (BLUE, "solid", 3),
    "screening, memory": (BLUE, "dash", 2),
    "cost-aware": ("#56B4E9", "solid", 2.5),
    "TPE": (VERMILION, "solid", 2),
    "TPE, 3 folds": (VERMILION, "dot", 2),
    "GP": ("#CC79A7", "dash", 2),
    "random": (INK, "solid", 1.5),
    "one dimension at a time": ("#009E73", "dashdot", 2),
    "the paper's setting": (ORANGE, "longdash", 2),
    "exhaustive, 3 folds": (INK, "dot", 1.5),
}
"""Strategy → colour of Okabe & Ito (2008), dash and width."""

BANDS = ("screening", "TPE")
LEAST, MOST = 0.2, 40


@dataclass(frozen=True)
class Point:
    x: float
    mean: float
    deviation: float


Curves = Mapping[str, Mapping[str, Mapping[str, Sequence[Point]]]]
"""Task → "passes" or "seconds" → strategy → its points; between two of them it stays at the first."""


def band(points: Sequence[Point], colour: str) -> go.Scatter:
    """One standard deviation to either side."""
    corners = [
        p for a, b in zip(points, [*points[1:], points[-1]], strict=True) for p in (a, Point(b.x, a.mean, a.deviation))
    ]
    upper = [point.mean + point.deviation for point in corners]
    lower = [max(point.mean - point.deviation, LEAST / 2) for point in corners]
    xs = [point.x for point in corners]
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    fill = f"rgba({red},{green},{blue},0.15)"
    return go.Scatter(
        x=xs + xs[::-1],
        y=upper + lower[::-1],
        fill="toself",
        fillcolor=fill,
        mode="none",
        showlegend=False,
        hoverinfo="skip",
    )


def picture(curves: Curves, path: Path) -> None:
    titles = {"passes": "Passes of an image", "seconds": "Seconds of one core"}
    figure = make_subplots(
        rows=2,
        cols=len(curves),
        shared_yaxes=True,
        subplot_titles=[escape(task, quote=False) for task in curves],
        horizontal_spacing=0.02,
        vertical_spacing=0.16,
    )
    for column, by_cost in enumerate(curves.values(), start=1):
        for row, (cost, title) in enumerate(titles.items(), start=1):
            lines = by_cost[cost]
            for name in BANDS:
                if name in lines:
                    figure.add_trace(band(lines[name], LINES[name][0]), row=row, col=column)
            for name, (colour, dash, width) in LINES.items():
                if name in lines:
                    figure.add_scatter(
                        name=escape(name, quote=False),
                        x=[point.x for point in lines[name]],
                        y=[point.mean for point in lines[name]],
                        line={"color": colour, "dash": dash, "width": width, "shape": "hv"},
                        mode="lines",
                        legendgroup=name,
                        showlegend=(row, column) == (1, 1),
                        row=row,
                        col=column,
                    )
            end = lines["screening"][-1]
            figure.add_scatter(
                x=[end.x],
                y=[end.mean],
                mode="markers",
                marker={"color": BLUE, "size": 9},
                showlegend=False,
                hoverinfo="skip",
                row=row,
                col=column,
            )
            figure.update_xaxes(title={"text": title, "standoff": 6}, type="log", dtick=1, row=row, col=column)
    figure.update_yaxes(type="log", range=[-0.7, 1.6], tickvals=[0.3, 1, 3, 10, 30])
    figure.update_yaxes(title="Regret (points)", col=1)
    figure.update_layout(
        template=TEMPLATE,
        height=640,
        showlegend=True,
        margin={"t": 70, "l": 60, "b": 50, "r": 16},
        legend={"y": 1.08},
    )
    figure.write_html(path, include_plotlyjs=True, config={"displayModeBar": False})
