"""Figures of a study, drawn from its tables. No number is computed here."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from dashboards.formatting import choice_value, duration, gmacs, percent, time_unit, with_interval, with_unit
from dashboards.page.style import (
    BLUE,
    COLOUR_BAR_MARGIN,
    INK,
    ORANGE,
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
from dashboards.study.ablation import Ablation
from dashboards.study.choices import Importance, Interaction, Pair
from dashboards.study.sentences import phase_text
from dashboards.study.tables import HistoryPoint, Phase
from dashboards.study.tradeoff import CostPoint, TradeOff
from dashboards.tables import Estimate
from objectives.results import Metric
from spaces import Setting


def history_figure(points: Sequence[HistoryPoint], by_time: Sequence[HistoryPoint] = ()) -> go.Figure:
    """The best value so far as steps: by trial number on the left, with a dot for each trial; by time on the right."""
    metric, timed = points[0].metric, bool(by_time)
    figure = make_subplots(cols=1 + timed, shared_yaxes=True, horizontal_spacing=0.04)
    figure.add_scatter(
        name="complete trial",
        x=[point.trial for point in points],
        y=[metric.scale * point.value for point in points],
        mode="markers",
        marker={"color": BLUE, "size": 6, "opacity": 0.7},
        text=[setting_text(point.setting) for point in points],
        hovertemplate=f"trial %{{x}}: %{{y:{digits(metric)}}} {metric.unit}<br>%{{text}}<extra></extra>",
    )
    steps = {
        "name": "best so far",
        "mode": "lines" if len(points) > 1 else "markers",
        "line": {"color": VERMILION, "width": 2, "shape": "hv"},
    }
    best = [metric.scale * point.best for point in points]
    figure.add_scatter(x=[point.trial for point in points], y=best, hoverinfo="skip", **steps)
    figure.update_xaxes(title="Trial number", rangemode="tozero", col=1)
    figure.update_yaxes(title=metric_axis(metric), col=1)
    if timed:
        ends = [point.finished or 0.0 for point in by_time]
        unit, seconds = time_unit(ends[-1])
        figure.add_scatter(
            x=[end / seconds for end in ends],
            y=[metric.scale * point.best for point in by_time],
            text=[duration(end) for end in ends],
            hovertemplate=f"%{{y:{digits(metric)}}} {metric.unit} after %{{text}}<extra></extra>",
            showlegend=False,
            row=1,
            col=2,
            **steps,
        )
        figure.update_xaxes(title=f"Running time ({unit})", rangemode="tozero", col=2)
    figure.update_layout(template=TEMPLATE, height=340, showlegend=True)
    return figure


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
    figure.update_yaxes(title=table.row.capitalize(), type="category", showgrid=False)
    figure.update_yaxes(categoryorder="array", categoryarray=rows)
    height = 220 + min(30 * max(len(table.rows), 2), 520)
    figure.update_layout(template=TEMPLATE, height=height, margin={"b": COLOUR_BAR_MARGIN}, plot_bgcolor=UNTRIED)
    figure.update_layout(showlegend=bool(empty))
    return figure


def _pair_text(pair: Pair, metric: Metric) -> str:
    """ "24.2 of 9": the best value, and of how many trials."""
    return f"{metric.number(pair.best.value)} of {pair.count:,}"


def trade_off_figure(table: TradeOff, answer: Setting | None = None) -> go.Figure:
    """Each trial's value against its cost. Steps show the Pareto front; finalists have their test value too.

    answer: the setting whose trial has a ring around it.
    """
    figure, metric = go.Figure(), table.best.validation.metric
    costs = [point.gmacs for point in (*table.pareto_front, *table.others)]
    figure.add_scatter(
        x=[*(point.gmacs for point in table.pareto_front), max(costs)],
        y=[metric.scale * point.validation.value for point in (*table.pareto_front, table.best)],
        mode="lines",
        line={"color": VERMILION, "width": 2, "shape": "hv"},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, points, marker in (
        ("other trial", table.others, {"color": BLUE, "size": 6, "opacity": 0.35}),
        ("Pareto front", table.pareto_front, {"color": VERMILION, "size": 8}),
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
    tested = [(point, point.test) for point in (*table.pareto_front, *table.others) if point.test]
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
    marked = [point for point in (*table.pareto_front, *table.others) if point.setting == answer]
    if marked:
        figure.add_scatter(
            name="answer",
            x=[point.gmacs for point in marked[:1]],
            y=[metric.scale * point.validation.value for point in marked[:1]],
            mode="markers",
            marker={"symbol": "circle-open", "size": 17, "color": VERMILION, "line": {"width": 2.5}},
            hoverinfo="skip",
        )
    ticks = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 3, 5)]
    figure.update_xaxes(title="GMAC per image, forward passes and head", type="log")
    figure.update_xaxes(tickvals=ticks, ticktext=[gmacs(tick) for tick in ticks])
    figure.update_yaxes(title=metric_axis(metric))
    figure.update_layout(template=TEMPLATE, height=380, showlegend=True)
    return figure


def time_figure(phases: Sequence[Phase]) -> go.Figure:
    """One bar for each phase, the longest on top."""
    names = [plotly_text(phase_text(row.name)) for row in phases]
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


def _pair_hover(pair: Pair) -> str:
    tried = "1 trial" if pair.count == 1 else f"best of {pair.count:,} trials"
    return f"<b>{with_interval(pair.best)}</b><br>{setting_text(pair.setting)}<br>trial {pair.trial}, {tried}"


def _cost_hover(point: CostPoint, measured: str, estimate: Estimate) -> str:
    return f"<b>{with_interval(estimate)}</b> {measured}<br>{gmacs(point.gmacs)} GMAC<br>{setting_text(point.setting)}"


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
