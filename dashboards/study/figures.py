"""Plotly figures drawn from the tables of `summaries`; no number is computed here.

One figure must do on a white page, a dark page and paper: backgrounds are transparent, ink is a grey that reads on
both, data colours are cividis (Nuñez et al. 2018) and those of Okabe & Ito (2008), safe for colour-blind eyes. A page
with a style sheet may set the ink darker or lighter. Plotly reads a subset of HTML in every text, so texts are escaped.
"""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from math import ceil
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.formatting import (
    amount,
    choice_value,
    duration,
    gmacs,
    head,
    percent,
    phase,
    time_unit,
    with_interval,
    with_unit,
)
from dashboards.study.choices import Importance, Interaction, Pair
from dashboards.study.tables import BlockByTimestep, Cell, Estimate, Group, HistoryPoint, Phase
from dashboards.study.tradeoff import CostPoint, TradeOff
from objectives.results import ACCURACY, Metric
from spaces import Block, Setting

INK = "#767676"
RULE, UNTRIED = "rgba(128,128,128,0.28)", "rgba(128,128,128,0.09)"
BLUE, ORANGE, VERMILION = "#0072B2", "#E69F00", "#D55E00"
POINTS_AT_MOST = 200

AXIS = {"gridcolor": RULE, "zeroline": False, "linecolor": INK, "ticks": "", "automargin": True, "fixedrange": True}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "hoverlabel": {"bgcolor": "#1c2126", "bordercolor": "#1c2126", "font": {"color": "#ffffff"}, "align": "left"},
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "showlegend": False,
        "dragmode": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": BLUE},
        "xaxis": AXIS,
        "yaxis": AXIS,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
    }
)


def block_by_timestep_figure(table: BlockByTimestep) -> go.Figure:
    """A heatmap of each cell's best; untried cells are empty. The cell of the setting to use is framed."""
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
            **_heat(metric, len(table.cells), with_unit(f"Best {table.measured} {metric.label}", metric)),
        )
    )
    for part, left, right in _parts(table.blocks):
        middle = (left + right) / 2
        figure.add_annotation(
            x=middle, y=1, yref="paper", yanchor="bottom", text=escape(part, quote=False), showarrow=False
        )
        if left > table.blocks[0].number:
            figure.add_vline(x=left - 0.5, line={"color": INK, "width": 1, "dash": "dot"})
    if table.best is not None:
        x, y = table.best.block.number, table.timesteps.index(table.best.timestep)
        figure.add_shape(
            type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line={"color": VERMILION, "width": 2.5}
        )
    first, last = table.blocks[0].number, table.blocks[-1].number
    figure.update_xaxes(title="Block, in execution order", range=[first - 0.5, last + 0.5], showgrid=False)
    figure.update_xaxes(tickmode="linear", tick0=first, dtick=ceil(len(table.blocks) / 7))
    figure.update_yaxes(title="Timestep", type="category", showgrid=False)
    figure.update_layout(
        template=TEMPLATE, height=200 + min(34 * max(len(labels), 2), 420), margin={"b": 96}, plot_bgcolor=UNTRIED
    )
    return figure


