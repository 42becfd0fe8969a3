"""Decides which settings are tried again: those whose trial ended without a result, and not because of the setting."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

from search.database.optuna_storage.own_trials import LOST, MACHINE, WORKER
from spaces import Setting

MAX_ATTEMPTS = 3
"""A setting that loses the process of its run this often is given up. One that fails this often in a run because of the
machine, or loses its worker this often, waits for the next run. So does the rest of a run: a part of the screening, a
final or a baseline that loses its worker this often is given up in this run."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """A trial that ended without a result. why: STOPPED, LOST, MACHINE or WORKER. run: the id of its run."""

    why: str
    run: int


@final
@dataclass(frozen=True)
class History:
    """The settings that a study has tried.

    run_id: of this run. taken: settings that need no further trial. interrupted: settings of trials that did not fail
    by themselves; those that wait longest are first.
    """

    run_id: int
    taken: set[Setting]
    interrupted: dict[Setting, list[Interruption]]

    @property
    def tried(self) -> set[Setting]:
        return self.taken | self.interrupted.keys()

    @cached_property
    def open(self) -> list[Setting]:
        """The interrupted settings that are not taken, and are not given up for losing the process of their run."""
        return [
            setting
            for setting, ends in self.interrupted.items()
            if setting not in self.taken and sum(end.why == LOST for end in ends) < MAX_ATTEMPTS
        ]

    def attempt(self, setting: Setting) -> int:
        """Return the attempt, 1-based, that another trial of the setting is."""
        return len(self.interrupted.get(setting, ())) + 1

    def retry(self, after_failure: bool = False) -> Setting | None:
        """Return the interrupted setting that this run tries next, if any.

        after_failure: leave out settings that failed because of the machine, or lost their workers in an earlier run.
        After a trial that failed, other settings come first, so that settings which always fail do not end a run by
        failing in a row.
        """
        lost_now = Interruption(WORKER, self.run_id)
        for setting in self.open:
            ends = [end for end in self.interrupted[setting] if end.why in (MACHINE, WORKER)]
            waits = after_failure and any(end != lost_now for end in ends)
            if not waits and sum(end.run == self.run_id for end in ends) < MAX_ATTEMPTS:
                return setting
        return None
