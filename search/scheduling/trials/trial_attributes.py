"""The user attributes of a trial, which Optuna Dashboard shows.

Attributes for people have names with a capital letter, and programs read the others. SQLite returns attributes in the
order of their names, so those for people come first; Optuna Dashboard shows six before a reader has to scroll.
PostgreSQL returns them as they were written. Numbers are attributes of their own, which Optuna Dashboard sorts and
draws.
"""

from collections.abc import Mapping
from typing import Any

from dashboards.formatting import duration, gmacs, with_unit
from objectives.results import ACCURACY, METRICS, Evaluation, Scores
from spaces import Architecture, Setting
from spaces.setting import draws_text
from spaces.text import one_line

MAX_REASON = 500
"""Characters of a reason that are kept."""

PHASES = {"extract": "passes", "wait": "waiting for passes of others", "read": "reading", "fit": "fitting"}


def setting_attributes(setting: Setting, architecture: Architecture) -> dict[str, Any]:
    """Return what a setting means on a network. It is known when a trial begins, so failed trials have it too."""
    blocks = [architecture.block(tap.block) for tap in setting.taps]
    count = len(architecture.blocks)
    maps = (f"{b.number} of {count} ({b.part}), {b.channels} channels of {b.side} × {b.side}" for b in blocks)
    noise = (
        f"t {timestep}: " + (f"sigma {architecture.sigma(timestep):.3g}" if setting.draws else draws_text(0))
        for timestep in setting.passes
        if timestep is not None
    )
    averaged = f", {draws_text(setting.draws)} averaged" if setting.draws > 1 else ""
    length = sum(block.channels for block in blocks) * setting.pool**2
    return {
        "Setting": str(setting),
        "Block": "; ".join(maps),
        "Features": f"{length:,} an image, pooled to {setting.pool} × {setting.pool}",
        "Noise": "; ".join(noise) + averaged or "none: clean images",
        "Cost": f"{gmacs(architecture.pass_gmacs(setting))} GMAC an image, without the head",
    }


def result_attributes(evaluation: Evaluation | None) -> dict[str, Any]:
    """Return the accuracy and the cost of a trial. `search.surrogates.trial_cost` reads "seconds" and "passes"."""
    if evaluation is None:
        return {}
    accuracy, (low, high) = evaluation.validation, evaluation.validation.interval()
    share = f"{ACCURACY.text(accuracy.value)} ({ACCURACY.number(low)}–{ACCURACY.number(high)})"
    longest_first = sorted(evaluation.seconds.items(), key=lambda phase: -phase[1])
    made, needed = evaluation.passes_made, evaluation.passes_needed
    return {
        "Accuracy": f"{share}, {accuracy.correct:,} of {accuracy.total:,} validation images",
        "Passes": f"{made:,} made of {needed:,} needed",
        "Time": ", ".join(f"{PHASES.get(name, name)} {duration(seconds)}" for name, seconds in longest_first),
        "seconds": {phase: round(seconds, 3) for phase, seconds in evaluation.seconds.items()},
        "passes": {"made": made, "needed": needed},
        **evaluation.details,
        **_scores(evaluation.scores),
    }


def end_attributes(reason: str, failed: bool = False) -> dict[str, str]:
    """Return why a trial failed or was pruned. failed: whether it failed by itself. Reports read "reason"."""
    return {"reason": reason, "Ended": f"failed: {reason}" if failed else reason}


def reason_line(text: str) -> str:
    """Return a reason in one line."""
    return one_line(" ".join(text.split()))[:MAX_REASON] or "no reason given"


def _scores(scores: Scores | None) -> Mapping[str, float]:
    values = [(METRICS[name], estimate.value) for name, estimate in scores.values.items()] if scores else []
    return {with_unit(metric.label, metric): round(metric.scale * value, 4) for metric, value in values}
