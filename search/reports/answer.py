"""Describes the best setting of a study as text and as JSON: its scores and its cost."""

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from dashboards.formatting import count, gap_text, gmacs, mean_of_seeds, terminal_interval
from dashboards.study.scores import scores
from dashboards.study.tables import BestSetting, best_setting
from dashboards.study.tradeoff import CostPoint, gmacs_of, trade_off
from dashboards.tables import Estimate
from objectives.results import ACCURACY, GMACS, Metric, StudyResults, Trial
from spaces import SearchError, Setting

RULES = {
    "candidates": "the cheapest of the candidates that are as good as the best",
    "finalists": "the best mean of the finalists on validation",
    "trials": "the best trial on validation",
}
"""How an answer was chosen, in words."""

SHOWN = 8
"""Settings of a Pareto front that a terminal shows."""


def answer_record(study: StudyResults) -> dict[str, Any]:
    """Return the best setting and its scores as JSON-ready values.

    The test fields are None until a run has tested its answer. metric: the one that chose the setting. rule: how it was
    chosen. candidates: how many settings were compared for it. tied: the other ones that are not significantly worse
    than the best. expected_loss: of the score, to the best setting tried. majority: the accuracy on the test images of
    always naming the most frequent class.
    accuracy: top-1. scores: part → metric → value and 95 % interval, for all metrics that were stored. gmacs: 1e9
    multiply-accumulates to classify an image. front: the Pareto front, cheapest first, if costs were stored; its
    validation scores are those of one seed. Raises SearchError where no trial is complete.
    """
    best = best_setting(study)
    if best is None:
        raise SearchError(f"study {study.name} has no complete trial yet; `search run` makes some")
    setting, rows = best.setting, {row.metric.name: row for row in scores(study)}
    validation = {name: row.validation for name, row in rows.items()}
    test = {name: row.test for name, row in rows.items()}
    loss = best.expected_loss
    return {
        "study": study.name,
        "dataset": study.dataset,
        "backbone": study.backbone,
        "setting": setting.to_dict(),
        "metric": study.metric.name,
        **_accuracy("validation", validation),
        **_accuracy("test", test),
        "scores": {"validation": _scores(validation), "test": _scores(test)},
        "rule": RULES["candidates" if best.candidates else "finalists" if best.is_finalist else "trials"],
        "candidates": best.candidates,
        "tied": [tied.to_dict() for tied in best.tied],
        "expected_loss": loss and {"value": loss.value, "interval": [loss.low, loss.high]},
        "majority": best.majority,
        "better_than_chance": best.better_than_chance,
        "gmacs": gmacs_of(study, setting),
        "front": [_point_record(point) for point in table.pareto_front] if (table := trade_off(study)) else [],
        "seeds": list(best.seeds) if best.is_finalist else [],
        "trials": study.finished,
        "passes": study.passes_made,
        "passes_saved": study.passes_needed - study.passes_made,
    }


def answer_lines(study: StudyResults) -> list[str]:
    """Return the values of `answer_record` as lines for people."""
    answer, best = answer_record(study), best_setting(study)
    lines = [f"study       {study.name}", f"setting     {Setting.from_dict(answer['setting'])}"]
    lines += _lines("validation", study.metric, answer["scores"]["validation"])
    if answer["scores"]["test"]:
        lines += _lines("test", study.metric, answer["scores"]["test"], f"; {mean_of_seeds(len(answer['seeds']))}")
    else:
        lines.append("test        not measured yet: the candidates have not been compared, and the best")
        lines.append("            of many trials looks better on validation than it is")
    lines += choice_lines(best) if best else []
    if answer["gmacs"] is not None:
        lines.append(f"cost        {gmacs(answer['gmacs'])} GMAC an image, passes and head")
    if study.by_cost:
        lines += _front_lines(study)
    made, saved = answer["passes"], answer["passes_saved"]
    share = saved / (made + saved) if made + saved else 0.0
    lines.append(f"passes      {made:,} made, {saved:,} saved by the cache ({100 * share:.1f} % of the work)")
    return lines


