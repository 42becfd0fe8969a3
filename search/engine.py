"""One run from its options to its report, in the order in which it happens. It knows no terminal: it sends events."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from objectives.results import Final, StudyResults
from search.events import OnEvent, RunFinished, RunPrepared, ScreeningProgressed, SearchEnded, SearchStarted
from search.options import RunOptions
from search.prepare import PreparedRun, check, library_versions, plan_of, prepare, resources_of
from spaces import Setting, StorageError

if TYPE_CHECKING:
    from search.database.store import Store
    from search.recommendation.screening_in_parts import ScreeningInParts
    from search.samplers.proposers import Proposer
    from search.scheduling.driver import StudyDriver
    from search.scheduling.events import OnTrialEvent, TrialEvent
    from search.scheduling.ray_session import RaySession


def run(options: RunOptions, on_event: OnEvent) -> StudyResults:
    """Search until the study has `options.trials` finished trials, test the finalists, and write the report.

    Everything is checked before anything is written. Raises SearchError in words, and KeyboardInterrupt after Ctrl-C or
    SIGTERM; then the same options continue where this run stopped.
    """
    from search.scheduling.ray_session import RaySession

    check(options)
    options.check_finals()
    with RaySession(resources_of(options)) as ray:
        finished = _is_finished(options)
        prepared = prepare(options, on_found=lambda: None if finished else ray.start())  # it starts while images decode
        if options.ray_address is not None and not finished:
            ray.wait()  # before a study is written: a cluster may have no room
        return _run(prepared, ray, on_event)


def _is_finished(options: RunOptions) -> bool:
    """Return whether the database has a study of the dataset with all trials; then Ray will probably not be needed."""
    from search.database.store import Store
    from search.database.url import Address

    file = Address(options.database).file
    if file is None or not file.exists():  # a look must not make a database
        return False
    with Store.open(options.database) as store:
        return any(
            study.dataset == options.dataset and study.complete + study.pruned >= options.trials
            for study in store.studies()
        )


def _run(prepared: PreparedRun, ray: "RaySession", on_event: OnEvent) -> StudyResults:
    from objectives.devices import one_thread_of_blas
    from search.database.records import RunRecord
    from search.database.store import Store
    from search.reports.study_report import publish

    options = prepared.options
    with Store.open(options.database) as store:
        study = store.ensure_study(prepared.record)
        on_event(RunPrepared(prepared, study))
        command = store.address.masked(options.command)
        record = RunRecord(prepared.resources.workers, command, library_versions(), options=options.to_record())
        with (
            _leaving_no_empty_study(store, study),
            store.run(study, record) as run_id,
            one_thread_of_blas(),  # the cores are the workers'
        ):
            driver = _driver(prepared, store, study, run_id)
            driver.reconcile()
            reason = _search(prepared, store, study, driver, ray, on_event)
        results = store.read_study(study)
        report = publish(results, store, options.home_folder.reports)
    on_event(RunFinished(results, reason, report))
    return results


@contextmanager
def _leaving_no_empty_study(store: "Store", study: str) -> Iterator[None]:
    """Delete the study after an error if nothing was found out in it, so that a failed start leaves nothing behind."""
    try:
        yield
    except Exception:
        with suppress(StorageError):  # the first error says more
            store.discard_unused(study)
        raise


def _driver(prepared: PreparedRun, store: "Store", study: str, run_id: int) -> "StudyDriver":
    from search.samplers.proposers import LateProposer
    from search.scheduling.driver import StudyDriver

    options, space = prepared.options, prepared.probe.space
    proposer = LateProposer(lambda: _proposer(prepared, store, study))
    return StudyDriver(store, study, space, proposer, seed=options.seed, budget=options.trials, run_id=run_id)


def _proposer(prepared: PreparedRun, store: "Store", study: str) -> "Proposer":
    """Return the proposer that the options ask for. It knows the study's screening and what is in the cache by now."""
    from search.recommendation.warm_start import prior_knowledge
    from search.samplers.catalog import default_sampler, sampler_named

    options, probe = prepared.options, prepared.probe
    plan = plan_of(probe, prepared.resources, options)
    prior = prior_knowledge(store, study, probe.spec, probe.space, probe.weights_digest, plan, options.warm_start)
    name = options.sampler or default_sampler(probe.space, options.by_cost)
    return sampler_named(name, options.seed, prior)


