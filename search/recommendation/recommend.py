"""Recommends a setting for a dataset, from its options to the written report."""

import shlex
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.options import RunOptions
from search.prepare import PreparedProbe, check, prepare_probe
from search.scheduling.resources import available_cores
from spaces import Architecture, Setting

if TYPE_CHECKING:
    from objectives.results import Recommendation


@dataclass(frozen=True)
class Recommended:
    """A recommendation and its report. seconds: what it took, from the options on."""

    recommendation: "Recommendation"
    architecture: Architecture
    seconds: float
    report: Path


def recommend(
    options: RunOptions,
    passes: int | None = None,
    seconds: float | None = None,
    memory: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recommended:
    """Screen the space with a few forward passes, and write the report into the home folder.

    passes: forward passes at most, one image at one timestep each; None for a tenth of all. seconds: time limit; no
    round starts unless it would finish in time. memory: learn from the past tasks of the study database, and keep this
    screening for later ones. on_progress: called with (done, total) forward passes. Raises SearchError in words.
    """
    from search.database.store import Store
    from search.recommendation.screen import run_screening

    started = time.monotonic()
    check(options)
    prepared = prepare_probe(options.absolute())
    spec, space, digest = prepared.spec, prepared.space, prepared.weights_digest
    with Store.open(options.storage_url) if memory else nullcontext() as store:
        recommendation = run_screening(
            spec, space, digest, store, available_cores(), passes, seconds, on_progress=on_progress
        )
    took = time.monotonic() - started
    report = _write_report(recommendation, prepared, took, options)
    return Recommended(recommendation, space.architecture, took, report)


def _write_report(
    recommendation: "Recommendation", prepared: PreparedProbe, seconds: float, options: RunOptions
) -> Path:
    from dashboards.screening.report import ScreeningContext, write_recommendation

    spec, space = prepared.spec, prepared.space
    context = ScreeningContext(
        dataset=spec.dataset.name,
        backbone=options.backbone,
        architecture=space.architecture,
        classes=spec.dataset.classes,
        timesteps=len(space.timesteps),
        seconds=seconds,
        command=run_command(options),
        facts={
            "Dataset fingerprint": spec.dataset.fingerprint,
            "Seed": str(options.seed),
            "Precision": options.precision,
            "Command": options.command,
        },
    )
    name = f"{options.dataset}-{spec.dataset.fingerprint[:8]}-recommendation.html"
    return write_recommendation(recommendation, context, options.home_folder.reports / name)


def run_command(options: RunOptions) -> str:
    """Return the command that searches the same dataset with the same backbone."""
    words = ["search", "run", "--dataset", options.dataset]
    words += ["--data-root", str(options.data_root)] if options.data_root is not None else []
    words += ["--backbone", options.backbone] if options.backbone != "bundled" else []
    return shlex.join(words)


def recommendation_record(recommendation: "Recommendation") -> dict[str, Any]:
    """Return the recommendation as JSON-ready values. setting: None where no setting is better than chance."""
    return {
        "setting": _without_head(recommendation.best.setting) if recommendation.better_than_chance else None,
        "better_than_chance": recommendation.better_than_chance,
        "chance": recommendation.chance,
        "accuracy": recommendation.best.accuracy.value,
        "interval": list(recommendation.interval),
        "images": recommendation.best.accuracy.total,
        "passes": recommendation.passes,
        "learnt": [asdict(learnt) for learnt in recommendation.past_tasks],
        "tied": [_without_head(score.setting) for score in recommendation.tied],
        "cheaper": [
            {
                "setting": _without_head(other.screened.setting),
                "cost": other.cost,
                "loses": other.accuracy_loss.value,
                "interval": [other.accuracy_loss.low, other.accuracy_loss.high],
            }
            for other in recommendation.cheaper
        ],
    }


def _without_head(setting: Setting) -> dict[str, Any]:
    """Return the values of a setting that a screening chooses: all but the head."""
    return {name: value for name, value in setting.to_dict().items() if name != "head"}
