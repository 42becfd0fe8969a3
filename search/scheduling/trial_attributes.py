"""What a trial tells in its attributes to whoever opens it in Optuna Dashboard.

Names in capitals are words for people. SQLite gives attributes in the order of their names, so that these come before
what programs read, and Optuna Dashboard shows the first six before one has to scroll; PostgreSQL gives them as they
were written. Numbers stand apart: Optuna Dashboard sorts and draws them.
"""

from collections.abc import Mapping
from typing import Any

from dashboards.formatting import duration, gmacs, with_unit
from objectives.results import ACCURACY, METRICS, Evaluation, Scores
from spaces import Architecture, Setting

PHASES = {"extract": "passes", "wait": "waiting for passes of others", "read": "reading", "fit": "fitting"}


def facts_of(setting: Setting, architecture: Architecture) -> dict[str, Any]:
    """What the setting means on this network: known when the trial is asked for, so that failed ones have it too."""
    blocks = [architecture.block(tap.block) for tap in setting.taps]
    count = len(architecture.blocks)
    maps = (f"{b.number} of {count} ({b.part}), {b.channels} channels of {b.side} × {b.side}" for b in blocks)
    noise = (
        f"t {timestep}: sigma {architecture.sigma(timestep):.3g}" for timestep in setting.passes if timestep is not None
    )
    averaged = f", {setting.draws} draws averaged" if setting.draws > 1 else ""
    length = sum(block.channels for block in blocks) * setting.pool**2
    return {
        "Setting": str(setting),
        "Block": "; ".join(maps),
        "Features": f"{length:,} an image, pooled to {setting.pool} × {setting.pool}",
        "Noise": "; ".join(noise) + averaged or "none: clean images",
        "Cost": f"{gmacs(architecture.pass_gmacs(setting))} GMAC an image, without the head",
    }


def results_of(evaluation: Evaluation | None) -> dict[str, Any]:
    """What it came to and what it took. "seconds" and "passes" are what `search.surrogates.trial_cost` learns from."""
    if evaluation is None:
        return {}
    right, (low, high) = evaluation.validation, evaluation.validation.interval()
    share = f"{ACCURACY.text(right.value)} ({ACCURACY.number(low)}–{ACCURACY.number(high)})"
    taken = sorted(evaluation.seconds.items(), key=lambda each: -each[1])
    made, needed = evaluation.passes_made, evaluation.passes_needed
    return {
        "Accuracy": f"{share}, {right.correct:,} of {right.total:,} validation images",
        "Passes": f"{made:,} made of {needed:,} needed",
        "Time": ", ".join(f"{PHASES.get(name, name)} {duration(seconds)}" for name, seconds in taken),
        "seconds": {phase: round(seconds, 3) for phase, seconds in evaluation.seconds.items()},
        "passes": {"made": made, "needed": needed},
        **evaluation.details,
        **_scores(evaluation.scores),
    }


def ended(reason: str, failed: bool = False) -> dict[str, str]:
    """Why the trial came to no good end. failed: by itself; all else the reason says. "reason" is what reports read."""
    return {"reason": reason, "Ended": f"failed: {reason}" if failed else reason}


def _scores(scores: Scores | None) -> Mapping[str, float]:
    kept = [(METRICS[name], each.value) for name, each in scores.values.items()] if scores else []
    return {with_unit(metric.label, metric): round(metric.scale * value, 4) for metric, value in kept}
