"""Creates the trials of a run, each with all that is known when it begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

from optuna.trial import FrozenTrial, TrialState, create_trial

from search.database.optuna_storage.own_trials import RUN
from search.database.optuna_storage.parameters import distributions, to_params
from search.database.rows.trial_writer import TrialWriter
from search.scheduling.trials.trial_attributes import reason_line, setting_attributes
from spaces import Setting, Space, StorageError

ATTEMPT = "attempt"
"""User attribute of a trial: the attempt, see `TrialRequest`."""


@final
class TrialCreator:
    """Creates trials in one transaction each, so that none is ever without its parameters or its run.

    It returns a trial as it began. Raises StorageError, in words, where the study has trials of another program with
    other values of the same parameters.
    """

    def __init__(self, writer: TrialWriter, space: Space, seed: int, run_id: int) -> None:
        self.writer = writer
        self.space = space
        self._of_run = {"seed": seed, RUN: run_id}
        self._space_digest = space.digest()

    def create(self, setting: Setting, attempt: int) -> FrozenTrial:
        """Create a running trial of a setting."""
        trial = self._trial(setting)
        with self._checking():
            created = self.writer.create(trial.params, trial.distributions, self._attributes(setting, attempt))
        trial._trial_id, trial.number = created
        return trial

    def start(self, waiting: FrozenTrial, setting: Setting, attempt: int) -> FrozenTrial | None:
        """Start a trial that waits. Return None where somebody else has started or ended it meanwhile."""
        trial = self._trial(setting)
        lacking = {name: value for name, value in trial.params.items() if name not in waiting.params}
        attributes = self._attributes(setting, attempt)
        with self._checking():
            if not self.writer.start(waiting._trial_id, lacking, trial.distributions, attributes):
                return None
        trial._trial_id, trial.number = waiting._trial_id, waiting.number
        return trial

    def _trial(self, setting: Setting) -> FrozenTrial:
        kinds = distributions(self.space, setting)
        return create_trial(state=TrialState.RUNNING, params=to_params(setting), distributions=kinds)

    @contextmanager
    def _checking(self) -> Iterator[None]:
        """Turn Optuna's error for a parameter that has other values in an earlier trial into a StorageError."""
        try:
            yield
        except ValueError as error:
            raise StorageError(
                f"study {self.writer.study!r} begins with a trial of another program, whose parameters have other "
                f"values than a run's: {reason_line(str(error))}; delete the study with Optuna Dashboard, and run again"
            ) from None

    def _attributes(self, setting: Setting, attempt: int) -> dict[str, Any]:
        return {
            **setting_attributes(setting, self.space.architecture),
            **self._of_run,
            ATTEMPT: attempt,
            "space digest": self._space_digest,
        }
