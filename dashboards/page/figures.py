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
    LABEL_STANDOFF,
    TEMPLATE,
    TITLE_STANDOFF,
    UNTRIED,
    VERMILION,
    digits,
    frame,
    mark_cells,
    metric_axis,
    metric_heatmap,
    plotly_text,
    setting_text,
)
from dashboards.tables import SCREENED_ONLY, BlockByTimestep, Cell, ExpectedCell, ExpectedCells, Group
from objectives.results import ACCURACY, Metric
from spaces import Block
from spaces.blocks import INSIDE

POINTS_AT_MOST = 200
BOX_FROM = 5
"""Values from which a group has a box: fewer are their own summary."""

LABELLED_BLOCKS = 20


def block_by_timestep_figure(table: BlockByTimestep) -> go.Figure:
    """A heatmap of each cell's best setting, with the number of settings that were tried in it.

    Every block and timestep of the space has its place: a cell without a setting is empty and marked. The cell of the
    answer is framed.
    """
    rows = [[table.cells.get((block.number, t)) for block in table.blocks] for t in table.timesteps]
    metric = next((cell.best.metric for cell in table.cells.values()), ACCURACY)
    values = [metric.scale * cell.best.value for cell in table.cells.values()]
    figure = go.Figure(
        go.Heatmap(
            x=[*range(len(table.blocks))],
            y=timestep_labels(table),
            z=[[metric.scale * cell.best.value if cell else None for cell in row] for row in rows],
            text=[[f"{cell.count:,}" if cell else "" for cell in row] for row in rows],
            texttemplate="%{text}",
            customdata=[[_cell_hover(cell) if cell else "" for cell in row] for row in rows],
            hovertemplate="%{customdata}<extra></extra>",
            **metric_heatmap(metric, values, with_unit(f"Best {table.measured} {metric.label}", metric)),
        )
    )
    mark_empty(figure, table)
    arrange_cells(figure, table)
    return figure


def mark_empty(figure: go.Figure, table: BlockByTimestep) -> None:
    """Put a mark, which the legend explains, on every cell without a setting."""
    for state, pairs in table.empty.items():
        _marked(figure, table, pairs, state, "circle-open" if state == SCREENED_ONLY else "x-thin")


def expected_figure(table: BlockByTimestep, expected: ExpectedCells, metric: Metric) -> go.Figure:
    """A heatmap of what the model expects of the best setting of every cell; cells with trials have a dot."""
    rows = [[expected.cells.get((block.number, t)) for block in table.blocks] for t in table.timesteps]
    values = [metric.scale * cell.value for cell in expected.cells.values()]
    figure = go.Figure(
        go.Heatmap(
            x=[*range(len(table.blocks))],
            y=timestep_labels(table),
            z=[[metric.scale * cell.value if cell else None for cell in row] for row in rows],
            customdata=[[_expected_hover(cell, metric) if cell else "" for cell in row] for row in rows],
            hovertemplate="%{customdata}<extra></extra>",
            **metric_heatmap(metric, values, with_unit(f"Expected, not measured: {metric.label}", metric)),
        )
    )
    _marked(figure, table, [*table.cells], "tried", "circle")
    arrange_cells(figure, table)
    return figure


def arrange_cells(figure: go.Figure, table: BlockByTimestep) -> None:
    """Add the parts of the network, the frame of the answer, the axes and the size to a heatmap of all cells."""
    height = min(34 * max(len(table.timesteps), 2), 420)
    for part, left, right in _parts(table.blocks):
        figure.add_annotation(
            x=(left + right) / 2, y=1, yref="paper", yanchor="bottom", text=plotly_text(part), showarrow=False
        )
        if left:
            figure.add_vline(x=left - 0.5, line={"color": INK, "width": 1, "dash": "dot"})
    numbers = [block.number for block in table.blocks]
    if (best := table.best) is not None:
        figure.add_shape(frame(numbers.index(best.block.number), table.timesteps.index(best.timestep)))
    step = ceil(len(numbers) / LABELLED_BLOCKS)
    figure.update_xaxes(title={"text": "Block, in execution order", "standoff": TITLE_STANDOFF}, showgrid=False)
    figure.update_xaxes(range=[-0.5, len(numbers) - 0.5])
    figure.update_xaxes(tickvals=[*range(0, len(numbers), step)], ticktext=[str(n) for n in numbers[::step]])
    figure.update_yaxes(title={"text": "Timestep", "standoff": LABEL_STANDOFF}, type="category", showgrid=False)
    figure.update_layout(
        template=TEMPLATE,
        height=258 + height,
        margin={"t": 54, "b": COLOUR_BAR_MARGIN},
        plot_bgcolor=UNTRIED,
        showlegend=True,
        legend={"y": 1 + 20 / height},  # above the names of the parts
    )


def _marked(
    figure: go.Figure, table: BlockByTimestep, pairs: Sequence[tuple[int, int | None]], name: str, symbol: str
) -> None:
    columns = {block.number: column for column, block in enumerate(table.blocks)}
    labels = dict(zip(table.timesteps, timestep_labels(table), strict=True))
    mark_cells(figure, [(columns[block], labels[timestep]) for block, timestep in pairs], name, symbol)


def timestep_labels(table: BlockByTimestep) -> list[str]:
    return ["no noise" if timestep is None else f"t {timestep}" for timestep in table.timesteps]


def groups_figure(title: str, groups: Sequence[Group], measured: str = "validation") -> go.Figure:
    """The values of each group as points and a box, unless they are too few for one, and the best with its interval.

    title: the name of the axis of groups, such as "Pool size". measured: as in `BlockByTimestep`.
    """
    figure, metric = go.Figure(), groups[0].best.metric
    for group in groups:
        name = _group_label(group)
        if len(group.values) < BOX_FROM:
            figure.add_scatter(
                x=[metric.scale * value for value in group.values],
                y=[name] * len(group.values),
                mode="markers",
                marker={"color": BLUE, "size": 5, "opacity": 0.7},
                hovertemplate=f"%{{x:{digits(metric)}}} {metric.unit}<extra></extra>",
            )
            continue
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
        y=[_group_label(group) for group in groups],
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
    figure.update_yaxes(title={"text": title, "standoff": LABEL_STANDOFF}, type="category", showgrid=False)
    figure.update_yaxes(categoryorder="array", categoryarray=[_group_label(group) for group in groups])
    figure.update_layout(template=TEMPLATE, height=110 + 64 * len(groups))
    return figure


def _group_label(group: Group) -> str:
    """ "4 (92)": the best of many settings lies higher than the best of few, so each group shows how many it has."""
    return f"{plotly_text(group.name)} ({len(group.values):,})"


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
    """Runs of blocks of one part, as (part, first index, last index). Activations inside layers count as layers."""
    runs = []
    for part, run in groupby(
        enumerate(blocks), key=lambda block: "layer" if block[1].part in INSIDE else block[1].part
    ):
        indices = [index for index, _ in run]
        runs.append((part, indices[0], indices[-1]))
    return runs


def _expected_hover(cell: ExpectedCell, metric: Metric) -> str:
    between = f"95 % interval {metric.number(cell.low)} to {metric.number(cell.high)}"
    return f"<b>expected {metric.text(cell.value)}</b>, {between}<br>{setting_text(cell.setting)}"


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
