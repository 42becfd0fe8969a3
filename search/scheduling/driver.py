"""Which trial next, and when to stop: the rules of a study, in the open database and with neither Ray nor torch.

All state is in the database. Any number of drivers, one a run, may work on one study; one that is killed leaves trials
RUNNING, which the others, or the next to start, see and put right.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, final

from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from objectives.results import GMACS, Evaluation
from search.database.parameters import distributions, to_params, to_setting
from search.database.records import TrialRecord
from search.database.store import Store
from search.samplers.proposers import Proposer
from search.scheduling.halving import Halving
from search.scheduling.requests import TrialRequest
from search.scheduling.trial_attributes import ended, facts_of, results_of
from spaces import InvalidSpaceError, Setting, Space

MAX_ATTEMPTS = 3
MAX_FAILURES = 10
MAX_REASON = 500

# User attributes of a trial. `interrupted` says that it did not fail by itself: STOPPED in good order, or LOST with the
# process that ran it, which the setting may have been the cause of.
RUN, ATTEMPT, INTERRUPTED = "run", "attempt", "interrupted"
STOPPED, LOST = "stopped", "lost"


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now: the trials that run would fill the budget, but one may fail. Ask again later."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing any more, and why, in words."""

    reason: str


@dataclass(slots=True)
class _Live:
    """A trial of this run that runs; trial_id: Optuna's. reported: its last worth on validation, if any."""

    trial_id: int
    facts: TrialRecord
    reported: float | None = None


def default_pruner() -> BasePruner:
    """Stop a trial that from its third epoch on stays below the median of at least five others at the same epoch.

    Heads that are fitted at once report no epochs: they are not pruned, and do not count as others.
    """
    return MedianPruner(n_startup_trials=0, n_warmup_steps=3, n_min_trials=5)