def groups_figure(title: str, groups: Sequence[Group], measured: str = "validation") -> go.Figure:
    """The values of each group as a box, with every one where they are few; the best with its interval.

    title: names the axis of groups, such as "Pool size (side of the pooled grid)". measured: as of a `BlockByTimestep`.
    """
    figure, metric = go.Figure(), groups[0].best.metric
    for group in groups:
        name = escape(group.name, quote=False)
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
            hovertemplate=f"%{{x:{_digits(metric)}}} {metric.unit}<extra></extra>",
            hoveron="points",
        )
    figure.add_scatter(
        x=[metric.scale * group.best.value for group in groups],
        y=[escape(group.name, quote=False) for group in groups],
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
            f"best {with_interval(group.best)}<br>{_setting(group.setting)}"
            f"<br>median of {len(group.values):,}: {amount(group.median, metric)}"
            for group in groups
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(title=_axis(metric, measured))
    figure.update_yaxes(title=title, type="category", showgrid=False)
    figure.update_layout(template=TEMPLATE, height=110 + 64 * len(groups))
    return figure


def history_figure(points: Sequence[HistoryPoint], by_time: Sequence[HistoryPoint] = ()) -> go.Figure:
    """The best so far as steps: on the left by trials, each complete one a dot, on the right by the running time."""
    metric, timed = points[0].metric, bool(by_time)
    figure = make_subplots(cols=1 + timed, shared_yaxes=True, horizontal_spacing=0.04)
    figure.add_scatter(
        name="complete trial",
        x=[point.trial for point in points],
        y=[metric.scale * point.value for point in points],
        mode="markers",
        marker={"color": BLUE, "size": 6, "opacity": 0.7},
        text=[_setting(point.setting) for point in points],
        hovertemplate=f"trial %{{x}}: %{{y:{_digits(metric)}}} {metric.unit}<br>%{{text}}<extra></extra>",
    )
    steps = {
        "name": "best so far",
        "mode": "lines" if len(points) > 1 else "markers",
        "line": {"color": VERMILION, "width": 2, "shape": "hv"},
    }
    best = [metric.scale * point.best for point in points]
    figure.add_scatter(x=[point.trial for point in points], y=best, hoverinfo="skip", **steps)
    figure.update_xaxes(title="Trial number", rangemode="tozero", col=1)
    figure.update_yaxes(title=_axis(metric), col=1)
    if timed:
        ends = [point.finished or 0.0 for point in by_time]
        unit, seconds = time_unit(ends[-1])
        figure.add_scatter(
            x=[end / seconds for end in ends],
            y=[metric.scale * point.best for point in by_time],
            text=[duration(end) for end in ends],
            hovertemplate=f"%{{y:{_digits(metric)}}} {metric.unit} after %{{text}}<extra></extra>",
            showlegend=False,
            row=1,
            col=2,
            **steps,
        )
        figure.update_xaxes(title=f"Running time ({unit})", rangemode="tozero", col=2)
    figure.update_layout(template=TEMPLATE, height=340, showlegend=True)
    return figure


def importance_figure(importances: Sequence[Importance]) -> go.Figure:
    """A bar for each choice and evaluator, the most important choice on top."""
    figure = go.Figure()
    for name, colour in zip(importances[0].shares, (BLUE, ORANGE), strict=True):
        shares = [each.shares[name] for each in importances]
        figure.add_bar(
            name=name,
            x=[100 * share for share in shares],
            y=[each.choice.capitalize() for each in importances],
            orientation="h",
            marker={"color": colour},
            text=[percent(share) for share in shares],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{y}}: %{{text}} by {name}<extra></extra>",
        )
    figure.update_xaxes(title="Importance (%)", range=[0, 108])
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(template=TEMPLATE, height=120 + 56 * len(importances), showlegend=True, bargap=0.25)
    figure.update_layout(legend={"traceorder": "normal"})
    return figure


def interaction_figure(table: Interaction, metric: Metric) -> go.Figure:
    """A heatmap of each pair's best; untried pairs are empty. The pair of the best trial is framed."""
    pairs = [[table.cells.get((row, column)) for column in table.columns] for row in table.rows]
    figure = go.Figure(
        go.Heatmap(
            x=[choice_value(value) for value in table.columns],
            y=[choice_value(value) for value in table.rows],
            z=[[metric.scale * pair.best.value if pair else None for pair in row] for row in pairs],
            text=[[metric.number(pair.best.value) if pair else "" for pair in row] for row in pairs],
            texttemplate="%{text}",
            customdata=[[_pair_hover(pair) if pair else "" for pair in row] for row in pairs],
            hovertemplate="%{customdata}<extra></extra>",
            **_heat(metric, len(table.cells), with_unit(f"Best validation {metric.label}", metric)),
        )
    )
    y, x = table.rows.index(table.best[0]), table.columns.index(table.best[1])
    figure.add_shape(
        type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line={"color": VERMILION, "width": 2.5}
    )
    figure.update_xaxes(title=table.column.capitalize(), type="category", showgrid=False)
    figure.update_yaxes(title=table.row.capitalize(), type="category", showgrid=False)
    height = 200 + min(30 * max(len(table.rows), 2), 520)
    figure.update_layout(template=TEMPLATE, height=height, margin={"b": 96}, plot_bgcolor=UNTRIED)
    return figure


