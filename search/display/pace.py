"""How fast jobs end, and how long the rest will take."""

from dataclasses import dataclass, field

from dashboards.formatting import duration

PACE_ENDS = 20
"""The pace is the mean over this many last ends."""


@dataclass
class Pace:
    """The pace of jobs of which `at_once` run at a time.

    began, ends: seconds of one clock; ends rise.
    """

    began: float = 0.0
    at_once: int = 0
    ends: list[float] = field(default_factory=list)

    @property
    def interval(self) -> float | None:
        """Mean seconds from one end to the next; None until as many jobs have ended as run at once."""
        if not self.ends or len(self.ends) < self.at_once:
            return None
        since = self.ends[-PACE_ENDS - 1] if len(self.ends) > PACE_ENDS else self.began
        return (self.ends[-1] - since) / len(self.ends[-PACE_ENDS:])

    def seconds_left(self, jobs: int, now: float) -> float | None:
        """Return the seconds until this many more jobs have ended; None where nothing tells."""
        interval = self.interval
        if jobs <= 0 or interval is None:
            return None
        return max(jobs * interval - (now - self.ends[-1]), (jobs - 1) * interval)


def time_left(seconds: float | None) -> str:
    """Format "about 3 min 05 s left"; empty where the seconds are not known."""
    if seconds is None:
        return ""
    return f"about {duration(max(round(seconds), 1))} left".replace("\N{NO-BREAK SPACE}", " ")
