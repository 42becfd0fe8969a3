"""All trials of a study: a table that its reader sorts and filters, and parallel coordinates of the same trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import plotly.graph_objects as go

from dashboards.formatting import (
    amount,
    column,
    count,
    head_text,
    number_with_interval,
    option_name,
    short_number,
    title,
)
from dashboards.page.page import FEATURE_COLUMNS, Section, Table, feature_cells
from dashboards.page.style import INK, TEMPLATE, plotly_text
from dashboards.study import tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.sentences import leaderboard_sentence
from objectives.results import Metric, StudyResults, Trial
from spaces import Setting

SHADES = ("#00224e", "#2a406c", "#575c6d", "#787877", "#a59c74", "#d3c164", "#fee838")
"""Cividis from the worst trials to the best: each shade is one trace of lines."""

TICKS = 19
"""The most values of an axis that are named."""

JITTER = 0.016  # of the height: trials of the same values lie side by side
AXIS_WIDTH = 96  # CSS pixels: the least distance of two axes
Value = int | float | str | None


@dataclass(frozen=True, slots=True)
class Axis:
    """A choice that differs between trials.

    name: as a filter of the table names it, "lr". title: "Learning rate". values: those tried, in order, with their
    text.
    """

    name: str
    title: str
    values: tuple[tuple[Value, str], ...]

    def height(self, value: Value) -> float:
        """The place of a value between 0 and 1."""
        index = next(index for index, (known, _) in enumerate(self.values) if known == value)
        return index / (len(self.values) - 1)


def trials_section(study: StudyResults) -> Section:
    """The trials of a study that has a complete one."""
    complete = study.complete
    others = sorted((trial for trial in study.trials if trial.state != "complete"), key=lambda trial: trial.number)
    told = [leaderboard_sentence(tables.leaderboard(study))]
    drawn = axes(complete)
    figure = parallel_figure(study, drawn) if len(complete) > 1 and drawn else None
    if figure is not None:
        told.append(
            "A line is a complete trial: it passes through the trial's choices to its "
            f"{study.metric.label}; bright lines are the best."
        )
    return Section("trials", "All trials", tuple(told), figure, trial_table(study, (*complete, *others)))


def trial_table(study: StudyResults, trials: Sequence[Trial]) -> Table:
    """A row for each trial, in the given order."""
    answer = study_answer(study)
    numbers = [trial.number for trial in trials]
    return Table(
        f"{count(len(trials), 'trial')}, the best by validation {study.metric.label} first (95 % interval of one seed)",
        ("Trial", column("Validation", study.metric), *FEATURE_COLUMNS, "Head", "State", "Seconds", "Passes made"),
        tuple(_row(trial, study.metric) for trial in trials),
        chosen=numbers.index(answer.trial) if answer and answer.trial in numbers else None,
        interactive=True,
    )


def _row(trial: Trial, metric: Metric) -> tuple[str, ...]:
    estimate = tables.trial_estimate(trial, metric) if trial.state == "complete" else None
    return (
        str(trial.number),
        number_with_interval(estimate) if estimate else "",
        *feature_cells(trial.setting),
        head_text(trial.setting),
        trial.state,
        f"{sum(trial.seconds.values()):.1f}",
        f"{trial.passes_made:,}",
    )


def axes(trials: Sequence[Trial]) -> list[tuple[Axis, list[Value]]]:
    """Each choice with more than one value, and the value of each trial; None for a head without the option."""
    settings = [trial.setting for trial in trials]
    choices: dict[str, list[Value]] = {
        "block": [setting.block for setting in settings],
        "timestep": [setting.timestep for setting in settings],
        "pool": [setting.pool for setting in settings],
        "taps": [len(setting.taps) for setting in settings],
        "draws": [setting.draws for setting in settings],
        "head": [setting.head for setting in settings],
    }
    for name in sorted({name for setting in settings for name, _ in setting.options}):
        choices[name] = [_option(setting, name) for setting in settings]
    return [(_axis(name, values), values) for name, values in choices.items() if len(set(values)) > 1]


def _option(setting: Setting, name: str) -> Value:
    return dict(setting.options).get(name)


def _axis(name: str, values: Sequence[Value]) -> Axis:
    numbers = sorted(value for value in set(values) if isinstance(value, int | float))
    words = sorted(value for value in set(values) if isinstance(value, str))
    ordered: list[Value] = [*([None] if None in values else []), *numbers, *words]
    texts = ["–" if value is None else short_number(value) for value in ordered]
    return Axis(option_name(name), name.replace("_", " ").capitalize(), tuple(zip(ordered, texts, strict=True)))


def parallel_figure(study: StudyResults, drawn: Sequence[tuple[Axis, list[Value]]]) -> go.Figure:
    """Parallel coordinates of the complete trials. They are SVG lines, which every browser draws and prints.

    `meta` of a trace of lines: the row of each line in the table, so that a filter of the table reaches the figure.
    """
    metric, trials = study.metric, study.complete
    values = [metric.scale * estimate.value for trial in trials if (estimate := trial.estimate(metric))]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    figure = go.Figure()
    for shade, rows in reversed(_shaded(len(trials))):  # the best last, so that they lie on top
        xs: list[float | None] = []
        ys: list[float | None] = []
        for row in rows:
            shift = JITTER * (2 * ((0.618034 * trials[row].number) % 1) - 1)
            heights = [axis.height(choices[row]) + shift for axis, choices in drawn] + [(values[row] - low) / span]
            xs += [*range(len(heights)), None]
            ys += [*(round(height, 3) for height in heights), None]
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="lines",
            line={"color": shade, "width": 1.2},
            opacity=0.75,
            hoverinfo="skip",
            meta=list(rows),
        )
    for place, (axis, choices) in enumerate(drawn):
        _add_ticks(figure, place, axis, [_tick(axis, choices, value, values, metric) for value, _ in axis.values])
    last = len(drawn)
    figure.add_scatter(
        x=[last, last],
        y=[-0.05, 1.05],
        mode="text",
        text=[amount(value / metric.scale, metric) for value in (low, high)],
        textposition=["bottom center", "top center"],
        textfont={"color": INK},
        hoverinfo="skip",
    )
    names = [*(axis.title for axis, _ in drawn), title(metric)]
    for place, name in enumerate(names):
        ends = {"x0": place, "x1": place, "y0": -0.05, "y1": 1.05}
        figure.add_shape(type="line", **ends, line={"color": INK, "width": 1}, layer="below")
        figure.add_annotation(x=place, y=1.1, text=plotly_text(name), showarrow=False, yanchor="bottom")
    figure.update_xaxes(range=[-0.45, last + 0.45], visible=False)
    figure.update_yaxes(range=[-0.1, 1.2], visible=False)
    figure.update_layout(template=TEMPLATE, height=420, margin={"t": 32}, meta={"least_width": AXIS_WIDTH * len(names)})
    return figure


def _shaded(trials: int) -> list[tuple[str, range]]:
    """The rows of each shade, the best first. Each shade has about as many rows, so that no outlier takes them all."""
    size = ceil(trials / len(SHADES))
    starts = range(0, trials, size)
    return [
        (shade, range(start, min(start + size, trials))) for shade, start in zip(SHADES[::-1], starts, strict=False)
    ]


def _tick(axis: Axis, choices: Sequence[Value], value: Value, values: Sequence[float], metric: Metric) -> str:
    """How many trials a value has, and the best of them."""
    own = [number for choice, number in zip(choices, values, strict=True) if choice == value]
    best = max(own, key=metric.score)
    name = f"{axis.title} {short_number(value)}" if value is not None else f"No {axis.title.lower()}"
    return plotly_text(f"{name}: {count(len(own), 'trial')}, best {amount(best / metric.scale, metric)}")


def _add_ticks(figure: go.Figure, place: int, axis: Axis, hovers: Sequence[str]) -> None:
    """A dot for each value of an axis; `customdata` is the filter that a click on it sets."""
    every = ceil(len(axis.values) / TICKS)
    figure.add_scatter(
        x=[place] * len(axis.values),
        y=[axis.height(value) for value, _ in axis.values],
        mode="markers+text",
        marker={"color": INK, "size": 6},
        text=[plotly_text(text) if index % every == 0 else "" for index, (_, text) in enumerate(axis.values)],
        textposition="middle left",
        textfont={"color": INK},
        customdata=[f"{axis.name}={text}" if value is not None else "" for value, text in axis.values],
        hovertext=list(hovers),
        hovertemplate="%{hovertext}<extra></extra>",
    )