def trade_off_figure(table: TradeOff) -> go.Figure:
    """Each trial by its cost. Steps say what is the best for a cost; finalists have their test too."""
    figure, metric = go.Figure(), table.best.validation.metric
    costs = [point.gmacs for point in (*table.front, *table.others)]
    figure.add_scatter(
        x=[*(point.gmacs for point in table.front), max(costs)],
        y=[metric.scale * point.validation.value for point in (*table.front, table.best)],
        mode="lines",
        line={"color": VERMILION, "width": 2, "shape": "hv"},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, points, marker in (
        ("other trial", table.others, {"color": BLUE, "size": 6, "opacity": 0.35}),
        ("best for its cost", table.front, {"color": VERMILION, "size": 8}),
    ):
        figure.add_scatter(
            name=name,
            x=[point.gmacs for point in points],
            y=[metric.scale * point.validation.value for point in points],
            mode="markers",
            marker=marker,
            text=[_cost_hover(point, f"trial {point.trial}", point.validation) for point in points],
            hovertemplate="%{text}<extra></extra>",
        )
    tested = [(point, point.test) for point in (*table.front, *table.others) if point.test]
    if tested:
        figure.add_scatter(
            name="on test images",
            x=[point.gmacs for point, _ in tested],
            y=[metric.scale * test.value for _, test in tested],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [metric.scale * (test.high - test.value) for _, test in tested],
                "arrayminus": [metric.scale * (test.value - test.low) for _, test in tested],
                "color": INK,
                "thickness": 1.5,
            },
            mode="markers",
            marker={"symbol": "diamond-open", "size": 10, "color": INK},
            text=[_cost_hover(point, "on test images", test) for point, test in tested],
            hovertemplate="%{text}<extra></extra>",
        )
    ticks = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 3, 5)]
    figure.update_xaxes(title="GMAC an image, passes and head", type="log")
    figure.update_xaxes(tickvals=ticks, ticktext=[gmacs(tick) for tick in ticks])
    figure.update_yaxes(title=_axis(metric))
    figure.update_layout(template=TEMPLATE, height=380, showlegend=True)
    return figure


def time_figure(phases: Sequence[Phase]) -> go.Figure:
    """One bar a phase, the longest on top."""
    names = [escape(phase(row.name), quote=False) for row in phases]
    figure = go.Figure(
        go.Bar(
            x=[row.seconds for row in phases],
            y=names,
            orientation="h",
            marker={"color": ORANGE},
            text=[f"{duration(row.seconds)} · {percent(row.share)}" for row in phases],
            textposition="auto",
            insidetextfont={"color": "#1d2125"},
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(title="Seconds of work", rangemode="tozero")
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(template=TEMPLATE, height=90 + 40 * len(phases))
    return figure


def _heat(metric: Metric, cells: int, title: str) -> dict[str, Any]:
    """How a heatmap of the metric looks."""
    return {
        "hoverongaps": False,
        "showscale": cells > 1,
        "colorscale": "Cividis",
        "reversescale": not metric.higher_is_better,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {
            # The second, empty line keeps plotly from setting the title on the bar in a low figure.
            "title": {"text": f"{title}<br> ", "side": "top", "font": {"size": 13}},
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "thickness": 10,
            "outlinewidth": 0,
        },
    }


def _axis(metric: Metric, measured: str = "validation") -> str:
    return with_unit(f"{measured.capitalize()} {metric.label}", metric)


def _digits(metric: Metric) -> str:
    """Of the number that is told, as d3 has it."""
    return ".1f" if metric.is_proportion else ".3f"


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
        f"{escape(head(cell.setting), quote=False)}<br>"
        f"{tried}"
    )


def _pair_hover(pair: Pair) -> str:
    tried = "1 trial" if pair.count == 1 else f"best of {pair.count:,} trials"
    return f"<b>{with_interval(pair.best)}</b><br>{_setting(pair.setting)}<br>trial {pair.trial}, {tried}"


def _cost_hover(point: CostPoint, measured: str, estimate: Estimate) -> str:
    return f"<b>{with_interval(estimate)}</b> {measured}<br>{gmacs(point.gmacs)} GMAC<br>{_setting(point.setting)}"


def _setting(setting: Setting) -> str:
    return escape(str(setting), quote=False)