def _screening(prepared: PreparedRun, store: "Store", study: str, on_event: OnEvent) -> "ScreeningInParts | None":
    """Return the screening with which a new study begins; None where it needs none."""
    from search.recommendation.screening_in_parts import ScreeningInParts
    from search.recommendation.warm_start import is_screened, is_worthwhile

    options, probe = prepared.options, prepared.probe
    wanted = is_worthwhile(probe.space, options.trials) and options.warm_start and options.ray_address is None
    if not wanted or store.read_study(study).trials or is_screened(store, probe.spec, probe.weights_digest):
        return None
    return ScreeningInParts(
        store,
        probe.spec,
        probe.space,
        probe.weights_digest,
        prepared.resources.workers,
        lambda done, total: on_event(ScreeningProgressed(done, total)),
    )


def _search(
    prepared: PreparedRun, store: "Store", study: str, driver: "StudyDriver", ray: "RaySession", on_event: OnEvent
) -> str:
    """Run what is missing of the screening, the trials and the finals; return why no further trial is tried."""
    from objectives.probe_builder import ProbeBuilder
    from search.reports.dashboard_sync import refreshing
    from search.reports.thumbnails import keep_pictures
    from search.scheduling.ray_tune import run_study

    options, spec = prepared.options, prepared.probe.spec
    before, finals = store.read_study(study), StudyFinals(store, study, options)
    if before.finished >= options.trials and not finals.missing() and not before.waiting:
        return f"the study has {before.finished} finished trials already"
    screening = _screening(prepared, store, study, on_event)
    report = options.home_folder.reports / f"{study}.html"
    with (
        spec.usage().using(spec.views, prepared.plan.folders),
        refreshing(store, study, driver.run_id, report),
        _announced(SearchStarted(before, options.trials), on_event, at_once=screening is None) as announcing,
    ):
        ray.wait()
        reason = run_study(driver, ProbeBuilder(spec), finals, prepared.resources, announcing, screening)
    keep_pictures(store, study, spec)
    return reason


@contextmanager
def _announced(started: SearchStarted, on_event: OnEvent, at_once: bool) -> Iterator["OnTrialEvent"]:
    """Send that the search starts, and that it ends, whether all goes well or not. Yield what sends events meanwhile.

    at_once: send the start at once; else before the first event of a trial or final, since a screening comes first.
    """
    is_sent = at_once
    if at_once:
        on_event(started)

    def send(event: "TrialEvent") -> None:
        nonlocal is_sent
        if not is_sent:
            is_sent = True
            on_event(started)
        on_event(event)

    try:
        yield send
    finally:
        on_event(SearchEnded())


@dataclass(frozen=True)
class StudyFinals:
    """The finalists of a study under seeds other than the search's.

    Finalists are the best complete trials on validation; where cost is an objective, trials spread over the Pareto
    front.
    """

    store: "Store"
    study: str
    options: RunOptions

    def missing(self) -> list[tuple[Setting, int]]:
        """Return the (setting, seed) pairs that have not been re-evaluated yet."""
        from search.reports.answer import spread

        results, options = self.store.read_study(self.study), self.options
        count = options.finalists
        finalists = spread(results.pareto_front, count) if results.by_cost else results.complete[:count]
        seeds = range(options.seed + 1, options.seed + 1 + options.final_seeds)
        done = {(final.setting, final.seed) for final in results.finals}
        pairs = [(trial.setting, seed) for trial in finalists for seed in seeds]
        return [pair for pair in pairs if pair not in done]

    def keep(self, final: Final) -> None:
        self.store.record_final(self.study, final)
