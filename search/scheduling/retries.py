"""Decides which settings are tried again: those whose trial ended without a result, and not because of the setting."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

from search.database.own_trials import LOST, MACHINE
from spaces import Setting

MAX_ATTEMPTS = 3
"""A setting that loses the process of its run this often is given up. One that fails this often in a run because of the
machine is not tried again in that run; after so many runs it is tried after all others."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why a trial ended without a result: STOPPED, LOST or MACHINE. run: the id of its run."""

    why: str
    run: int


@final
@dataclass(frozen=True)
class History:
    """What a study has tried.

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

    def retry(self) -> Setting | None:
        """Return the interrupted setting that is tried before all others, if any."""
        faults = {setting: self._runs_of_faults(setting) for setting in self.open}
        few = (s for s, runs in faults.items() if len({*runs}) < MAX_ATTEMPTS)
        return next((s for s in few if faults[s].count(self.run_id) < MAX_ATTEMPTS), None)

    def last_retry(self) -> Setting | None:
        """Return the interrupted setting that is tried after all others, if any.

        It failed in several runs because of the machine, and not yet in this one.
        """
        return next((s for s in self.open if self.run_id not in self._runs_of_faults(s)), None)

    def _runs_of_faults(self, setting: Setting) -> list[int]:
        return [end.run for end in self.interrupted[setting] if end.why == MACHINE]
