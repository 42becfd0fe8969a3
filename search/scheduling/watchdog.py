"""Notices a run that is stuck, so that it ends rather than hangs."""

import time
from collections.abc import Collection
from typing import final

from search.database.connection.outages import CONTINUES

STALL_SECONDS = 600
"""A run in which nothing runs and nothing happens for this long is stuck, and ends."""

START_SECONDS = 180
"""A run ends if for this time no worker process has started, although requests wait for one."""


@final
class Watchdog:
    """Knows which requests have reached a worker process, and when something happened last."""

    def __init__(self) -> None:
        self._last_event = time.monotonic()
        self._received: set[str] = set()
        self._waits_since: float | None = None  # how long nothing runs, although requests wait for a worker process

    def receive(self, trial_id: str) -> None:
        """Take note that a worker process has a request."""
        self._received.add(trial_id)

    def happen(self, began: float) -> None:
        """Take note that something happened. began: when, on the monotonic clock.

        While the driver waits for its database, nobody listens to the workers.
        """
        self._last_event = time.monotonic()
        if self._waits_since is not None:
            self._waits_since += self._last_event - began

    def fault(self, waiting: Collection[str], started: bool, ending: bool) -> str | None:
        """Say in words why the run is stuck; None if it is not.

        waiting: the requests without a result. started: whether any worker process has started before. ending: whether
        no further trial is made.
        """
        if not waiting or not self._received.isdisjoint(waiting):
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = time.monotonic()
        elif time.monotonic() - self._waits_since > START_SECONDS:
            again = " any more" if started else ""
            return (
                f"no worker process started{again} within {START_SECONDS} s; is the machine out of memory or of "
                f"processes, or has the cluster lost its machines? {CONTINUES}"
            )
        if not waiting and not ending and time.monotonic() - self._last_event > STALL_SECONDS:
            return f"nothing happened for {STALL_SECONDS} s; {CONTINUES}"
        return None
