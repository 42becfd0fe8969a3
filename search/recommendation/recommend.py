"""Recommends a setting for a dataset, from its options to the written report."""

import hashlib
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.devices import available_threads
from search.checks import check
from search.commands import command_line, run_command
from search.options.option import MOST
from search.options.run_options import RunOptions
from search.options.sets import FEATURE_OPTIONS, SCREENING_OPTIONS
from search.prepare import PreparedProbe, left_out_phrases, page_facts, prepare_probe, preset_name, printed_backbone
from spaces import Architecture, Setting, UsageError
from spaces.errors import shown
from spaces.notebook import brief, html_table
from spaces.text import file_name

if TYPE_CHECKING:
    from objectives.results import ComparedSetting, ScreeningResults


@dataclass(frozen=True, repr=False)
class Recommendation:
    """A setting to use for a dataset, and how certain it is.

    results: all results of the screening. architecture: of the network. seconds: the time that the recommendation took.
    report: the page with the evidence. timesteps: how many the space has. command: a shell command that searches the
    space. left_out: phrases about the files that were left out of the dataset. notes:
    sentences about limits that were not kept.
    """

    results: "ScreeningResults"
    architecture: Architecture
    seconds: float
    report: Path
    timesteps: int
    command: str
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def setting(self) -> Setting | None:
        """The setting to use, with a ridge head; None where no setting is better than chance."""
        return self.results.best.setting if self.better_than_chance else None

    @property
    def better_than_chance(self) -> bool:
        """Whether the features tell the classes apart better than always naming the most frequent class."""
        return self.results.better_than_chance

    @property
    def accuracy(self) -> float:
        """Expected accuracy of the setting with a ridge head fitted on all training images, in [0, 1]."""
        return self.results.expected.value

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy, (low, high)."""
        return self.results.expected.low, self.results.expected.high

    @property
    def passes(self) -> int:
        """Forward passes that the screening used, each of one image at one timestep."""
        return self.results.passes

    def __repr__(self) -> str:
        from dashboards.formatting import features_text

        found = features_text(self.setting) if self.setting is not None else "no setting is better than chance"
        low, high = self.interval
        return brief(f"Recommendation({found}; accuracy {self.accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f})")

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        from dashboards.formatting import duration, features_text

        setting = features_text(self.setting) if self.setting is not None else "no setting is better than chance"
        low, high = self.interval
        facts = {
            "Setting": setting,
            "Expected accuracy": f"{100 * self.accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})",
            "Forward passes": f"{self.passes:,}, in {duration(self.seconds)}",
            "Report": self.report,
        }
        return html_table("Recommendation", facts)


def recommend(
    options: RunOptions,
    passes: int | None = None,
    seconds: float | None = None,
    memory: bool = True,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Recommendation:
    """Screen the space with a small part of the forward passes, and write the report into the home folder.

    passes: the most forward passes, each of one image at one timestep; None for a tenth of all. seconds: time limit; no
    round after the first starts unless it would finish in time. memory: learn from the past tasks of the study
    database, and keep this screening for later ones. on_progress: called with (done, total, what), see `OnProgress`.
    Raises SearchError in words.
    """
    from objectives.datasets.splits import check_training_images
    from search.database.connection.url import Address
    from search.database.store import Store
    from search.recommendation.screen import run_screening

    started = time.monotonic()
    check(options)
    _check_limits(passes, seconds)
    if memory:
        Address(options.database).check_writable()
    prepared = prepare_probe(options.absolute())
    spec, space, digest = prepared.spec, prepared.space, prepared.weights_digest
    check_training_images(spec.dataset)
    with Store.open(options.database) if memory else nullcontext() as store:
        results = run_screening(
            spec, space, digest, store, available_threads(), passes, seconds, on_progress=on_progress
        )
    elapsed = time.monotonic() - started
    limits = {"passes": None if passes is None else int(passes), "budget": seconds, "memory": memory}
    asked = {name: value for name, value in limits.items() if value is not None and value is not True}
    repeat = command_line("recommend", options, SCREENING_OPTIONS, asked)
    report = _write_report(results, prepared, elapsed, options, repeat)
    notes = () if seconds is None or elapsed <= seconds else (_over_budget(elapsed, seconds),)
    left_out, timesteps = left_out_phrases(spec.dataset), len(space.timesteps)
    command = run_command(options, SCREENING_OPTIONS)
    return Recommendation(results, space.architecture, elapsed, report, timesteps, command, left_out, notes)


def _check_limits(passes: object, seconds: object) -> None:
    if passes is not None and not (isinstance(passes, (int, float)) and passes % 1 == 0 and 1 <= passes <= MOST):
        raise UsageError(f"`passes`: expected a whole number from 1 to {MOST:,}, got {shown(passes)}")
    if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds <= MOST):
        raise UsageError(f"`budget`: expected a number of seconds above 0 and at most {MOST:,}, got {shown(seconds)}")


def _over_budget(elapsed: float, seconds: float) -> str:
    """Say that a screening took longer than it should, and why."""
    return (
        f"this took {elapsed:,.0f} s, more than the time limit of {seconds:,.0f} s: the images are always read and the "
        "first timesteps always screened; fewer images or timesteps take less"
    )


def _write_report(
    results: "ScreeningResults", prepared: PreparedProbe, seconds: float, options: RunOptions, repeat: str
) -> Path:
    """Write the page and return its path. repeat: the command that screens again."""
    from dashboards.screening.report import ScreeningContext, write_recommendation
    from objectives.datasets.catalog import called

    spec, space = prepared.spec, prepared.space
    context = ScreeningContext(
        dataset=spec.dataset.name,
        backbone=options.backbone,
        architecture=space.architecture,
        classes=spec.dataset.classes,
        timesteps=len(space.timesteps),
        space=space,
        seconds=seconds,
        command=run_command(options, SCREENING_OPTIONS),
        facts=page_facts(spec.dataset, options, repeat),
        options=feature_keywords(options),
        called=called(options.dataset, options.absolute().data_root),
    )
    return write_recommendation(results, context, options.home_folder.reports / _report_name(prepared, options))


def _report_name(prepared: PreparedProbe, options: RunOptions) -> str:
    """Return the name of the report's file. Other images, another network, space or seed have another file."""
    from objectives.datasets.catalog import called

    parts = [prepared.spec.dataset.fingerprint, prepared.weights_digest, prepared.space.digest(), str(options.seed)]
    digest = hashlib.sha256("".join(parts).encode()).hexdigest()
    words = [called(options.dataset, options.absolute().data_root), printed_backbone(options), preset_name(options)]
    return f"{file_name('-'.join([*words, digest[:8]]))}-recommendation.html"


