"""Decides which trial of a study is next and when a trial stops. It knows neither Ray nor torch.

All state is in the study database. Any number of drivers, one for each run, may work on one study. A driver that is
killed leaves trials in the state RUNNING. The other drivers, or the next one to start, fail them and try their settings
again.
"""

import random
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, final

from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from objectives.results import GMACS, Evaluation
from search.database.connection.outages import Outages, repeated
from search.database.optuna_storage.own_trials import (
    INTERRUPTED,
    LOST,
    LOST_REASON,
    MACHINE,
    RUN,
    STOPPED,
    WORKER,
    StudyTrials,
    given_params,
)
from search.database.optuna_storage.parameters import to_setting
from search.database.records import TrialRecord
from search.database.store import Store
from search.samplers.proposals import Proposals, Situation
from search.samplers.proposers import Proposer, expected_improvement
from search.scheduling.requests import NoMoreTrials, NoTrialYet, TrialRequest
from search.scheduling.trials.creation import ATTEMPT, TrialCreator
from search.scheduling.trials.enqueued import enqueued_setting
from search.scheduling.trials.retries import History
from search.scheduling.trials.stopping import Halving, OwnTrialsStudy, default_pruner
from search.scheduling.trials.trial_attributes import end_attributes, reason_line, result_attributes
from search.scheduling.trials.tried import TriedSettings
from spaces import InvalidSpaceError, Setting, Space, StorageError

MAX_FAILURES = 10
"""More failures than this in a row end the run."""


T = TypeVar("T")


@dataclass(slots=True)
class _RunningTrial:
    """A trial of this run. trial: as it began, and its epochs. record: what will be kept of it."""

    trial: FrozenTrial
    record: TrialRecord

    @property
    def last_score(self) -> float | None:
        """The validation score after its last epoch, if any."""
        epoch = self.trial.last_step
        return None if epoch is None else self.trial.intermediate_values[epoch]


