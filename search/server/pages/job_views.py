"""Jobs, workers and places of the queue as pages show them. Plain functions of plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from dashboards.formatting import features_text
from objectives.results import ACCURACY
from search.database.jobs.job_table import ENDED, Job, JobKind, JobState
from search.database.jobs.worker_table import Worker
from search.queue.description import is_study_paused, progress_text, since_text
from search.server.access.identity import Caller
from search.server.api.models import JobRecord
from spaces import Setting

STEPS = 4
"""Steps of the progress of a job that a screen reader is told. Each trial would be too many."""

BEFORE_TRIALS = ("preparing", "starting", "screening")
AFTER_TRIALS = ("comparison", "test", "baselines", "report")
"""Stages of a search, as `search.queue.progress` names them."""

KINDS: Mapping[JobKind, str] = {
    "run": "a search",
    "recommend": "a recommendation",
    "export": "the export of a classifier",
    "try": "settings to try",
}
"""Kind of a job → what it is, in words."""

SPANS: Mapping[JobState, str] = {
    "queued": "for {}",
    "running": "for {}",
    "paused": "submitted {} ago",
    "finished": "in {}",
    "failed": "after {}",
    "cancelled": "after {}",
}
"""State of a job → what its time means, as words after the state."""

ACTIONS: Mapping[JobState, tuple[str, ...]] = {
    "queued": ("pause", "cancel", "priority"),
    "paused": ("resume", "cancel", "priority"),
    "failed": ("resume",),
    "cancelled": ("resume",),
    "finished": (),
}
"""State of a job that does not run → what may be done with it."""


@dataclass(frozen=True)
class JobView:
    """A job of the queue.

    kind: what it is, in words. title: its study, or what it is to search. progress: how far it is, or why it failed.
    fraction: of its trials, in [0, 1]; None where that is not known. span: for how long it has been in its state, as
    words after the state. is_search: whether the form can submit another one like it. classifier: the name of the one
    that it has exported. options: name → value, without defaults. actions: what the caller may do with it. spoken: its
    state and progress, in few steps.
    """

    id: int
    kind: str
    title: str
    state: JobState
    owner: str
    priority: int
    progress: str
    fraction: float | None
    span: str
    study: str | None
    is_search: bool
    classifier: str | None
    error: str | None
    attempts: int
    created: datetime
    worker: str | None
    options: Mapping[str, str]
    actions: tuple[str, ...]
    spoken: str

    @property
    def has_ended(self) -> bool:
        """Whether no worker takes it up again by itself."""
        return self.state in ENDED


@dataclass(frozen=True)
class WorkerView:
    """A worker that is alive. job: the number of the job that it runs."""

    host: str
    pid: int
    has: str
    since: datetime
    job: int | None


@dataclass(frozen=True)
class QueueView:
    """All that the first page shows. command: starts a worker."""

    running: tuple[JobView, ...]
    waiting: tuple[JobView, ...]
    paused: tuple[JobView, ...]
    ended: tuple[JobView, ...]
    workers: tuple[WorkerView, ...]
    command: str

    @property
    def spoken(self) -> str:
        """The counts, for a screen reader."""
        parts = [f"{len(self.running)} running", f"{len(self.waiting)} waiting"]
        return ", ".join([*parts, *(view.spoken for view in self.running)])


def job_view(job: Job, roots: Mapping[str, Path], caller: Caller | None) -> JobView:
    """Return what a page shows of a job. roots: as of the server's settings."""
    record = JobRecord.of(job, roots)
    options = {name: option_text(value) for name, value in record.options.items()}
    fraction = _fraction(job)
    unit = (job.progress or {}).get("unit") or "trials"
    step = "" if fraction is None else f", {int(STEPS * fraction) * 100 // STEPS} % of its {unit}"
    stage = (job.progress or {}).get("stage", "starting") if job.state == "running" else job.state
    return JobView(
        id=job.id,
        kind=KINDS[job.kind],
        title=job.study or options.get("name") or options.get("dataset", f"job {job.id}"),
        state=job.state,
        owner=job.owner,
        priority=job.priority,
        progress=progress_text(job),
        fraction=fraction,
        span=SPANS[job.state].format(since_text(job)),
        study=job.study,
        is_search=job.kind in ("run", "recommend"),
        classifier=job.study if (job.kind, job.state) == ("export", "finished") else None,
        error=job.error,
        attempts=job.attempts,
        created=job.created,
        worker=None if job.worker is None else f"process {job.worker.pid} on {job.worker.host}",
        options=options,
        actions=actions(job, caller),
        spoken=f"job {job.id}: {stage}{step}",
    )


