"""Describes jobs in words, for people."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from dashboards.formatting import count, duration
from objectives.results import METRICS
from search.database.jobs.job_table import Job

NAMED = 5
"""Jobs that a line names; it counts the others."""


def place_lines(job: Job, jobs: Sequence[Job], has_worker: bool, words: Sequence[str], remote: bool) -> list[str]:
    """Say the number of a new job, what comes before it, and how to follow it.

    jobs: those that run or wait, in their order. has_worker: whether a worker is alive. words: of a command line that
    name the home folder and the database; or, where the job is remote, the server, which no worker needs.
    """
    before = jobs[: jobs.index(job)] if job in jobs else []
    running = [other for other in before if other.state == "running"]
    waiting = [other for other in before if other.state == "queued"]
    lines = [f"job {job.id} is queued: {count(len(running), 'job')} running, {count(len(waiting), 'job')} before it"]
    lines += [f"  {_short(other)}" for other in [*running, *waiting][:NAMED]]
    if len(before) > NAMED:
        lines.append(f"  and {len(before) - NAMED} more; `{_command('jobs', words)}` lists all")
    if not has_worker:
        lines.append(no_worker_line("it", [] if remote else words))
    return [*lines, f"`{_command('logs', [str(job.id), '-f', *words])}` follows it"]


def no_worker_line(waiting: str, words: Sequence[str]) -> str:
    """Say that no worker is alive, and how to start one. waiting: what waits for it. words: as of `place_lines`."""
    return f"no worker is alive, so that {waiting} waits; `{_command('worker', words)}` starts one"


def progress_text(job: Job) -> str:
    """Return how far a job is, or how it ended, in words."""
    if job.state == "failed":
        return job.error or "failed"
    progress = job.progress or {}
    parts = [words for kind, words in (("export", "classifier"), ("try", "settings to try")) if kind == job.kind]
    if job.state == "running":
        asked = {"cancel": "is being cancelled", "pause": "is being paused"}.get(job.request or "")
        stage = "paused by `search pause`" if is_study_paused(job) else progress.get("stage") or "starting"
        parts.append(asked or stage)
    if progress.get("trials"):
        parts.append(f"{progress['finished']} of {progress['trials']} {progress.get('unit') or 'trials'}")
    metric = METRICS.get(progress.get("metric") or "")
    if metric is not None and progress.get("best") is not None:
        parts.append(f"best {metric.text(progress['best'])}")
    if job.state == "running" and progress.get("seconds_left") is not None:
        parts.append(f"{duration(progress['seconds_left'])} left")
    return ", ".join(parts)


def is_study_paused(job: Job) -> bool:
    """Return whether a job runs whose study a person paused, so that it begins nothing."""
    return job.state == "running" and (job.progress or {}).get("stage") == "paused"


def since_text(job: Job, now: datetime | None = None) -> str:
    """Return for how long a job has waited or run, or how long it took."""
    moment = now or datetime.now(UTC)
    match job.state:
        case "running":
            begin, end = job.started or moment, moment
        case "finished" | "failed" | "cancelled" if job.started is not None:
            begin, end = job.started, job.ended or moment
        case _:
            begin, end = job.created, job.ended or moment
    return duration(max((end - begin).total_seconds(), 0.0))


def _short(job: Job) -> str:
    facts = [job.state, f"of {job.owner}", f"priority {job.priority}" if job.priority else "", progress_text(job)]
    return f"job {job.id}: {', '.join(filter(None, facts))}"


def _command(name: str, words: Sequence[str]) -> str:
    return shlex.join(["search", name, *words])
