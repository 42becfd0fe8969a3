"""Figures of what was found across datasets, drawn as those of `figures`; no number is computed here."""

from collections.abc import Sequence
from html import escape
from math import ceil
from textwrap import wrap

import plotly.graph_objects as go

from dashboards.cross_dataset.sentences import verdict
from dashboards.cross_dataset.tables import AtBlock, Matrix, Regret, Task
from dashboards.formatting import points, with_interval
from dashboards.study.figures import INK, TEMPLATE, UNTRIED, VERMILION

WITH_INTERVALS = 6
"""Datasets up to which a cell has room for its interval."""

LONGEST = 24
NARROWEST = 10
"""Letters of a name beside an axis, and of its line below one."""


def regret_figure(table: Matrix) -> go.Figure:
    """A heatmap of the losses in points, each printed in its cell; of a missing one the reason, on grey."""
    places, figure = [*range(len(table.labels))], go.Figure()
    rows = [[table.cells[of, on] for on in table.labels] for of in table.labels]
    known = [[100 * cell.loses.value if cell.loses else None for cell in row] for row in rows]
    losses = [value for row in known for value in row if value is not None]
    figure.add_heatmap(
        x=places,
        y=places,
        z=known,
        text=[[_printed(cell, len(places) <= WITH_INTERVALS) for cell in row] for row in rows],
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
    if table.missing:
        figure.add_heatmap(
            x=places,
            y=places,
            z=[[0 if cell.loses is None else None for cell in row] for row in rows],
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
    names = [_tick(label) for label in table.labels]
    # A standoff puts a title beyond the longest name.
    figure.update_xaxes(
        title={"text": "Used on", "standoff": 10},
        tickvals=places,
        ticktext=[_wrapped(n) for n in table.labels],
        tickangle=0,
    )
    figure.update_yaxes(
        title={"text": "Best setting of", "standoff": 10}, tickvals=places, ticktext=names, autorange="reversed"
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False)
    figure.update_layout(template=TEMPLATE, height=130 + 64 * max(len(places), 2))
    return figure


def blocks_figure(strips: Sequence[tuple[Task, Sequence[AtBlock]]]) -> go.Figure:
    """A strip a dataset: what the best trial at each block loses to the best of all. The setting to use is framed."""
    numbers = range(1, len(strips[0][0].study.architecture.blocks) + 1)
    rows, figure = [*range(len(strips))], go.Figure()
    found = [{at.block: at for at in strip} for _, strip in strips]
    figure.add_heatmap(
        x=[*numbers],
        y=rows,
        z=[[100 * strip[block].loses if block in strip else None for block in numbers] for strip in found],
        text=[[_block_hover(strip[block]) if block in strip else "" for block in numbers] for strip in found],
        hovertemplate="%{text}<extra></extra>",
        hoverongaps=False,
        colorscale="Cividis",
        reversescale=True,
        xgap=1,
        ygap=6,
        colorbar={"title": {"text": "Points behind", "side": "right"}, "thickness": 10, "outlinewidth": 0},
    )
    for place, (task, _) in enumerate(strips):
        for tap in task.best.setting.taps:
            corners = {"x0": tap.block - 0.5, "x1": tap.block + 0.5, "y0": place - 0.42, "y1": place + 0.42}
            figure.add_shape(type="rect", **corners, line={"color": VERMILION, "width": 2.5})
    tried = [block for strip in found for block in strip]
    figure.update_xaxes(title="Block, in execution order", showgrid=False)
    figure.update_xaxes(tickmode="linear", tick0=min(tried), dtick=ceil(len(set(tried)) / 16))
    figure.update_xaxes(range=[min(tried) - 0.6, max(tried) + 0.6])
    figure.update_yaxes(tickvals=rows, ticktext=[_tick(task.label) for task, _ in strips], showgrid=False)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(template=TEMPLATE, height=110 + 44 * max(len(rows), 2), plot_bgcolor=UNTRIED)
    return figure


def _printed(cell: Regret, interval: bool) -> str:
    if cell.loses is None:
        return ""
    if cell.own:
        return "0"
    value, _, rest = points(cell.loses).partition(" ")
    return f"<b>{value}</b><br>{rest.strip('()')}" if interval else value


def _hover(cell: Regret) -> str:
    where = f"best setting of {_text(cell.of)}, used on {_text(cell.on)}"
    setting = _text(str(cell.setting))
    if cell.loses is None:
        return f"<b>{cell.missing}</b><br>{where}<br>{setting}<br>{_text(cell.why)}"
    if cell.own:
        return f"<b>its own best setting</b><br>{_text(cell.on)}<br>{setting}"
    how = "image by image" if cell.paired else "two intervals, since answers were not kept"
    return (
        f"<b>{points(cell.loses, ' points')}</b>, {verdict(cell)}<br>{where}<br>{setting}"
        f"<br>{cell.images:,} validation images, compared {how}"
    )


def _block_hover(at: AtBlock) -> str:
    behind = f", {100 * at.loses:.1f} points behind" if at.loses else ", the best"
    return f"<b>{with_interval(at.validation)}</b>{behind}<br>trial {at.trial.number}: {_text(str(at.trial.setting))}"


def _tick(label: str) -> str:
    """Of a long name its beginning; the hover has all of it."""
    return _text(_shortened(label))


def _wrapped(label: str) -> str:
    """The same on several lines, for names beside each other."""
    return "<br>".join(_text(line) for line in wrap(_shortened(label), NARROWEST))


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def _text(name: str) -> str:
    return escape(name, quote=False)