def actions(job: Job, caller: Caller | None) -> tuple[str, ...]:
    """Return what a caller may do with a job: its own, or any for an admin."""
    if caller is None or not caller.may("runner") or not (caller.may("admin") or caller.name == job.owner):
        return ()
    if job.state == "running":
        if job.request is None and is_study_paused(job):
            return "resume", "cancel"
        return {"cancel": (), "pause": ("resume", "cancel"), None: ("pause", "cancel")}[job.request]
    return ACTIONS[job.state]


def queue_view(
    jobs: Sequence[Job],
    ended: Sequence[Job],
    workers: Sequence[Worker],
    command: str,
    roots: Mapping[str, Path],
    caller: Caller | None,
) -> QueueView:
    """Return what the first page shows. jobs: those that have not ended, in their order. ended: the newest first."""
    views = [job_view(job, roots, caller) for job in jobs]
    running = {job.worker.id: job.id for job in jobs if job.state == "running" and job.worker is not None}

    def in_state(state: JobState) -> tuple[JobView, ...]:
        return tuple(view for view in views if view.state == state)

    return QueueView(
        in_state("running"),
        in_state("queued"),
        in_state("paused"),
        tuple(job_view(job, roots, caller) for job in ended),
        tuple(worker_view(worker, running.get(worker.id)) for worker in workers),
        command,
    )


def worker_view(worker: Worker, job: int | None) -> WorkerView:
    """Return what a page shows of a worker. job: the number of the one that it runs."""
    cores = f"{len(worker.cores)} core{'' if len(worker.cores) == 1 else 's'}"
    gpus = f", GPU {', '.join(worker.gpus)}" if worker.gpus else ""
    return WorkerView(worker.host, worker.pid, cores + gpus, worker.started, job)


def option_text(value: Any) -> str:
    """Return a value of an option as a person types it: `[4, 13, 14, 15]` → "4,13-15"; True → "yes".

    Settings are parted by semicolons, since each has commas.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, list | tuple):
        return str(value)
    if not value or not all(isinstance(number, int) for number in value):
        texts = [str(item) for item in value]
        return ("; " if any("," in text for text in texts) else ",").join(texts)
    runs = [[*run] for _, run in groupby(enumerate(sorted(set(value))), lambda pair: pair[1] - pair[0])]
    return ",".join(
        f"{run[0][1]}-{run[-1][1]}" if len(run) > 2 else ",".join(str(number) for _, number in run) for run in runs
    )


def _fraction(job: Job) -> float | None:
    """Return how many of its trials a job has, in [0, 1]; None where that is not known."""
    progress = job.progress or {}
    stage = progress.get("stage") if job.state == "running" else None  # that of a job that has stopped is over
    if job.state == "finished" or stage in AFTER_TRIALS:
        return 1.0
    if not progress.get("trials") or stage in BEFORE_TRIALS:
        return None
    return min(float(progress.get("finished", 0)) / float(progress["trials"]), 1.0)


def recommendation_facts(result: Mapping[str, Any]) -> tuple[tuple[str, list[str]], ...]:
    """Return what a job recommends, as (label, paragraphs). result: as `search recommend --json` prints it."""
    low, high = map(ACCURACY.number, result["interval"])
    expected = f"{ACCURACY.text(result['accuracy'])}  (95 % interval {low} to {high})"
    if not result.get("better_than_chance"):
        return ("setting", ["none: no setting is better than chance"]), ("accuracy", [expected])
    setting = features_text(Setting.from_dict({**result["setting"], "head": "linear"}))
    return ("setting", [setting]), ("accuracy", [expected])