def choice_lines(best: BestSetting) -> list[str]:
    """Say in lines what is tied with the answer, what it may lose, and whether it is better than chance."""
    lines, metric, loss = [], best.validation.metric, best.expected_loss
    if best.candidates:
        others = f"{len(best.tied)} of the {count(best.candidates - 1, 'other candidate')}"
        lines.append(f"tied        {others}; {RULES['candidates']}" if best.tied else "tied        no other candidate")
    if loss is not None:
        gap = gap_text(loss.value, metric)
        low, high = metric.number(loss.low), metric.number(loss.high)
        lines.append(f"loss        {gap} expected, to the best setting tried  (95 % interval {low} to {high})")
    if best.better_than_chance is False and best.majority is not None:
        lines.append(
            "chance      no better than chance, as far as these test images tell: always naming the most frequent "
            f"class is right on {ACCURACY.text(best.majority)} of them"
        )
    return lines


def spread(front: Sequence[Trial], count: int) -> list[Trial]:
    """Choose at most `count` trials of a Pareto front, evenly spread over its costs.

    The best and the cheapest come first, then each time the trial whose cost ratio to those chosen is largest.
    """
    chosen, left = list(front[-1:]), list(front[:-1])
    while left and len(chosen) < count:
        chosen.append(max(left, key=lambda trial: min(_apart(trial, other) for other in chosen)))
        left.remove(chosen[-1])
    return chosen


def _apart(trial: Trial, other: Trial) -> float:
    return abs(log(trial.details[GMACS] / other.details[GMACS]))


def _front_lines(study: StudyResults) -> list[str]:
    """Return a table of the Pareto front, cheapest first. Of a long front, `spread` chooses the settings."""
    table, shown = trade_off(study), {trial.number for trial in spread(study.pareto_front, SHOWN)}
    points = table.pareto_front if table else ()
    rows = [("GMAC", "validation", "test", "setting")] + [
        (gmacs(point.gmacs), terminal_interval(point.validation), terminal_interval(point.test), str(point.setting))
        for point in points
        if point.trial in shown
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(points) > len(shown):
        lines.append(f"and {len(points) - len(shown)} more between these; the report has all")
    return [f"{'' if index else 'front':<12}{line}" for index, line in enumerate(lines)]


def _point_record(point: CostPoint) -> dict[str, Any]:
    parts = {"validation": point.validation, "test": point.test}
    scores = {
        part: score and {"value": score.value, "interval": [score.low, score.high]} for part, score in parts.items()
    }
    return {"setting": point.setting.to_dict(), "gmacs": point.gmacs, **scores}


def _accuracy(part: str, measured: Mapping[str, Estimate | None]) -> dict[str, Any]:
    accuracy = measured.get(ACCURACY.name)
    interval = [accuracy.low, accuracy.high] if accuracy else None
    return {f"{part}_accuracy": accuracy.value if accuracy else None, f"{part}_interval": interval}


def _scores(measured: Mapping[str, Estimate | None]) -> dict[str, Any]:
    return {name: {"value": m.value, "interval": [m.low, m.high]} for name, m in measured.items() if m is not None}


def _lines(part: str, chosen: Metric, scores: Mapping[str, Any], note: str = "") -> list[str]:
    """Return a line for the metric that chose the setting, and one for the accuracy where that is another metric."""
    lines = []
    for index, metric in enumerate([chosen] if chosen == ACCURACY else [chosen, ACCURACY]):
        score = scores[metric.name]
        low, high = map(metric.number, score["interval"])
        name = metric.labelled_text(score["value"]) if index == 0 else f"accuracy {metric.text(score['value'])}"
        lines.append(f"{'' if index else part:<12}{name}  (95 % interval {low} to {high}{note})")
    return lines