@final
class StudyDriver:
    """Starts and ends the trials of one run of a study. One thread at a time may use it.

    budget: how many finished (complete or pruned) trials the study shall have, of all runs together.
    run_id: of a live run, as `Store.run` yields it. workers: how many trials of the run may run at once; so many
    proposals may be made ahead.
    Every method raises StorageError where the database cannot be used. While it does not answer, a method is repeated
    as a whole, see `Outages`; so each is safe to repeat after a commit whose answer was lost.
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
        workers: int = 1,
        pruner: BasePruner | None = None,
        halving: Halving | None = None,
    ) -> None:
        self.store = store
        self.name = study
        self.space = space
        self.proposals = Proposals(proposer, space, workers)
        self.seed = seed
        self.budget = budget
        self.run_id = run_id
        self.halving = halving or Halving()
        self.study = store.load(study)
        self._own_study = self.outages.repeat(
            partial(OwnTrialsStudy, self.study, store.optuna, lambda: self._trials().own)
        )
        self._by_cost = len(self.outages.repeat(lambda: self.study.directions)) > 1
        self.pruner = NopPruner() if self._by_cost else pruner or default_pruner()  # Optuna prunes by one value alone
        self._writer = store.trial_writer(study)
        self._tried = TriedSettings(run_id)
        self._creator = TrialCreator(self._writer, space, seed, run_id)
        self._running: dict[int, _RunningTrial] = {}
        self._failures = 0
        self._last_failure = ""

    @property
    def outages(self) -> Outages:
        """The outages of the database."""
        return self.store.outages

    def check_file(self) -> None:
        """Raise StorageError where the file of the database was lost since the run began, as `loss` says."""
        if self.store.optuna.loss is not None:
            raise StorageError(self.store.optuna.loss)

    def next_trial(self, wait: bool = True) -> TrialRequest | NoTrialYet | NoMoreTrials:
        """Create the next trial in the database and return it, or say why there is none.

        wait: whether to wait for a proposal that is being made; see `Proposals`. The study is not locked meanwhile.
        """
        if self._failures > MAX_FAILURES:
            return NoMoreTrials(
                f"{self._failures} trials failed with none succeeding between; the last: {self._last_failure}"
            )
        while True:
            answer = self._creating_once(self._next_trial)
            if not (wait and isinstance(answer, NoTrialYet) and answer.proposing):
                return answer
            self.wait_for_proposal()

    @property
    def expected_improvement(self) -> float | None:
        """The largest improvement of the score that the sampler expects; see `search.samplers.proposers`."""
        return expected_improvement(self.proposals.proposer)

    def wait_for_proposal(self, seconds: float = 60.0) -> None:
        """Wait until a proposal is ready, or for so many seconds."""
        self.proposals.wait(seconds)

    def _next_trial(self) -> TrialRequest | NoTrialYet | NoMoreTrials:
        with self.store.exclusive(self.name) as check_lock:
            trials = self._reconciled()
            if request := self._created_unnoticed(trials) or self._next_enqueued(trials):
                self.proposals.pass_over()
                return request
            history = self._tried.update(trials.own)
            finished, running = self._tried.finished, self._tried.running
            if finished >= self.budget:
                return NoMoreTrials(f"the study has {finished} finished trials, of {self.budget} asked for")
            if finished + running >= self.budget:
                return NoTrialYet()
            setting = history.retry(self._failures > 0)
            if setting is not None:
                self.proposals.pass_over()
            else:
                situation = Situation(trials.own, history.tried, finished)
                setting = self.proposals.next_free(situation)
                if setting is None and not self.proposals.exhausted:
                    self.proposals.prepare_now(situation, self._free_workers)
                    return NoTrialYet(proposing=True)
                setting = setting or history.retry()
            if setting is None:
                return NoTrialYet() if running else NoMoreTrials(self._exhausted(history))
            check_lock()
            request = self._begin(setting, history.attempt(setting))
            if finished + running + 1 < self.budget:
                self._prepare(trials, history.tried | {setting}, self._running[request.number].trial)
            return request

    def _prepare(self, trials: StudyTrials, tried: set[Setting], trial: FrozenTrial) -> None:
        """Begin to make the proposals that follow a trial that has just begun."""
        began = copy(trial)
        began.intermediate_values = {}  # another thread reads it, while this trial gets epochs
        situation = Situation((*trials.own, began), tried, self._tried.finished)
        self.proposals.prepare(situation, self._free_workers)

    @property
    def _free_workers(self) -> int:
        return self.proposals.workers - len(self._running)

    def _creating_once(self, create: Callable[[], T]) -> T:
        """Call `create`, repeatedly while the database does not answer.

        A trial that it creates before it fails is found by `_created_unnoticed` when it is repeated.
        """
        before = frozenset(self._running)

        def attempt() -> T:
            for number in self._running.keys() - before:
                del self._running[number]
            return create()

        return self.outages.repeat(attempt)

    def _exhausted(self, history: History) -> str:
        again = len(history.open)
        left = f"; {again} of them failed because of the machine, and the next run tries them again" if again else ""
        return f"every setting of the space has been tried, {len(self.space):,} in all{left}"

    def trial_for(self, setting: Setting) -> TrialRequest | None:
        """Create a trial of this setting, whatever the budget, and return it.

        Return None if the setting has a trial that is complete, running or failed, or if it lost its process too often.
        A setting whose trial was pruned gets another one. Raises InvalidSpaceError for a setting outside the space.
        """
        outside = self.space.why_not(setting)
        if outside is not None:
            raise InvalidSpaceError(outside)
        return self._creating_once(lambda: self._trial_for(setting))

    def _trial_for(self, setting: Setting) -> TrialRequest | None:
        with self.store.exclusive(self.name) as check_lock:
            trials = self._reconciled()
            if request := self._created_unnoticed(trials, setting):
                return request
            own = [trial for trial in trials.own if trial.state != TrialState.PRUNED]
            history = TriedSettings(self.run_id).update(own)
            if setting in history.taken or (setting in history.interrupted and setting not in history.open):
                return None
            check_lock()
            return self._begin(setting, history.attempt(setting))

    @repeated
    def reconcile(self) -> None:
        """Fail the RUNNING trials of runs that are dead, so that their settings are tried again.

        Forget the results that such a run saved before it could end their trial. Refuse the enqueued trials that are
        not settings of the space.
        """
        with self.store.exclusive(self.name):
            trials = self._reconciled()
            failed = {trial.number for trial in trials.own if trial.state == TrialState.FAIL}
            self.store.forget_results(self.name, failed)
            for trial in trials.enqueued:
                self._setting_of_enqueued(trial, trials)

    @repeated
    def report_epoch(self, number: int, epoch: int, score: float) -> bool:
        """Save the validation score of a trial after an epoch, 1-based. Return whether the trial should stop."""
        running = self._running.get(number)
        if running is None or not self._writer.write_epoch(running.trial._trial_id, epoch, score):
            return True
        running.trial.intermediate_values[epoch] = score
        return self.pruner.prune(self._own_study, running.trial)

    @repeated
    def report_rung(self, number: int, images: int, score: float) -> bool:
        """Save the score of a trial on a rung of so many images. Return whether the trial should stop.

        The score is kept in an attribute. Intermediate values are epochs on all images. To TPE, a trial that is stopped
        before its first epoch is worse than all others.
        """
        running, name = self._running.get(number), f"worth on {images} images"
        if running is None or not self._writer.write_attributes(running.trial._trial_id, {name: score}):
            return True
        others = [
            trial.user_attrs[name]
            for trial in self.store.trials(self.name).own
            if trial.number != number and trial.state != TrialState.FAIL and name in trial.user_attrs
        ]
        return self.halving.stops(score, others)

    def complete(self, number: int, evaluation: Evaluation) -> None:
        """End a trial with its evaluation."""
        self._failures = 0
        self._end(number, TrialState.COMPLETE, evaluation)

    def prune(
        self, number: int, evaluation: Evaluation | None = None, reason: str = "pruned: behind other trials"
    ) -> None:
        """End a trial that was stopped early, after an epoch or on a rung. It counts as finished."""
        self._failures = 0
        self._end(number, TrialState.PRUNED, evaluation, end_attributes(reason))

    def fail(self, number: int, reason: str, by_machine: bool = False) -> None:
        """End a trial that failed.

        by_machine: whether the machine was the cause, and not the setting. Such a setting is tried again, otherwise it
        is not.
        """
        self._count_failure(reason)
        self._end_without_result(number, reason, MACHINE if by_machine else None)

    def lose(self, number: int, reason: str, again: bool) -> None:
        """End a trial whose worker process died.

        again: whether this run tries its setting again, at once. Such a loss is no failure: all workers of a machine
        that is lost die at once.
        """
        if not again:
            self._count_failure(reason)
        self._end_without_result(number, reason, WORKER)

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        self._last_failure = reason_line(reason)

    def _end_without_result(self, number: int, reason: str, why: str | None) -> None:
        attributes = end_attributes(reason_line(reason), failed=True) | ({INTERRUPTED: why} if why else {})
        self._end(number, TrialState.FAIL, None, attributes)

    def abandon(self) -> None:
        """Fail the trials of this run that still run. The next run tries their settings first."""
        for number in list(self._running):
            self.give_back(number)

    def give_back(self, number: int) -> None:
        """Fail a trial that ends without a result. The next run tries its setting first."""
        attributes = {**end_attributes("interrupted: the run was stopped"), INTERRUPTED: STOPPED}
        self._end(number, TrialState.FAIL, None, attributes)

    @repeated
    def _end(
        self, number: int, state: TrialState, evaluation: Evaluation | None, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """End a trial and save its record. A trial that has ended already stays as it is."""
        running = self._running.get(number)
        if running is None:
            return
        record, values = running.record, None
        if state == TrialState.PRUNED and running.last_score is not None:
            values = [running.last_score]
        if evaluation:
            values = [evaluation.score, *([evaluation.details[GMACS]] if self._by_cost else [])]
            record = record.with_evaluation(evaluation, is_complete=state == TrialState.COMPLETE)
        attributes = {**result_attributes(evaluation), **(attributes or {})}
        self._writer.end(running.trial._trial_id, state, attributes, values, record)
        del self._running[number]

    def _trials(self) -> StudyTrials:
        """Return the trials of the study. Running ones are as they began."""
        return self.store.trials(self.name, as_they_began=True)

    def _reconciled(self) -> StudyTrials:
        """Return the trials of the study, after failing its own running ones whose run is dead."""
        trials = self._trials()
        elsewhere = [t for t in trials.own if t.state == TrialState.RUNNING and t.user_attrs[RUN] != self.run_id]
        live_runs = self.store.live_runs(self.name) if elsewhere else frozenset()
        lost = [trial for trial in elsewhere if trial.user_attrs[RUN] not in live_runs]
        for trial in lost:
            attributes = {**end_attributes(LOST_REASON), INTERRUPTED: LOST}
            self._writer.end(trial._trial_id, TrialState.FAIL, attributes)
        return self._trials() if lost else trials

    def _created_unnoticed(self, trials: StudyTrials, setting: Setting | None = None) -> TrialRequest | None:
        """Return a trial that this run has created or started without the database's answer, which was lost.

        setting: of the trial; any if None.
        """
        for trial in trials.own:
            if self._is_unnoticed(trial) and setting in (None, to_setting(trial.params)):
                return self._begun(copy(trial), to_setting(trial.params), trial.user_attrs.get(ATTEMPT, 1))
        return None

    def _is_unnoticed(self, trial: FrozenTrial) -> bool:
        mine = trial.state == TrialState.RUNNING and trial.user_attrs[RUN] == self.run_id
        return mine and trial.number not in self._running

    def _next_enqueued(self, trials: StudyTrials) -> TrialRequest | None:
        """Start the first trial that a person enqueued and whose setting can be tried. Refuse those before it."""
        for trial in trials.enqueued:
            setting = self._setting_of_enqueued(trial, trials)
            if setting is not None:
                attempt = self._tried.update(trials.own).attempt(setting)
                started = self._creator.start(trial, setting, attempt)
                if started is not None:
                    return self._begun(started, setting, attempt)
        return None

    def _setting_of_enqueued(self, trial: FrozenTrial, trials: StudyTrials) -> Setting | None:
        """Return the setting of a trial that a person enqueued, or fail the trial with the reason."""
        measured = (TrialState.COMPLETE, TrialState.RUNNING)
        taken = {to_setting(other.params) for other in trials.own if other.state in measured}
        generator = random.Random(f"{self.seed}/enqueued/{trial.number}")
        try:
            return enqueued_setting(given_params(trial), self.space, taken, generator)
        except InvalidSpaceError as error:
            attributes = end_attributes(reason_line(f"refused: {error}"))
            self._writer.end(trial._trial_id, TrialState.FAIL, attributes)
            return None

    def _begin(self, setting: Setting, attempt: int) -> TrialRequest:
        return self._begun(self._creator.create(setting, attempt), setting, attempt)

    def _begun(self, trial: FrozenTrial, setting: Setting, attempt: int) -> TrialRequest:
        record = TrialRecord(trial.number, self.run_id, attempt, setting)
        self._running[trial.number] = _RunningTrial(trial, record)
        return TrialRequest(trial.number, setting, attempt)
