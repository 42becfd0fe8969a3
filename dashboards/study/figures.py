"""Figures of a study, drawn from its tables. No number is computed here."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.formatting import duration, gmacs, percent, time_unit, with_interval
from dashboards.page.style import (
    BLUE,
    INK,
    ORANGE,
    TEMPLATE,
    VERMILION,
    digits,
    metric_axis,
    plotly_text,
    setting_text,
)
from dashboards.study.answer.tradeoff import CostPoint, TradeOff
from dashboards.study.sentences import phase_text
from dashboards.study.tables import HistoryPoint, Phase
from dashboards.tables import Estimate
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


def _cost_hover(point: CostPoint, measured: str, estimate: Estimate) -> str:
    return f"<b>{with_interval(estimate)}</b> {measured}<br>{gmacs(point.gmacs)} GMAC<br>{setting_text(point.setting)}"
