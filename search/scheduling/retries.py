"""Decides which settings are tried again: those whose trial ended without a result, and not because of the setting."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

from search.database.optuna_storage.own_trials import LOST, MACHINE
from spaces import Setting

MAX_ATTEMPTS = 3
"""A setting that loses the process of its run this often is given up. One that fails this often in a run because of the
machine is not tried again in that run. One that failed in so many runs is tried after all others, once in a run."""


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

    def retry(self, after_failure: bool) -> Setting | None:
        """Return the interrupted setting that is tried before all others, if any.

        after_failure: whether the last trial of this run failed. Then settings that failed because of the machine wait
        for a trial that succeeds, so that settings which always fail do not end a run by failing in a row.
        """
        for setting in self.open:
            faults = self._runs_of_faults(setting)
            if not faults or (not after_failure and not self._is_last(faults) and self._is_allowed(faults)):
                return setting
        return None

    def last_retry(self) -> Setting | None:
        """Return the interrupted setting that is tried when all others were tried, if any."""
        faults = {setting: self._runs_of_faults(setting) for setting in self.open}
        allowed = [setting for setting in faults if self._is_allowed(faults[setting])]
        return min(allowed, key=lambda s: (self._is_last(faults[s]), faults[s].count(self.run_id)), default=None)

    def _is_last(self, faults: list[int]) -> bool:
        return len({*faults} - {self.run_id}) >= MAX_ATTEMPTS

    def _is_allowed(self, faults: list[int]) -> bool:
        return faults.count(self.run_id) < (1 if self._is_last(faults) else MAX_ATTEMPTS)

    def _runs_of_faults(self, setting: Setting) -> list[int]:
        return [end.run for end in self.interrupted[setting] if end.why == MACHINE]