def feature_keywords(options: RunOptions) -> dict[str, Any]:
    """Return the keywords of `search.features` that read the features of these options: those that are no default."""
    defaults, absolute = RunOptions(options.dataset), options.absolute()
    given = {name: getattr(absolute, name) for name in FEATURE_OPTIONS if name != "dataset"}
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in given.items()
        if value != getattr(defaults, name)
    }


def screening_record(results: "ScreeningResults") -> dict[str, Any]:
    """Return the results of a screening as JSON-ready values. setting: None if no setting is better than chance."""
    return {
        "setting": _without_head(results.best.setting) if results.better_than_chance else None,
        "better_than_chance": results.better_than_chance,
        "chance": results.chance,
        "accuracy": results.expected.value,
        "interval": [results.expected.low, results.expected.high],
        "measured_accuracy": results.best.accuracy.value,
        "images": results.best.accuracy.total,
        "training_images": results.images,
        "passes": results.passes,
        "passes_that_measured": results.measuring,
        "learnt": [asdict(learnt) for learnt in results.past_tasks],
        "tied": [_without_head(other.screened.setting) for other in results.tied] if results.better_than_chance else [],
        **{
            name: [_comparison_record(other) for other in others]
            for name, others in (
                ("compared", results.compared),
                ("cheaper", results.cheaper),
                ("more_taps", results.more_taps),
                ("other_timesteps", results.other_timesteps),
            )
        },
    }


def _comparison_record(other: "ComparedSetting") -> dict[str, Any]:
    """Return a compared setting as JSON-ready values. loses: accuracy below the recommended setting's."""
    return {
        "setting": _without_head(other.screened.setting),
        "cost": other.cost,
        "loses": other.accuracy_loss.value,
        "interval": [other.accuracy_loss.low, other.accuracy_loss.high],
        "tied": other.tied,
        "images": len(other.screened.correct),
    }


def _without_head(setting: Setting) -> dict[str, Any]:
    """Return the values of a setting that a screening chooses: all but the head."""
    return {name: value for name, value in setting.to_dict().items() if name != "head"}
