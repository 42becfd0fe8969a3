"""Describes what a worker does now, for a row of the live table and for a plain line."""

from dataclasses import dataclass
from datetime import timedelta

from objectives.results import Epoch, Extracted, Rung, Scored
from search.display.fitted_setting import FittedSetting
from search.scheduling.requests import BaselineRequest, FinalRequest, Request, ScreeningRequest, TrialRequest
from spaces import Setting

PIXELS = "raw pixels, linear"

Row = tuple[str, str | FittedSetting, str, str]


@dataclass
class Job:
    """A request that a worker runs.

    slot: the row of the table, from 0. since: the start, in seconds of the monotonic clock. phase: what it does now.
    scored: the settings of a part of the screening that have a score.
    """

    request: Request
    slot: int
    since: float
    phase: str = "starting"
    scored: int = 0

    @property
    def name(self) -> str:
        """The trial's number, the final's seed, "screen" or "baseline"."""
        match self.request:
            case TrialRequest(number):
                return str(number)
            case FinalRequest(_, seed):
                return f"seed {seed}"
            case ScreeningRequest():
                return "screen"
            case BaselineRequest():
                return "baseline"

    @property
    def subject(self) -> str:
        """The setting, the part of the screening, or the pixels."""
        if isinstance(self.request, ScreeningRequest):
            settings = self.request.settings
            return (
                f"{_timesteps(settings[0], 'every block')}: {len(settings)} settings on {self.request.images:,} images"
            )
        return PIXELS if self.request.setting is None else str(self.request.setting)

    @property
    def title(self) -> str:
        """The subject, with the seed of a final."""
        return f"{self.subject} ({self.name})" if isinstance(self.request, FinalRequest) else self.subject

    def update(self, report: Extracted | Scored | Epoch | Rung) -> None:
        """Set the phase from a report of the worker."""
        match report:
            case Epoch(number):
                self.phase = f"epoch {number}"
            case Extracted(done, total, _) if done < total:
                self.phase = f"passes {done:,}/{total:,}"
            case Scored(done, total):
                self.phase, self.scored = f"scored {done:,}/{total:,}", done
            case _:
                self.phase = "scoring" if isinstance(self.request, ScreeningRequest) else "fitting"

    def row(self, now: float) -> Row:
        """Return the job's row of the table. now: seconds of the monotonic clock."""
        request = self.request
        setting = None if isinstance(request, ScreeningRequest) else request.setting
        what = FittedSetting(setting) if setting else self.subject
        return self.name, what, self.phase, str(timedelta(seconds=int(now - self.since)))

    def words(self) -> str:
        """Say what the worker does, e.g. "extracting t 90 (300/1,437)" or "fitting block 9, t 2, pool 4, linear"."""
        request = self.request
        if isinstance(request, BaselineRequest):
            return f"fitting a baseline, {self.subject}"
        first = request.settings[0] if isinstance(request, ScreeningRequest) else request.setting
        if self.phase.startswith("passes "):
            return f"extracting {_timesteps(first, 'features')} ({self.phase.removeprefix('passes ')})"
        match request:
            case ScreeningRequest(settings, _):
                return f"scoring {len(settings)} settings of {_timesteps(first, 'every block')}"
            case FinalRequest(_, seed, test):
                return f"{'testing' if test else 'comparing'} {self.subject} (seed {seed})"
            case TrialRequest():
                verb = "starting" if self.phase == "starting" else "fitting"
                return f"{verb} {self.subject}{f' ({self.phase})' if self.phase.startswith('epoch') else ''}"


def _timesteps(setting: Setting, otherwise: str) -> str:
    """Return the timesteps that a setting reads: "t 90"; other words for a network without timesteps."""
    timesteps = [str(timestep) for timestep in setting.passes if timestep is not None]
    return f"t {', '.join(timesteps)}" if timesteps else otherwise
