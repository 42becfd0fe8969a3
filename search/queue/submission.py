"""Submits a search to the queue, and makes its options again for the worker."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from search.checks import check
from search.database.jobs.job_table import MOST_PRIORITY, Job, JobKind, JobTable
from search.database.store import Store
from search.options.option import check_number, option_info
from search.options.run_options import RunOptions
from search.options.sets import SCREENING_OPTIONS
from spaces import UsageError, check_name

OF_WORKER = ("home", "storage")
"""Options that a job does not have: the worker runs it in its own home folder and its own database."""

LIMITS = ("passes", "budget", "memory")
"""Further options of a job that recommends a setting, as of `search.recommend`."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The options of a job. limits: those of `LIMITS` that are not their defaults."""

    options: RunOptions
    limits: Mapping[str, Any]


def login_name() -> str:
    """Return the name of the user of this process, who owns the jobs that it submits."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        return "unknown"


def submit(
    options: RunOptions,
    kind: JobKind = "run",
    owner: str | None = None,
    priority: int = 0,
    database: str | Path | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Job:
    """Check a search, add it to the queue of a database, and return the job.

    owner: None for the user of this process. database: None for that of the options. limits: of a job that recommends a
    setting, see `LIMITS`. The checks are those that `search run` makes before it reads an image, without those of this
    machine's cores and GPUs: the worker has its own. Raises SearchError in words; then nothing is queued.
    """
    check(options, this_machine=False)
    options.check_finals()
    check_number("priority", priority, -MOST_PRIORITY, MOST_PRIORITY)
    content = job_record(options, kind, limits or {})
    with Store.open(options.database if database is None else database) as store:
        jobs = JobTable(store)
        return jobs.job(jobs.submit(kind, content, owner or login_name(), priority))


def job_record(options: RunOptions, kind: JobKind, limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a job that are not their defaults, ready for JSON. Paths are absolute.

    Raises UsageError for an option that may hold a password, and for one that the kind of job does not have.
    """
    absolute, record = options.absolute(), dict[str, Any]()
    for item in fields(RunOptions):
        info, value = option_info(item), getattr(absolute, item.name)
        if info is None or item.name in OF_WORKER or value == item.default:
            continue
        if info.secret:
            raise UsageError(f"`{item.name}` may hold a password, which no job keeps; leave it out")
        if kind == "recommend" and item.name not in SCREENING_OPTIONS:
            check_name("option of a recommendation", item.name, SCREENING_OPTIONS)
        record[item.name] = str(Path(value).absolute()) if _is_space_file(item.name, value) else _plain(value)
    for name, value in limits.items():
        check_name("limit", name, LIMITS if kind == "recommend" else ())
        record[name] = value
    return record


def job_options(job_record: Mapping[str, Any], home: str | Path | None, storage: str | None) -> JobOptions:
    """Return the options of a job in the home folder and the database of a worker.

    Raises UnknownNameError for an option of a newer version.
    """
    limits = {name: job_record[name] for name in LIMITS if name in job_record}
    values = {name: value for name, value in job_record.items() if name not in limits}
    return JobOptions(RunOptions.of(**values, home=home, storage=storage), limits)


def _is_space_file(name: str, value: Any) -> bool:
    return name == "space" and str(value).endswith(".toml")


def _plain(value: Any) -> Any:
    """Return a value of an option as JSON has it."""
    if isinstance(value, (str, bool, int, float)):
        return value
    return str(value) if isinstance(value, Path) else [*value]
