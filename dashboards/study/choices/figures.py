"""Figures of choices, drawn from their tables. No number is computed here."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from dashboards.formatting import choice_value, percent, with_interval, with_unit
from dashboards.page.style import (
    BLUE,
    COLOUR_BAR_MARGIN,
    INK,
    LABEL_STANDOFF,
    ORANGE,
    TEMPLATE,
    TITLE_STANDOFF,
    UNTRIED,
    frame,
    mark_cells,
    metric_axis,
    metric_heatmap,
    setting_text,
)
from dashboards.study.choices.ablation import Ablation
from dashboards.study.choices.tables import Importance, Interaction, Pair
from objectives.results import Metric


def importance_figure(importances: Sequence[Importance]) -> go.Figure:
    """A bar for each choice and evaluator, with its interval. The most important choice is on top."""
    figure = go.Figure()
    for name, colour in zip(importances[0].shares, (BLUE, ORANGE), strict=True):
        shares = [importance.shares[name] for importance in importances]
        intervals = [row.intervals.get(name, (row.shares[name], row.shares[name])) for row in importances]
        figure.add_bar(
            name=name,
            x=[100 * share for share in shares],
            y=[importance.choice.capitalize() for importance in importances],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * (high - share) for share, (_, high) in zip(shares, intervals, strict=True)],
                "arrayminus": [100 * (share - low) for share, (low, _) in zip(shares, intervals, strict=True)],
                "color": INK,
                "thickness": 1.5,
            },
            orientation="h",
            marker={"color": colour},
            text=[
                f"{percent(share)} ({100 * low:.0f}–{100 * high:.0f})"
                for share, (low, high) in zip(shares, intervals, strict=True)
            ],
            textposition="none",
            hovertemplate=f"%{{y}}: %{{text}} by {name}<extra></extra>",
        )
    figure.update_xaxes(title="Importance (%), with 95 % interval", range=[0, 100])
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(template=TEMPLATE, height=120 + 56 * len(importances), showlegend=True, bargap=0.25)
    figure.update_layout(legend={"traceorder": "normal"})
    return figure


def interaction_figure(table: Interaction, metric: Metric) -> go.Figure:
    """A heatmap of each pair's best value, and of how many trials it is the best. The answer's pair is framed.

    Every value of the space has its place; a pair that was not tried is empty and marked.
    """
    pairs = [[table.cells.get((row, column)) for column in table.columns] for row in table.rows]
    columns, rows = ([choice_value(value) for value in values] for values in (table.columns, table.rows))
    best = [metric.scale * pair.best.value for pair in table.cells.values()]
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=rows,
            z=[[metric.scale * pair.best.value if pair else None for pair in row] for row in pairs],
            text=[[_pair_text(pair, metric) if pair else "" for pair in row] for row in pairs],
            texttemplate="%{text}",
            customdata=[[_pair_hover(pair) if pair else "" for pair in row] for row in pairs],
            hovertemplate="%{customdata}<extra></extra>",
            **metric_heatmap(metric, best, with_unit(f"Best validation {metric.label}", metric)),
        )
    )
    empty = [(columns[x], rows[y]) for y, row in enumerate(pairs) for x, pair in enumerate(row) if pair is None]
    if empty:
        mark_cells(figure, empty, "not tried", "x-thin")
    y, x = table.rows.index(table.framed[0]), table.columns.index(table.framed[1])
    figure.add_shape(frame(x, y))
    figure.update_xaxes(title={"text": table.column.capitalize(), "standoff": TITLE_STANDOFF})
    figure.update_xaxes(type="category", showgrid=False, categoryorder="array", categoryarray=columns)
    figure.update_yaxes(
        title={"text": table.row.capitalize(), "standoff": LABEL_STANDOFF}, type="category", showgrid=False
    )
    figure.update_yaxes(categoryorder="array", categoryarray=rows)
    height = 220 + min(30 * max(len(table.rows), 2), 520)
    figure.update_layout(template=TEMPLATE, height=height, margin={"b": COLOUR_BAR_MARGIN}, plot_bgcolor=UNTRIED)
    figure.update_layout(showlegend=bool(empty))
    return figure


def _pair_text(pair: Pair, metric: Metric) -> str:
    """ "24.2 of 9": the best value, and of how many trials."""
    return f"{metric.number(pair.best.value)} of {pair.count:,}"


def _pair_hover(pair: Pair) -> str:
    tried = "1 trial" if pair.count == 1 else f"best of {pair.count:,} trials"
    return f"<b>{with_interval(pair.best)}</b><br>{setting_text(pair.setting)}<br>trial {pair.trial}, {tried}"


def ablation_figure(table: Ablation, metric: Metric) -> go.Figure:
    """A line for each timestep: the value of every block. Published values are crosses of the same colour."""
    figure = go.Figure()
    # From purple to orange, which are seen on a white page and on a dark one.
    steps = max(len(table.timesteps) - 1, 1)
    shades = sample_colorscale("Plasma", [0.25 + 0.6 * rank / steps for rank in range(len(table.timesteps))])
    for timestep, colour in zip(table.timesteps, shades, strict=True):
        estimates = [table.cells[block, timestep] for block in table.blocks]
        name = "no noise" if timestep is None else f"t {timestep}"
        figure.add_scatter(
            name=name,
            legendgroup=name,
            x=[str(block) for block in table.blocks],
            y=[metric.scale * estimate.value for estimate in estimates],
            mode="lines+markers",
            line={"color": colour, "width": 2},
            text=[with_interval(estimate) for estimate in estimates],
            hovertemplate=f"block %{{x}}, {name}: %{{text}}<extra></extra>",
        )
        published = [(block, t) for block, t in table.published if t == timestep and block in table.blocks]
        if published:
            figure.add_scatter(
                name=f"{name}, published",
                legendgroup=name,
                x=[str(block) for block, _ in published],
                y=[metric.scale * table.published[pair] for pair in published],
                mode="markers",
                marker={"color": colour, "symbol": "x", "size": 9},
                hovertemplate=f"block %{{x}}, {name}: %{{y:.1f}} %, published<extra></extra>",
            )
    figure.update_xaxes(title="Block, in execution order", type="category")
    figure.update_xaxes(categoryorder="array", categoryarray=[str(block) for block in table.blocks])
    figure.update_yaxes(title=metric_axis(metric))
    figure.update_layout(template=TEMPLATE, height=420, showlegend=True, margin={"t": 64})
    return figure
