"""A study's answer in words and as JSON: the setting to use, how good it is, what it cost."""

from collections.abc import Mapping
from typing import Any

from objectives.results import ACCURACY, METRICS, Finalist, Measured, Metric, Study
from spaces import SearchError, Setting


def answer_of(study: Study) -> dict[str, Any]:
    """JSON-ready. The test fields are None until a run has re-evaluated its finalists.

    metric: what the setting was chosen by. accuracy: top-1. scores: part → metric → value and 95 % interval, of all
    that were kept. Raises SearchError where no trial is complete yet.
    """
    if study.finalists:
        found: Finalist = study.finalists[0]
        setting: Setting = found.setting
        validation = {name: found.measured("validation", metric) for name, metric in METRICS.items()}
        test = {name: found.measured("test", metric) for name, metric in METRICS.items()}
        seeds = [final.seed for final in found.finals]
    elif study.complete:
        best = study.complete[0]
        setting = best.setting
        validation = {name: best.measured(metric) for name, metric in METRICS.items()}
        test, seeds = {}, []
    else:
        raise SearchError(f"study {study.name} has no complete trial yet; `search run` makes some")
    return {
        "study": study.name,
        "dataset": study.dataset,
        "backbone": study.backbone,
        "setting": setting.to_dict(),
        "metric": study.metric.name,
        **_accuracy("validation", validation),
        **_accuracy("test", test),
        "scores": {"validation": _scores(validation), "test": _scores(test)},
        "seeds": seeds,
        "trials": study.finished,
        "passes": study.passes_made,
        "passes_saved": study.passes_needed - study.passes_made,
    }


def answer_lines(study: Study) -> list[str]:
    """The same for people."""
    answer = answer_of(study)
    seeds = f"mean of {len(answer['seeds'])} seeds"
    lines = [f"study       {study.name}", f"setting     {Setting.from_dict(answer['setting'])}"]
    lines += _lines("validation", study.metric, answer["scores"]["validation"])
    if answer["scores"]["test"]:
        lines += _lines("test", study.metric, answer["scores"]["test"], f"; {seeds}")
    else:
        lines.append("test        not read yet: the run has not come to its finalists")
    made, saved = answer["passes"], answer["passes_saved"]
    share = saved / (made + saved) if made + saved else 0.0
    lines.append(f"passes      {made:,} made, {saved:,} saved by the cache ({100 * share:.1f} % of the work)")
    return lines


def _accuracy(part: str, measured: Mapping[str, Measured | None]) -> dict[str, Any]:
    found = measured.get(ACCURACY.name)
    interval = [found.low, found.high] if found else None
    return {f"{part}_accuracy": found.value if found else None, f"{part}_interval": interval}


def _scores(measured: Mapping[str, Measured | None]) -> dict[str, Any]:
    return {name: {"value": m.value, "interval": [m.low, m.high]} for name, m in measured.items() if m is not None}


def _lines(part: str, chosen: Metric, scores: Mapping[str, Any], of: str = "") -> list[str]:
    """What the setting was chosen by and, where that is another, the accuracy."""
    lines = []
    for place, metric in enumerate([chosen] if chosen == ACCURACY else [chosen, ACCURACY]):
        score = scores[metric.name]
        low, high = map(metric.number, score["interval"])
        name = metric.told(score["value"]) if place == 0 else f"accuracy {metric.text(score['value'])}"
        lines.append(f"{'' if place else part:<12}{name}  (95 % interval {low} to {high}{of})")
    return lines
