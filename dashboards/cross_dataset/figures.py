"""Figures across datasets, drawn from their tables. No number is computed here."""

from collections.abc import Sequence
from math import ceil
from textwrap import wrap

import plotly.graph_objects as go

from dashboards.cross_dataset.tables import BlockBest, Regret, RegretMatrix, Task
from dashboards.formatting import points, with_interval
from dashboards.page.style import INK, LABEL_STANDOFF, TEMPLATE, UNTRIED, VERMILION, plotly_text
from dashboards.statistics import verdict
from spaces.text import one_line

WITH_INTERVALS = 6
"""The most datasets for which a cell has room for its interval."""

LONGEST = 24
NARROWEST = 10
"""Characters of a name on the y axis, and of a line of it on the x axis."""


def regret_figure(matrix: RegretMatrix) -> go.Figure:
    """A heatmap of the losses in points, each printed in its cell. A missing cell is grey and names the reason."""
    positions, figure = [*range(len(matrix.labels))], go.Figure()
    rows = [[matrix.cells[source, target] for target in matrix.labels] for source in matrix.labels]
    known = [[100 * cell.loss.value if cell.loss else None for cell in row] for row in rows]
    losses = [value for row in known for value in row if value is not None]
    figure.add_heatmap(
        x=positions,
        y=positions,
        z=known,
        text=[[_printed(cell, len(positions) <= WITH_INTERVALS) for cell in row] for row in rows],
        texttemplate="%{text}",
        customdata=[[_hover(cell) for cell in row] for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        colorscale="Cividis",
        reversescale=True,
        zmin=min(0.0, *losses),
        zmax=max(1.0, *losses),
        xgap=2,
        ygap=2,
        colorbar={
            "title": {"text": "Points lost", "side": "right"},
            "thickness": 10,
            "outlinewidth": 0,
        },
    )
    if matrix.missing:
        figure.add_heatmap(
            x=positions,
            y=positions,
            z=[[0 if cell.loss is None else None for cell in row] for row in rows],
            text=[[(cell.missing or "").replace(" ", "<br>") for cell in row] for row in rows],
            texttemplate="<i>%{text}</i>",
            textfont={"color": INK},
            customdata=[[_hover(cell) for cell in row] for row in rows],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=[[0, UNTRIED], [1, UNTRIED]],
            showscale=False,
            xgap=2,
            ygap=2,
        )
    names = [_tick(label) for label in matrix.labels]
    figure.update_xaxes(
        title={"text": "Used on", "standoff": LABEL_STANDOFF},
        tickvals=positions,
        ticktext=[_wrapped(label) for label in matrix.labels],
        tickangle=0,
    )
    figure.update_yaxes(
        title={"text": "Best setting of", "standoff": LABEL_STANDOFF},
        tickvals=positions,
        ticktext=names,
        autorange="reversed",
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False)
    figure.update_layout(template=TEMPLATE, height=130 + 64 * max(len(positions), 2))
    return figure


def best_blocks_figure(strips: Sequence[tuple[Task, Sequence[BlockBest]]]) -> go.Figure:
    """A strip for each dataset: the loss of each block's best trial against the best of all.

    The best setting is framed.
    """
    numbers = range(1, len(strips[0][0].study.architecture.blocks) + 1)
    rows, figure = [*range(len(strips))], go.Figure()
    tried = [{best.block: best for best in strip} for _, strip in strips]
    figure.add_heatmap(
        x=[*numbers],
        y=rows,
        z=[[100 * strip[block].loss if block in strip else None for block in numbers] for strip in tried],
        text=[[_block_hover(strip[block]) if block in strip else "" for block in numbers] for strip in tried],
        hovertemplate="%{text}<extra></extra>",
        hoverongaps=False,
        colorscale="Cividis",
        reversescale=True,
        xgap=1,
        ygap=6,
        colorbar={"title": {"text": "Points behind", "side": "right"}, "thickness": 10, "outlinewidth": 0},
    )
    for row, (task, _) in enumerate(strips):
        for tap in task.best.setting.taps:
            corners = {"x0": tap.block - 0.5, "x1": tap.block + 0.5, "y0": row - 0.42, "y1": row + 0.42}
            figure.add_shape(type="rect", **corners, line={"color": VERMILION, "width": 2.5})
    blocks = [block for strip in tried for block in strip]
    figure.update_xaxes(title="Block, in execution order", showgrid=False)
    figure.update_xaxes(tickmode="linear", tick0=min(blocks), dtick=ceil(len(set(blocks)) / 16))
    figure.update_xaxes(range=[min(blocks) - 0.6, max(blocks) + 0.6])
    figure.update_yaxes(tickvals=rows, ticktext=[_tick(task.label) for task, _ in strips], showgrid=False)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(template=TEMPLATE, height=110 + 44 * max(len(rows), 2), plot_bgcolor=UNTRIED)
    return figure


def _printed(cell: Regret, interval: bool) -> str:
    if cell.loss is None:
        return ""
    if cell.is_own:
        return "0"
    value, _, rest = points(cell.loss).partition(" ")
    return f"<b>{value}</b><br>{rest.strip('()')}" if interval else value


def _hover(cell: Regret) -> str:
    where = f"best setting of {plotly_text(cell.best_of)}, used on {plotly_text(cell.used_on)}"
    setting = plotly_text(str(cell.setting))
    if cell.loss is None:
        return f"<b>{cell.missing}</b><br>{where}<br>{setting}<br>{plotly_text(cell.why)}"
    if cell.is_own:
        return f"<b>its own best setting</b><br>{plotly_text(cell.used_on)}<br>{setting}"
    how = "image by image" if cell.paired else "by two intervals (results per image were not kept)"
    return (
        f"<b>{points(cell.loss, ' points')}</b><br>{verdict(cell.loss)}<br>{where}<br>{setting}"
        f"<br>{cell.images:,} validation images, compared {how}"
    )


def _block_hover(best: BlockBest) -> str:
    behind = f", {100 * best.loss:.1f} points behind" if best.loss else ", the best"
    trial = f"trial {best.trial.number}: {plotly_text(best.trial.setting)}"
    return f"<b>{with_interval(best.validation)}</b>{behind}<br>{trial}"


def _tick(label: str) -> str:
    """The beginning of a long name; the hover text has the whole name."""
    return plotly_text(_shortened(label))


def _wrapped(label: str) -> str:
    """The same on several lines, for names side by side."""
    return "<br>".join(plotly_text(line) for line in wrap(one_line(_shortened(label)), NARROWEST))


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
