"""Limits how often a caller may ask, by token buckets."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CALLERS = 10_000
"""Callers that are remembered. One that was forgotten begins with a full bucket."""


class Rates:
    """A bucket of requests for each caller. It fills at a steady rate, and each request takes one out.

    rate: requests a second. burst: requests that a full bucket holds. clock: returns seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take one request out of a bucket. Return 0, or the seconds after which there is one where it is empty."""
        level, moment = self._level(caller)
        if level < 1:
            return (1 - level) / self._rate
        self._buckets[caller] = level - 1, moment
        self._buckets.move_to_end(caller)
        while len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0

    def _level(self, caller: str) -> tuple[float, float]:
        moment = self._clock()
        level, filled = self._buckets.get(caller, (self._burst, moment))
        return min(self._burst, level + (moment - filled) * self._rate), moment