@final
class StudyDriver:
    """Asks and tells the trials of one run of a study, from any one thread at a time.

    budget: finished (complete or pruned) trials that the study shall have, of all runs together.
    run_id: of a live run, as `Store.run` yields it.
    Every method raises StorageError where the database cannot be used.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        space: Space,
        proposer: Proposer,
        *,
        seed: int,
        budget: int,
        run_id: int,
        pruner: BasePruner | None = None,
        halving: Halving | None = None,
    ) -> None:
        self.store = store
        self.name = study
        self.space = space
        self.proposer = proposer
        self.seed = seed
        self.budget = budget
        self.run_id = run_id
        self.halving = halving or Halving()
        self.study = store.load(study)
        self._by_cost = len(self.study.directions) > 1
        self.pruner = NopPruner() if self._by_cost else pruner or default_pruner()  # Optuna prunes by one value alone
        self._study_id = store.optuna.get_study_id_from_name(study)
        self._space_digest = space.digest()
        self._live: dict[int, _Live] = {}
        self._settings: dict[int, Setting] = {}
        self._failures = 0
        self._last_failure = ""

    def ask(self) -> TrialRequest | Wait | Finished:
        """The next trial, which exists in the database from now on, or why there is none."""
        if self._failures > MAX_FAILURES:
            return Finished(
                f"{self._failures} trials failed with none succeeding between; the last: {self._last_failure}"
            )
        with self.store.exclusive(self.name):
            trials = self._reconciled()
            finished = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
            running = sum(trial.state == TrialState.RUNNING for trial in trials)
            if finished >= self.budget:
                return Finished(f"the study has {finished} finished trials, of {self.budget} asked for")
            if finished + running >= self.budget:
                return Wait()
            setting, attempt = self._next(trials)
            if setting is None:
                return Wait() if running else Finished(f"all {len(self.space)} settings of the space have been tried")
            return TrialRequest(self._create(setting, attempt), setting, attempt)

    def ask_for(self, setting: Setting) -> TrialRequest | None:
        """A trial of this very setting, whatever the budget; None where `attempt_of` says so.

        One that was stopped early gets another. Raises InvalidSpaceError for a setting outside the space.
        """
        outside = self.space.why_not(setting)
        if outside is not None:
            raise InvalidSpaceError(outside)
        with self.store.exclusive(self.name):
            attempt = attempt_of(setting, self._reconciled())
            return None if attempt is None else TrialRequest(self._create(setting, attempt), setting, attempt)

    def reconcile(self) -> None:
        """Tell the RUNNING trials of runs that are no more as failed, so that their settings are asked again."""
        with self.store.exclusive(self.name):
            self._reconciled()

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Keep the worth on validation after an epoch, 1-based; True where the trial is not worth going on with."""
        live = self._live.get(number)
        if live is None:
            return True
        storage = self.store.optuna
        with self.store.address.errors():
            try:
                storage.set_trial_intermediate_value(live.trial_id, epoch, value)
            except UpdateFinishedTrialError:
                return True
            live.reported = value
            return self.pruner.prune(self.study, storage.get_trial(live.trial_id))

    def report_rung(self, number: int, images: int, score: float) -> bool:
        """Keep the worth on a rung of so many images; True where the trial is not worth more of them.

        In an attribute, not as an intermediate value: those are epochs, on all images. A trial that is stopped before
        it has any is to TPE the last of all.
        """
        live, name = self._live.get(number), f"worth on {images} images"
        if live is None or not self._annotate(live.trial_id, {name: score}):
            return True
        others = [
            trial.user_attrs[name]
            for trial in self.store.trials(self.name)
            if trial.number != number and trial.state != TrialState.FAIL and name in trial.user_attrs
        ]
        return self.halving.stops(score, others)

    def complete(self, number: int, evaluation: Evaluation) -> None:
        self._failures = 0
        self._end(number, TrialState.COMPLETE, evaluation)

    def prune(
        self, number: int, evaluation: Evaluation | None = None, reason: str = "pruned: behind other trials"
    ) -> None:
        """The trial was stopped early, after an epoch or on a rung; it counts as finished."""
        self._failures = 0
        self._end(number, TrialState.PRUNED, evaluation, ended(reason))

    def fail(self, number: int, reason: str) -> None:
        """The trial failed by itself; its setting is not tried again."""
        self._failures += 1
        self._last_failure = " ".join(reason.split())[:MAX_REASON] or "no reason given"
        self._end(number, TrialState.FAIL, None, ended(self._last_failure, failed=True))

    def abandon(self) -> None:
        """Give up the trials of this run that still run; whoever goes on with the study asks their settings first."""
        for number in list(self._live):
            attributes = {**ended("interrupted: the run was stopped"), INTERRUPTED: STOPPED}
            self._end(number, TrialState.FAIL, None, attributes)

    def _end(
        self, number: int, state: TrialState, evaluation: Evaluation | None, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Facts first, then the state, after which a trial is frozen. A trial that has ended already stays as it is."""
        live = self._live.get(number)
        if live is None:
            return
        facts, values = live.facts, None
        if state == TrialState.PRUNED and live.reported is not None:
            values = [live.reported]
        if evaluation:
            values = [evaluation.score, *([evaluation.details[GMACS]] if self._by_cost else [])]
            facts = replace(
                facts,
                validation=evaluation.validation,
                seconds=evaluation.seconds,
                passes_made=evaluation.passes_made,
                passes_needed=evaluation.passes_needed,
                details=evaluation.details,
                scores=evaluation.scores,
                correct_mask=evaluation.correct_mask
                if state == TrialState.COMPLETE
                else None,  # a rung's are of other images
            )
        if self._annotate(live.trial_id, {**results_of(evaluation), **(attributes or {})}):
            self.store.record_trial(self.name, facts)
            self._tell(live.trial_id, state, values)
        del self._live[number]

    def _annotate(self, trial_id: int, attributes: Mapping[str, Any]) -> bool:
        """Write user attributes; False where another driver took this run for dead and has ended the trial."""
        with self.store.address.errors():
            try:
                for name, value in attributes.items():
                    self.store.optuna.set_trial_user_attr(trial_id, name, value)
            except UpdateFinishedTrialError:
                return False
        return True

    def _tell(self, trial_id: int, state: TrialState, values: list[float] | None = None) -> None:
        """As `Study.tell`, which reads the whole trial twice for it; one that has ended already stays as it is."""
        with self.store.address.errors(), suppress(UpdateFinishedTrialError):
            self.store.optuna.set_trial_state_values(trial_id, state, values)

    def _reconciled(self) -> list[FrozenTrial]:
        """The study's trials, after those whose run is no more were told as failed."""
        trials = self.store.trials(self.name)
        foreign = [t for t in trials if t.state == TrialState.RUNNING and t.user_attrs.get(RUN) != self.run_id]
        live = self.store.live_runs(self.name) if foreign else frozenset()
        lost = [trial for trial in foreign if trial.user_attrs.get(RUN) not in live]
        for trial in lost:
            attributes = {**ended("interrupted: the process that ran it is gone"), INTERRUPTED: LOST}
            with self.store.address.errors():
                trial_id = self.store.optuna.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
            if self._annotate(trial_id, attributes):
                self._tell(trial_id, TrialState.FAIL)
        return self.store.trials(self.name) if lost else trials

    def _next(self, trials: Sequence[FrozenTrial]) -> tuple[Setting | None, int]:
        """An interrupted setting first, the one that has waited longest; else what the proposer says."""
        taken: set[Setting] = set()
        interrupted: dict[Setting, list[str]] = {}
        for trial in trials:
            setting = self._setting(trial)
            if trial.state == TrialState.FAIL and INTERRUPTED in trial.user_attrs:
                interrupted.setdefault(setting, []).append(trial.user_attrs[INTERRUPTED])
            else:
                taken.add(setting)
        for setting, ways in interrupted.items():
            if setting not in taken and ways.count(LOST) < MAX_ATTEMPTS:
                return setting, len(ways) + 1
        return self.proposer.propose(trials, self.space, taken | interrupted.keys()), 1

    def _setting(self, trial: FrozenTrial) -> Setting:
        if trial.number not in self._settings:
            self._settings[trial.number] = to_setting(trial.params)
        return self._settings[trial.number]

    def _create(self, setting: Setting, attempt: int) -> int:
        """In one transaction: a trial is never there without its parameters or its run."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=to_params(setting),
            distributions=distributions(self.space, setting),
            user_attrs={
                **facts_of(setting, self.space.architecture),
                "seed": self.seed,
                RUN: self.run_id,
                ATTEMPT: attempt,
                "space digest": self._space_digest,
            },
        )
        with self.store.address.errors():
            trial_id = self.store.optuna.create_new_trial(self._study_id, template)
            number = self.store.optuna.get_trial_number_from_id(trial_id)
        self._live[number] = _Live(trial_id, TrialRecord(number, self.run_id, attempt, setting))
        return number


def attempt_of(setting: Setting, trials: Sequence[FrozenTrial]) -> int | None:
    """Which attempt another trial of the setting would be, 1-based; None where one is complete, runs or failed by
    itself, or was lost too often."""
    mine = [trial for trial in trials if to_setting(trial.params) == setting and trial.state != TrialState.PRUNED]
    ways = [trial.user_attrs.get(INTERRUPTED) for trial in mine]
    if None in ways or ways.count(LOST) >= MAX_ATTEMPTS:
        return None
    return len(ways) + 1
