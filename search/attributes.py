"""What a trial tells in its attributes to whoever opens it in Optuna Dashboard."""

from collections.abc import Mapping
from typing import Any

from objectives.results import ACCURACY, METRICS, Evaluation, Scores
from spaces import Architecture, Setting

FACTS = ("setting", "reads", "noise", "features", "pass GMAC")
"""Names of what is known before the trial runs."""


def facts_of(setting: Setting, architecture: Architecture) -> dict[str, Any]:
    """What the setting means on this network: known when the trial is asked for, so that failed ones have it too."""
    blocks = [architecture.block(tap.block) for tap in setting.taps]
    count = len(architecture.blocks)
    reads = (f"block {b.number} of {count} ({b.part}), {b.channels} channels of {b.side} × {b.side}" for b in blocks)
    noise = (
        f"t {timestep}, sigma {architecture.sigma(timestep):.3g}" for timestep in setting.passes if timestep is not None
    )
    numbers = sum(block.channels for block in blocks) * setting.pool**2
    told = (
        str(setting),
        "; ".join(reads),
        "; ".join(noise) or "none: clean images",
        f"{numbers:,} an image, pooled to {setting.pool} × {setting.pool}",
        f"{architecture.pass_gmacs(setting):.3g}",
    )
    return dict(zip(FACTS, told, strict=True))


def results_of(evaluation: Evaluation | None) -> dict[str, Any]:
    """What it came to and what it took. "seconds" and "passes" are what `search.costs` learns from."""
    if evaluation is None:
        return {}
    right, (low, high) = evaluation.validation, evaluation.validation.interval()
    share = f"{ACCURACY.text(right.value)} ({ACCURACY.number(low)} to {ACCURACY.number(high)})"
    return {
        "validation": f"{share}, {right.correct:,} of {right.total:,} images",
        "seconds": {phase: round(seconds, 3) for phase, seconds in evaluation.seconds.items()},
        "passes": {"made": evaluation.passes_made, "needed": evaluation.passes_needed},
        **evaluation.details,
        **_scores(evaluation.scores),
    }


def _scores(scores: Scores | None) -> Mapping[str, str]:
    kept = scores.values if scores else {}
    return {METRICS[name].words: METRICS[name].text(each.value) for name, each in kept.items()}
