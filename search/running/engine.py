"""One run from its options to its report, in the order in which it happens. It knows no terminal: it sends events."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from objectives.results import StudyResults
from search.checks import check
from search.commands import command_line, run_command
from search.events import Event, Notice, OnEvent, RunFinished, RunPrepared, ScreeningPlanned, SearchEnded, SearchStarted
from search.options.run_options import RunOptions
from search.options.sets import TRY_OPTIONS
from search.prepare import (
    PreparedRun,
    left_out_phrases,
    library_versions,
    plan_of,
    prepare,
    resources_of,
    with_one_split,
)
from search.running.costs import CostCounter
from search.running.finals import NoFinals, StudyFinals
from search.running.limits import RunLimits
from search.running.run_folder import run_folder
from search.running.stop_rules import SHARE_OF_SCREENING
from search.workload import workload
from spaces import DatasetError, Setting, StorageError

if TYPE_CHECKING:
    from search.database.records import StudySummary
    from search.database.store import Store
    from search.recommendation.screening_in_parts import ScreeningInParts
    from search.running.baselines import StudyBaselines
    from search.samplers.proposers import Proposer
    from search.scheduling.on_ray.session import RaySession
    from search.scheduling.stages import Finals
    from search.scheduling.trials.driver import StudyDriver

VALIDATION_BY_RULE = "validation_by_rule"
"""The name in the kept options of whether a rule chose the validation. Runs from before the rule lack it."""


def run(
    options: RunOptions,
    on_event: OnEvent,
    on_ray_lost: Callable[[str], None] = lambda reason: None,
    began: float | None = None,
) -> StudyResults:
    """Search until the study has `options.trials` finished trials, choose and test the answer, and write the report.

    Everything is checked before anything is written. Raises SearchError in words, and KeyboardInterrupt after Ctrl-C or
    SIGTERM; then the same options continue where this run stopped. on_ray_lost: called in another thread, with words,
    if Ray dies meanwhile. began: when the run began, of the monotonic clock; None for now.
    """
    from search.database.connection.url import Address
    from search.scheduling.on_ray.session import RaySession

    began = time.monotonic() if began is None else began
    check(options)
    options.check_finals()
    Address(options.database).check_writable()
    with (
        run_folder() as folder,
        RaySession(resources_of(options), folder, on_ray_lost, partial(resources_of, options)) as ray,
    ):
        finished = False

        def on_found() -> None:
            nonlocal finished
            finished = _is_finished(options)
            if not finished:
                ray.start()  # it starts while images decode

        prepared = prepare(options, on_found)
        if options.ray_address is not None and not finished:
            # Before a study is written: a cluster may have no room.
            prepared = replace(prepared, resources=ray.wait())
        return _run(prepared, ray, CostCounter(on_event, began), began)


def _try_command(options: RunOptions, settings: "list[Setting]") -> str:
    """Return the `search try` command of some settings."""
    from search.running.chosen_settings import setting_text

    others: dict[str, Any] = {
        "setting": tuple(map(setting_text, settings)),
        **({"finals": True} if options.finals else {}),
    }
    return command_line("try", options, TRY_OPTIONS, others)


def _is_finished(options: RunOptions) -> bool:
    """Return whether the database has a study of the dataset with all trials; then Ray will probably not be needed."""
    from search.database.connection.url import Address
    from search.database.store import Store

    file = Address(options.database).file
    if options.settings or file is None or not file.exists():  # a look must not make a database
        return False
    with Store.open(options.database) as store:
        return any(
            study.dataset == options.dataset
            and (study.finished >= options.trials or _has_reached(study, options.target))
            for study in store.studies()
        )


def _has_reached(study: "StudySummary", target: float | None) -> bool:
    return target is not None and study.best is not None and study.best >= study.metric.score(target)


def _run(prepared: PreparedRun, ray: "RaySession", on_event: CostCounter, began: float) -> StudyResults:
    from objectives.devices import one_thread_of_blas
    from search.database.records import RunRecord
    from search.database.store import Store
    from search.reports.study_report import publish
    from search.running.chosen_settings import chosen_setting

    with Store.open(prepared.options.database) as store:
        prepared = _as_it_began(prepared, store)
        options = prepared.options
        chosen = [chosen_setting(setting, prepared.probe.space) for setting in options.settings]
        study = store.ensure_study(prepared.record)
        on_event(_prepared_event(prepared, study, _kept_finalists(options, store.read_study(study))))
        asked = replace(options, folds=None, validation_fraction=None) if prepared.by_rule else options
        kept: dict[str, Any] | None = {**options.to_record(), VALIDATION_BY_RULE: prepared.by_rule}
        workers = prepared.resources.workers
        if chosen and store.saved_options(study).options is not None:
            kept = None  # those of the last search stay
        command = _try_command(asked, chosen) if chosen else run_command(asked)
        record = RunRecord(workers, command, library_versions(), options=kept, began=began)
        if chosen:
            store.enqueue(study, chosen)
        if chosen and store.live_runs(study):
            results = store.read_study(study)
            reason = "a run works on the study; it tries the settings before its others"
            on_event(RunFinished(results, reason, publish(results, store, options.home_folder.reports)))
            return results
        if chosen:
            results = store.read_study(study)
            goal = replace(options, trials=results.finished + results.waiting)
            prepared = replace(prepared, options=goal)
        with (
            _leaving_no_empty_study(store, study),
            store.run(study, record, say=lambda text: on_event(Notice(text))) as run_id,
            _keeping_costs(store, run_id, on_event),
            one_thread_of_blas(),  # the cores are the workers'
        ):
            driver = _driver(prepared, store, study, run_id)
            driver.reconcile()
            reason = _search(prepared, store, study, driver, ray, on_event, began)
            store.record_reason(run_id, reason)
        results = store.read_study(study)
        report = publish(results, store, options.home_folder.reports)
        store.check_file()
    on_event(RunFinished(results, reason, report))
    return results


def _kept_finalists(options: RunOptions, study: StudyResults) -> tuple[str, ...]:
    """Say that a study has more candidates or tested settings than were asked for now, if so."""
    settings = study.finals if options.by_cost else study.reevaluations
    known = len({evaluation.setting for evaluation in settings})
    if options.finalists is None or known <= options.finalists:
        return ()
    done = "tested" if options.by_cost else "compared"
    return (f"the study has {done} {known} settings already and keeps them; {options.finalists} are asked for now",)


def _prepared_event(prepared: PreparedRun, study: str, notes: tuple[str, ...]) -> RunPrepared:
    dataset = prepared.probe.spec.dataset
    return RunPrepared(
        study=study,
        dataset=prepared.record.called or prepared.options.dataset,
        images=len(dataset),
        classes=len(dataset.classes),
        counts=prepared.counts,
        folds=prepared.options.folds,
        left_out=left_out_phrases(dataset),
        settings=len(prepared.probe.space),
        workers=prepared.resources.workers,
        notes=notes,
    )


def _as_it_began(prepared: PreparedRun, store: "Store") -> PreparedRun:
    """Return the run of the study that the same command began before a rule chose the validation, if there is one."""
    if not prepared.by_rule or prepared.options.name is not None:
        return prepared
    try:
        former = with_one_split(prepared)
    except DatasetError:  # then no study could begin so
        return prepared
    name = store.name_of(former.record)
    if name not in store.names():
        return prepared
    saved = store.saved_options(name).options or {}
    return former if saved.get(VALIDATION_BY_RULE, True) else prepared


@contextmanager
def _leaving_no_empty_study(store: "Store", study: str) -> Iterator[None]:
    """Delete the study after an error if nothing was found out in it, so that a failed start leaves nothing behind."""
    try:
        yield
    except Exception:
        with suppress(StorageError):  # the first error says more
            store.discard_unused(study)
        raise


@contextmanager
def _keeping_costs(store: "Store", run_id: int, counter: CostCounter) -> Iterator[None]:
    """Save what the run has cost at its end, whether all went well or not."""
    try:
        yield
    finally:
        with suppress(StorageError):  # an error that ended the run says more
            store.record_costs(run_id, counter.costs)


def _driver(prepared: PreparedRun, store: "Store", study: str, run_id: int) -> "StudyDriver":
    from search.samplers.proposers import LateProposer
    from search.scheduling.trials.driver import StudyDriver

    options, space = prepared.options, prepared.probe.space
    proposer = LateProposer(lambda: _proposer(prepared, store, study))
    return StudyDriver(
        store,
        study,
        space,
        proposer,
        seed=options.seed,
        budget=0 if options.settings else options.trials,
        run_id=run_id,
        workers=prepared.resources.workers,
    )


def _proposer(prepared: PreparedRun, store: "Store", study: str) -> "Proposer":
    """Return the proposer that the options ask for. It knows the study's screening and what is in the cache by now."""
    from search.recommendation.warm_start import prior_knowledge
    from search.samplers.catalog import default_sampler, sampler_named

    options, probe = prepared.options, prepared.probe
    plan = plan_of(probe, prepared.resources, options)
    prior = prior_knowledge(store, study, probe.spec, probe.space, probe.weights_digest, plan, options.warm_start)
    name = options.sampler or default_sampler(probe.space, options.by_cost)
    return sampler_named(name, options.seed, prior)


