"""Sorts out which settings a study has tried. It remembers the trials that have ended, which never change again."""

from collections.abc import Sequence
from typing import final

from optuna.trial import FrozenTrial, TrialState

from search.database.optuna_storage.own_trials import INTERRUPTED, RUN
from search.database.optuna_storage.parameters import to_setting
from search.scheduling.trials.retries import History, Interruption
from spaces import Setting


@final
class TriedSettings:
    """The settings of a study's own trials.

    run_id: of this run. finished, running: how many trials were complete or pruned, and how many running, at the last
    update.
    """

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self.finished = 0
        self.running = 0
        self._ended: set[int] = set()
        self._taken: set[Setting] = set()
        self._interrupted: dict[int, tuple[Setting, Interruption]] = {}

    def update(self, own: Sequence[FrozenTrial]) -> History:
        """Take the trials that have ended since the last update. own: all trials that a run of the study made."""
        running: set[Setting] = set()
        for trial in own:
            if trial.number in self._ended:
                continue
            setting = to_setting(trial.params)
            if not trial.state.is_finished():
                running.add(setting)
                continue
            self._ended.add(trial.number)
            self.finished += trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
            why = trial.user_attrs.get(INTERRUPTED) if trial.state == TrialState.FAIL else None
            if why is None:
                self._taken.add(setting)
            else:
                self._interrupted[trial.number] = setting, Interruption(why, trial.user_attrs[RUN])
        self.running = len(own) - len(self._ended)
        interrupted: dict[Setting, list[Interruption]] = {}
        for _, (setting, interruption) in sorted(self._interrupted.items(), key=lambda item: item[0]):
            ends = interrupted.pop(setting, [])  # it goes to the end: what waits longest is tried first
            interrupted[setting] = [*ends, interruption]
        return History(self.run_id, self._taken | running, interrupted)
