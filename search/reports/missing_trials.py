"""One dataset's best setting tried on another: trials that were asked for, kept in the study that they belong to."""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from dashboards.cross_dataset.tables import MEASURABLE, Matrix, Task
from objectives.home import Home
from objectives.results import ACCURACY, Epoch, Evaluation, Extracted, Report
from search.cli.options import printable
from search.database.heartbeat import heartbeat
from search.database.records import RunRecord
from search.database.store import Store
from search.display.live_table import followed
from search.export import check_same, options_of
from search.reports.thumbnails import keep_pictures
from search.run import library_versions, publish, spec_of
from search.samplers.catalog import sampler_named
from search.scheduling.driver import StudyDriver
from search.scheduling.resources import available_cores
from spaces import SearchError, Setting

if TYPE_CHECKING:
    from objectives.probe import ProbeSpec
    from search.database.records import RunState


@dataclass(frozen=True)
class Lack:
    """Settings of which a dataset's study has no complete trial; those that share passes follow each other."""

    task: Task
    settings: tuple[Setting, ...]


def lacks_of(matrices: Iterable[Matrix]) -> list[Lack]:
    """Where a cell is missing that can be measured."""
    found = []
    for table in matrices:
        for task in table.tasks:
            cells = (table.cells[of, task.label] for of in table.labels)
            settings = dict.fromkeys(cell.setting for cell in cells if cell.missing in MEASURABLE)
            if settings:
                found.append(Lack(task, tuple(sorted(settings, key=lambda each: str([*each.passes])))))
    return found


def measure_all(store: Store, lacks: Sequence[Lack], home: Home, command: str) -> int:
    """Make the trials, one after the other in this process; returns how many could not be made, each told on stderr.

    What stops one dataset's trials, such as images that are gone, does not stop another's. Raises KeyboardInterrupt
    after Ctrl-C; what was measured is kept, and the same command goes on.
    """
    failed = 0
    if not lacks:
        _say("no trial is missing that can be made")
    for lack in lacks:
        label, left = printable(lack.task.label), len(lack.settings)
        try:
            for reason in _measured(store, lack, home, command):
                left -= reason is None
        except SearchError as error:
            _say(f"not measured on {label}: {error}")
        failed += left
    return failed


def _measured(store: Store, lack: Lack, home: Home, command: str) -> Iterator[str | None]:
    """For each setting None, or why there is no complete trial of it now."""
    study, label = lack.task.study, printable(lack.task.label)
    recipe = store.saved_options(study.name)
    # A ladder stops trials; these were asked for.
    options = replace(options_of(study, recipe, home, None, None), halving=False)
    spec, space, weights_digest = spec_of(options, recipe.space)
    check_same(study, spec, weights_digest)
    run_id = store.begin_run(study.name, RunRecord(1, command, library_versions()))
    proposer = sampler_named("random", options.seed)  # of which nothing is asked
    driver = StudyDriver(store, study.name, space, proposer, seed=options.seed, budget=0, run_id=run_id)
    state: RunState = "failed"
    try:
        with heartbeat(lambda: store.record_heartbeat(run_id)), _in_use(spec):
            probe = spec.build(available_cores())
            for number, setting in enumerate(lack.settings, 1):
                _say(f"{label}, {number} of {len(lack.settings)}: {setting}")
                yield measured_trial(driver, probe, setting)
        keep_pictures(store, study.name, spec)
        publish(store.read_study(study.name), store, home)
        state = "finished"
    except KeyboardInterrupt:
        state = "interrupted"
        _say("interrupted: what was measured is kept; type the same command again to go on")
        raise
    finally:
        driver.abandon()
        store.end_run(run_id, state)


def _in_use(spec: "ProbeSpec") -> Any:
    from objectives.features.quota import KINDS

    usage = spec.usage()
    return usage.using(spec.views, [usage.folder / kind for kind in KINDS])


def measured_trial(driver: StudyDriver, probe: Callable[[Setting], Iterator[Report]], setting: Setting) -> str | None:
    """Have it complete and return None, or say why it is not and return that.

    Raises the SearchError of a cause that would fail all others too; then the trial is still the driver's.
    """
    request = driver.ask_for(setting)
    if request is None:
        return _said("its trial failed before, was lost too often, or runs now")
    place, ended = (0, 1), list[Evaluation]()

    def reports() -> Iterator[object]:
        nonlocal place
        for report in probe(setting):
            if isinstance(report, Extracted):
                place = report.done, report.total
                yield report  # of a fit there is nothing to show
            elif isinstance(report, Epoch):
                driver.report(request.number, report.number, report.score)  # for its curve: nothing stops it
            elif isinstance(report, Evaluation):
                ended.append(report)

    try:
        followed(reports(), "passes", lambda: place)
    except SearchError:
        raise
    except Exception as error:  # whatever went wrong is the trial's result
        logging.getLogger(__name__).warning("trial failed:\n%s", traceback.format_exc())
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        driver.fail(request.number, reason)
        return _said(f"failed: {reason}")
    driver.complete(request.number, ended[-1])
    _say(f"validation {ACCURACY.labelled_text(ended[-1].validation.value)}")
    return None


def _said(reason: str) -> str:
    _say(reason)
    return reason


def _say(line: str) -> None:
    typer.echo(line, err=True)
