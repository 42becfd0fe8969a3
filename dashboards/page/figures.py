"""Figures and tables that the reports of studies and of screenings share. No number is computed here."""

from collections.abc import Sequence
from itertools import groupby
from math import ceil

import plotly.graph_objects as go

from dashboards.formatting import amount, column, head_text, number_with_interval, with_interval, with_unit
from dashboards.page.page import Table
from dashboards.page.style import (
    BLUE,
    COLOUR_BAR_MARGIN,
    INK,
    TEMPLATE,
    TITLE_STANDOFF,
    UNTRIED,
    VERMILION,
    digits,
    frame,
    metric_axis,
    metric_heatmap,
    plotly_text,
    setting_text,
)
from dashboards.tables import BlockByTimestep, Cell, Group
from objectives.results import ACCURACY
from spaces import Block

POINTS_AT_MOST = 200


def block_by_timestep_figure(table: BlockByTimestep) -> go.Figure:
    """A heatmap of each cell's best setting. Untried cells are empty; the best cell is framed."""
    rows = [[table.cells.get((block.number, t)) for block in table.blocks] for t in table.timesteps]
    labels = ["no noise" if t is None else f"t {t}" for t in table.timesteps]
    metric = next((cell.best.metric for cell in table.cells.values()), ACCURACY)
    figure = go.Figure(
        go.Heatmap(
            x=[block.number for block in table.blocks],
            y=labels,
            z=[[metric.scale * cell.best.value if cell else None for cell in row] for row in rows],
            text=[[_cell_hover(cell) if cell else "" for cell in row] for row in rows],
            hovertemplate="%{text}<extra></extra>",
            **metric_heatmap(metric, len(table.cells), with_unit(f"Best {table.measured} {metric.label}", metric)),
        )
    )
    for part, left, right in _parts(table.blocks):
        middle = (left + right) / 2
        figure.add_annotation(x=middle, y=1, yref="paper", yanchor="bottom", text=plotly_text(part), showarrow=False)
        if left > table.blocks[0].number:
            figure.add_vline(x=left - 0.5, line={"color": INK, "width": 1, "dash": "dot"})
    if table.best is not None:
        figure.add_shape(frame(table.best.block.number, table.timesteps.index(table.best.timestep)))
    first, last = table.blocks[0].number, table.blocks[-1].number
    figure.update_xaxes(title={"text": "Block, in execution order", "standoff": TITLE_STANDOFF}, showgrid=False)
    figure.update_xaxes(range=[first - 0.5, last + 0.5])
    figure.update_xaxes(tickmode="linear", tick0=first, dtick=ceil(len(table.blocks) / 7))
    figure.update_yaxes(title="Timestep", type="category", showgrid=False)
    figure.update_layout(
        template=TEMPLATE,
        height=232 + min(34 * max(len(labels), 2), 420),
        margin={"b": COLOUR_BAR_MARGIN},
        plot_bgcolor=UNTRIED,
    )
    return figure


def groups_figure(title: str, groups: Sequence[Group], measured: str = "validation") -> go.Figure:
    """The values of each group as a box, with every value if they are few, and the best with its interval.

    title: the name of the axis of groups, such as "Pool size". measured: as in `BlockByTimestep`.
    """
    figure, metric = go.Figure(), groups[0].best.metric
    for group in groups:
        name = plotly_text(group.name)
        figure.add_box(
            x=[metric.scale * value for value in group.values],
            y=[name] * len(group.values),
            name=name,
            orientation="h",
            boxpoints="all" if len(group.values) <= POINTS_AT_MOST else "outliers",
            jitter=0.6,
            pointpos=0,
            marker={"color": BLUE, "size": 5, "opacity": 0.7},
            line={"color": BLUE, "width": 1.5},
            fillcolor="rgba(0,114,178,0.12)",
            hovertemplate=f"%{{x:{digits(metric)}}} {metric.unit}<extra></extra>",
            hoveron="points",
        )
    figure.add_scatter(
        x=[metric.scale * group.best.value for group in groups],
        y=[plotly_text(group.name) for group in groups],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [metric.scale * (group.best.high - group.best.value) for group in groups],
            "arrayminus": [metric.scale * (group.best.value - group.best.low) for group in groups],
            "color": VERMILION,
            "thickness": 2,
        },
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": VERMILION},
        text=[
            f"best {with_interval(group.best)}<br>{setting_text(group.setting)}"
            f"<br>median of {len(group.values):,}: {amount(group.median, metric)}"
            for group in groups
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(title=metric_axis(metric, measured))
    figure.update_yaxes(title=title, type="category", showgrid=False)
    figure.update_layout(template=TEMPLATE, height=110 + 64 * len(groups))
    return figure


def group_table(caption: str, first: str, groups: Sequence[Group], counted: str) -> Table:
    """A row for each group: its size, best, median and worst.

    first: the title of the groups' column, such as "Pool". counted: what the size counts, such as "Complete trials".
    """
    metric = groups[0].best.metric
    return Table(
        caption,
        (first, counted, *(column(name, metric) for name in ("Best", "Median", "Worst"))),
        tuple(
            (
                group.name,
                f"{len(group.values):,}",
                number_with_interval(group.best),
                metric.number(group.median),
                metric.number(group.values[-1]),
            )
            for group in groups
        ),
    )


def _parts(blocks: Sequence[Block]) -> list[tuple[str, int, int]]:
    """Runs of blocks of one part, as (part, first number, last number)."""
    runs = []
    for part, run in groupby(blocks, key=lambda block: block.part):
        numbers = [block.number for block in run]
        runs.append((part, numbers[0], numbers[-1]))
    return runs


def _cell_hover(cell: Cell) -> str:
    block = cell.block
    if cell.trial is None:
        tried = f"best of {cell.count:,} settings" if cell.count > 1 else "the only setting"
        tried += f", on {cell.best.images:,} images"
    else:
        tried = f"trial {cell.trial}, " + ("1 trial" if cell.count == 1 else f"best of {cell.count:,} trials")
    return (
        f"<b>{with_interval(cell.best)}</b><br>"
        f"block {block.number} ({block.part}, {block.channels} channels of {block.side} × {block.side})<br>"
        f"{'no noise' if cell.timestep is None else f't {cell.timestep}'}, pool {cell.setting.pool}, "
        f"{plotly_text(head_text(cell.setting))}<br>"
        f"{tried}"
    )