def _screening(
    prepared: PreparedRun, store: "Store", study: str, on_event: OnEvent, seconds: float | None
) -> "ScreeningInParts | None":
    """Return the screening with which a new study begins; None where it needs none.

    seconds: until the time limit of the run; None without one.
    """
    from search.database.optuna_storage.own_trials import FIXED
    from search.recommendation.screening_in_parts import ScreeningInParts
    from search.recommendation.warm_start import is_screened, is_worthwhile

    options, probe = prepared.options, prepared.probe
    wanted = is_worthwhile(probe.space, options.trials) and options.warm_start
    proposed = any(FIXED not in trial.system_attrs for trial in store.trials(study).own)  # not by a person
    if not wanted or options.settings or proposed or is_screened(store, probe.spec, probe.weights_digest):
        return None
    return ScreeningInParts(
        store,
        probe.spec,
        probe.space,
        probe.weights_digest,
        prepared.resources.workers,
        lambda settings: on_event(ScreeningPlanned(settings)),
        None if seconds is None else SHARE_OF_SCREENING / 2 * seconds,
    )


def _search(
    prepared: PreparedRun,
    store: "Store",
    study: str,
    driver: "StudyDriver",
    ray: "RaySession",
    on_event: OnEvent,
    began: float,
) -> str:
    """Run what is missing of the screening, trials, finals and baselines; return why no further trial is tried."""
    from objectives.probing.builder import ProbeBuilder
    from search.reports.dashboard_sync import refreshing
    from search.reports.thumbnails import keep_pictures
    from search.scheduling.on_ray.tune import run_study

    options, spec = prepared.options, prepared.probe.spec
    before = store.read_study(study)
    limits = RunLimits(options, began, before, lambda: driver.expected_improvement)
    finals, baselines = last_stages(prepared, store, study, limits)
    why = why_no_trial(options, before, limits)
    if why is not None and are_complete(finals, baselines):
        if baselines:
            baselines.take_over()
        return why

    def notice(event: Event) -> None:
        limits(event)
        on_event(event)

    screening = None if why else _screening(prepared, store, study, notice, limits.seconds_left)
    report = options.home_folder.reports / f"{study}.html"
    work = workload(prepared, before, *(screening.least if screening else (0, 0)))
    if screening and not limits.has_time_for_screening(work.screening_seconds):
        screening, work = None, workload(prepared, before, 0, 0)
    started = SearchStarted(before, options.trials, prepared.plan.words(), work, limits.seconds_left)
    with (
        spec.usage().using(spec.views, prepared.plan.folders) as use,
        refreshing(store, study, driver.run_id, report),
        _announced(started, notice),
        limits.watching(store, study),
    ):
        resources = ray.wait()
        builder = ProbeBuilder(spec, {spec.seed: spec.splits(spec.seed)})
        reason = run_study(driver, builder, finals, resources, ray.folder, notice, screening, baselines, use, limits)
    keep_pictures(store, study, spec)
    return "the settings are tried" if options.settings else reason


