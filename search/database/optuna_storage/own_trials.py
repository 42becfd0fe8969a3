"""Decides which trials of an Optuna study are the project's own: people and other programs add and end trials too."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select
from sqlalchemy.orm import Session

from search.database.models import RunRow, StudyRow, TrialRow
from search.database.optuna_storage.parameters import Params, setting_or_none
from spaces import Setting

RUN = "run"
"""User attribute of a trial: the id of the run that made it."""

INTERRUPTED = "interrupted"
"""User attribute of a trial that did not fail by itself. It says why it ended: STOPPED, LOST, MACHINE or WORKER."""

STOPPED, LOST, MACHINE, WORKER = "stopped", "lost", "machine", "worker"
"""STOPPED: the run was stopped in good order. LOST: the process of the run is gone, perhaps because of the setting.
MACHINE: the machine failed. WORKER: the process of the worker died; earlier versions wrote MACHINE."""


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
    """An Optuna study whose trials are read again and again. It remembers which of the finished ones are own.

    last: the trials as they were read last.
    """

    def __init__(self, name: str, study: optuna.Study) -> None:
        """name: the project's name of the study. In Optuna a person may have renamed it."""
        self.name = name
        self.study = study
        self.last: Sequence[FrozenTrial] = ()
        self._is_own: dict[int, bool] = {}

    def trials(self, session: Session) -> StudyTrials:
        """Return all trials. They are not copies: do not change them. Raises KeyError where the study is gone."""
        trials = self.last = self.study.get_trials(deepcopy=False)
        undecided = [trial for trial in trials if trial.number not in self._is_own]
        is_own = self._is_own | self._decide(session, undecided)
        self._is_own = {trial.number: is_own[trial.number] for trial in trials if trial.state.is_finished()}
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        begun = [trial for trial in trials if trial.state != TrialState.WAITING]
        return StudyTrials(
            own=tuple(trial for trial in begun if is_own[trial.number]),
            enqueued=tuple(waiting),
            others=tuple(trial for trial in begun if not is_own[trial.number]),
        )

    def _decide(self, session: Session, trials: Sequence[FrozenTrial]) -> dict[int, bool]:
        if not trials:
            return {}
        of_study = StudyRow.name == self.name
        first = min(trial.number for trial in trials)
        recorded = select(TrialRow.number, TrialRow.setting).join(StudyRow).where(of_study, TrialRow.number >= first)
        settings = {row.number: row.setting for row in session.execute(recorded)}
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
    fixed = trial.system_attrs.get("fixed_params")
    return {**trial.params, **(fixed if isinstance(fixed, dict) else {})}
