"""Runs the trials that a comparison across datasets lacks: the best setting of one dataset, tried on another.

Each trial is stored in the study of the dataset on which it was tried.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dashboards.cross_dataset.tables import MEASURABLE, RegretMatrix, Task
from objectives.devices import available_threads
from objectives.home import Home
from objectives.results import ACCURACY, Epoch, Evaluation, Extracted, Report
from search.database.records import RunRecord
from search.database.store import Store
from search.prepare import check_same, library_versions, moved_options, prepare_probe
from search.reports.study_report import publish
from search.reports.thumbnails import keep_pictures
from search.samplers.catalog import sampler_named
from search.scheduling.trials.driver import StudyDriver
from search.scheduling.worker import is_machine_fault
from spaces import SearchError, Setting

if TYPE_CHECKING:
    from objectives.probing.spec import ProbeSpec


@dataclass(frozen=True)
class Listener:
    """Receives the progress of the missing trials.

    message: called with a line for people. progress: called with (done, total) forward passes of a trial.
    """

    message: Callable[[str], None]
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class MissingTrials:
    """Settings without a complete trial in the study of a dataset. Settings that share passes are neighbours."""

    task: Task
    settings: tuple[Setting, ...]


def missing_trials(matrices: Iterable[RegretMatrix]) -> list[MissingTrials]:
    """Return the missing cells that a trial can measure, dataset by dataset."""
    missing = []
    for table in matrices:
        for task in table.tasks:
            cells = (table.cells[label, task.label] for label in table.labels)
            settings = dict.fromkeys(cell.setting for cell in cells if cell.missing in MEASURABLE)
            if settings:
                by_passes = sorted(settings, key=lambda setting: str([*setting.passes]))
                missing.append(MissingTrials(task, tuple(by_passes)))
    return missing


def make_missing_trials(
    store: Store, missing: Sequence[MissingTrials], home: Home, command: str, listener: Listener
) -> int:
    """Run the trials one after the other in this process, and return how many could not be run.

    An error that stops the trials of one dataset, such as missing images, does not stop those of another. Raises
    KeyboardInterrupt after Ctrl-C. Finished trials are stored, and the same command continues.
    """
    failed = 0
    if not missing:
        listener.message("no trial is missing that could be run")
    for trials in missing:
        left = len(trials.settings)
        try:
            for reason in _run_trials(store, trials, home, command, listener):
                left -= reason is None
        except SearchError as error:
            listener.message(f"not measured on {trials.task.label}: {error}")
        failed += left
    return failed


def _run_trials(
    store: Store, trials: MissingTrials, home: Home, command: str, listener: Listener
) -> Iterator[str | None]:
    """Yield None for each setting that has a complete trial now, and the reason for each that has none."""
    from objectives.probing.probe import Probe

    study, label = trials.task.study, trials.task.label
    saved = store.saved_options(study.name)
    options = replace(moved_options(study, saved, home), halving=False)  # halving could stop the trials
    prepared = prepare_probe(options, saved.space)
    check_same(study, prepared)
    proposer = sampler_named("random", options.seed)  # never used: the settings are given
    with store.run(study.name, RunRecord(1, command, library_versions())) as run_id:
        driver = StudyDriver(store, study.name, prepared.space, proposer, seed=options.seed, budget=0, run_id=run_id)
        try:
            with _in_use(prepared.spec):
                probe = Probe.build(prepared.spec, available_threads())
                for number, setting in enumerate(trials.settings, 1):
                    listener.message(f"{label}, {number} of {len(trials.settings)}: {setting}")
                    yield make_trial(driver, probe, setting, listener)
            keep_pictures(store, study.name, prepared.spec)
            publish(store.read_study(study.name), store, home.reports)
        finally:
            driver.abandon()


def _in_use(spec: "ProbeSpec") -> AbstractContextManager[object]:
    from objectives.features.cache.quota import CONTENTS

    usage = spec.usage()
    return usage.using(spec.views, [usage.folder / kind for kind in CONTENTS])


def make_trial(
    driver: StudyDriver, probe: Callable[[Setting], Iterator[Report]], setting: Setting, listener: Listener
) -> str | None:
    """Run a trial to its end and return None, or return why there is no complete trial.

    Raises SearchError if the cause would fail all other trials too. The driver then still holds the trial.
    """
    request = driver.trial_for(setting)
    if request is None:
        reason = "its trial failed before, was interrupted too often, or is running now"
        listener.message(reason)
        return reason
    evaluation: Evaluation | None = None
    try:
        for report in probe(setting):
            if isinstance(report, Extracted):
                listener.progress(report.done, report.total)
            elif isinstance(report, Epoch):
                driver.report_epoch(
                    request.number, report.number, report.score
                )  # for its curve: nothing stops the trial
            elif isinstance(report, Evaluation):
                evaluation = report
        if evaluation is None:
            raise RuntimeError("the probe ended without an evaluation")
    except SearchError:
        raise
    except Exception as error:  # any error is the result of the trial
        logging.getLogger(__name__).warning("trial failed:\n%s", traceback.format_exc())
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        driver.fail(request.number, reason, is_machine_fault(error))
        listener.message(f"failed: {reason}")
        return f"failed: {reason}"
    driver.complete(request.number, evaluation)
    listener.message(f"validation {ACCURACY.labelled_text(evaluation.validation.value)}")
    return None
