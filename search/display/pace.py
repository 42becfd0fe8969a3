"""Measures how fast jobs end, and estimates how long the rest will take."""

from dataclasses import dataclass, field

from dashboards.formatting import duration

PACE_ENDS = 20
"""The pace is the mean over this many last jobs."""


@dataclass
class Pace:
    """The pace of jobs.

    at_once: jobs that run at the same time. began: the start of the first job. ends: the end of each finished job, in
    ascending order. All times are seconds of the same clock.
    """

    began: float = 0.0
    at_once: int = 0
    ends: list[float] = field(default_factory=list)

    @property
    def interval(self) -> float | None:
        """The mean seconds from the end of one job to the next; None until `at_once` jobs have ended."""
        if not self.ends or len(self.ends) < self.at_once:
            return None
        since = self.ends[-PACE_ENDS - 1] if len(self.ends) > PACE_ENDS else self.began
        return (self.ends[-1] - since) / len(self.ends[-PACE_ENDS:])

    def seconds_left(self, jobs: int, now: float) -> float | None:
        """Return the seconds until `jobs` more jobs have ended; None if `jobs` is 0 or the pace is unknown.

        now: seconds of the same clock.
        """
        interval = self.interval
        if jobs <= 0 or interval is None:
            return None
        return max(jobs * interval - (now - self.ends[-1]), (jobs - 1) * interval)


def time_left(seconds: float | None) -> str:
    """Format seconds as "about 3 min 05 s left"; an empty string if they are None."""
    if seconds is None:
        return ""
    return f"about {duration(max(round(seconds), 1))} left".replace("\N{NO-BREAK SPACE}", " ")
