"""Decides which trials of an Optuna study are the project's own: people and other programs add and end trials too."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select
from sqlalchemy.orm import Session

from search.database.models import RunRow, StudyRow, TrialRow
from search.database.optuna_storage.parameters import Params, setting_or_none
from search.database.optuna_storage.trial_log import TrialLog
from spaces import Setting

FIXED = "fixed_params"
"""System attribute of a trial that a person enqueued: the parameters that it was given."""

RUN = "run"
"""User attribute of a trial: the id of the run that made it."""

INTERRUPTED = "interrupted"
"""User attribute of a trial that did not fail by itself. It says why it ended: STOPPED, LOST, MACHINE or WORKER."""

STOPPED, LOST, MACHINE, WORKER = "stopped", "lost", "machine", "worker"
"""STOPPED: the run was stopped in good order. LOST: the process of the run is gone, perhaps because of the setting.
MACHINE: the machine failed. WORKER: the process of the worker died; earlier versions wrote MACHINE."""

LOST_REASON = "interrupted: the process that ran it is gone"
"""The reason of a trial that is LOST."""


@final
@dataclass(frozen=True)
class StudyTrials:
    """The trials of an Optuna study, each kind in order of its numbers.

    own: trials that a run made, and that nobody else ended as complete or pruned. enqueued: trials that wait for a run
    to try them. others: all other trials. They were added or ended with Optuna by a person or another program, or
    refused by a run. No number of the study counts them, and no sampler learns from them.
    """

    own: tuple[FrozenTrial, ...]
    enqueued: tuple[FrozenTrial, ...]
    others: tuple[FrozenTrial, ...]


@final
class OpenStudy:
    """An Optuna study whose trials are read again and again, by any thread.

    last: the trials as they were read last.
    """

    def __init__(self, name: str, study: optuna.Study) -> None:
        """name: the project's name of the study. In Optuna a person may have renamed it."""
        self.name = name
        self.study = study
        self.last: Sequence[FrozenTrial] = ()
        self._log = TrialLog(study._study_id)
        self._is_own: dict[int, bool] = {}
        self._undecided: list[FrozenTrial] = []
        self._trials: StudyTrials | None = None
        self._lock = threading.Lock()

    def trials(self, session: Session, as_they_began: bool = False) -> StudyTrials:
        """Return all trials, as one object until one of them changes.

        They are not copies: do not change them. as_they_began: whether running trials may lack what was written since
        they began. Raises KeyError where the study is gone.
        """
        with self._lock:
            trials, changed = self._log.read(session.connection(), as_they_began)
            self.last = trials
            self._undecided += changed
            if self._undecided or self._trials is None:
                self._is_own |= self._decide(session, self._undecided)
                self._undecided.clear()
                begun = [trial for trial in trials if trial.state != TrialState.WAITING]
                self._trials = StudyTrials(
                    own=tuple(trial for trial in begun if self._is_own[trial.number]),
                    enqueued=tuple(trial for trial in trials if trial.state == TrialState.WAITING),
                    others=tuple(trial for trial in begun if not self._is_own[trial.number]),
                )
            return self._trials

    def _decide(self, session: Session, trials: Sequence[FrozenTrial]) -> dict[int, bool]:
        """Decide of new trials, and again of those whose state has changed, which are own."""
        of_study = StudyRow.name == self.name
        settings: dict[int, Setting] = {}
        runs: frozenset[int] = frozenset()
        ended = [trial.number for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        if ended:
            recorded = select(TrialRow.number, TrialRow.setting).join(StudyRow)
            among = TrialRow.number.between(min(ended), max(ended))
            settings = {row.number: row.setting for row in session.execute(recorded.where(of_study, among))}
        if len(ended) < len(trials):
            runs = frozenset(session.scalars(select(RunRow.id).join(StudyRow).where(of_study)))
        return {trial.number: is_own(trial, settings, runs) for trial in trials}


def is_own(trial: FrozenTrial, recorded: Mapping[int, Setting], runs: Collection[int]) -> bool:
    """Return whether a trial is the project's own.

    A complete or pruned trial is, if a run recorded its setting under its number before the trial ended. A running or
    failed trial is, if a run of the study made it.

    recorded: number → setting of the trials in the project's own table. runs: the ids of the runs of the study.
    """
    setting = setting_or_none(trial.params)
    if setting is None or trial.state == TrialState.WAITING:
        return False
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
        return recorded.get(trial.number) == setting
    run = trial.user_attrs.get(RUN)
    return isinstance(run, int) and run in runs


def given_params(trial: FrozenTrial) -> Params:
    """Return the parameters that a person gave a trial that waits."""
    fixed = trial.system_attrs.get(FIXED)
    return {**trial.params, **(fixed if isinstance(fixed, dict) else {})}