def last_stages(
    prepared: PreparedRun, store: "Store", study: str, limits: RunLimits
) -> "tuple[Finals, StudyBaselines | None]":
    """Return the finals and the baselines of a run; None for the baselines of a run that has no finals."""
    from search.running.baselines import StudyBaselines

    if not prepared.options.finals:
        return NoFinals(), None
    finals = StudyFinals(
        store, study, prepared.options, lambda: _screened(prepared, store), has_time=limits.has_time_for_round
    )
    return finals, StudyBaselines(store, study, prepared.record, prepared.probe.spec.fits_folds_together)


def why_no_trial(options: RunOptions, before: StudyResults, limits: RunLimits) -> str | None:
    """Return why a run tries no setting; None where it tries some. before: the study when the run begins."""
    why = limits.why_no_trial()
    if options.settings:
        return None if before.waiting else "the settings are tried already"
    if why is None and before.finished >= options.trials and not before.waiting:
        return f"the study has {before.finished} finished trials already"
    return why


def are_complete(finals: "Finals", baselines: "StudyBaselines | None") -> bool:
    """Return whether no final and no baseline is missing. Nothing is written."""
    return not finals.next_round() and not (baselines and baselines.are_missing())


@contextmanager
def _announced(started: SearchStarted, on_event: OnEvent) -> Iterator[None]:
    """Send that the search starts, and that it ends, whether all goes well or not."""
    on_event(started)
    try:
        yield
    finally:
        on_event(SearchEnded())


def _screened(prepared: PreparedRun, store: "Store") -> Setting | None:
    """Return the setting that a screening of these images recommends; None if there is no screening."""
    from search.database.screenings import load_screening

    spec = prepared.probe.spec
    screening = load_screening(store, spec.dataset.fingerprint, prepared.probe.weights_digest, spec.seed)
    return screening.best[0] if screening and screening.best else None
