"""Commands that ask a server, with `--server`, and not the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cli.following import telling_of_no_worker
from search.cli.output import print_aside, print_goes_on, print_log
from spaces import SearchError, UsageError

if TYPE_CHECKING:
    from search.client import Client
    from search.database.jobs.job_table import Job
    from search.options.run_options import RunOptions

OF_THE_SERVER = ("home", "storage", "ray_address")
"""Options that a server does not take: they are its own."""


@contextmanager
def server_client(server: str, **options: Any) -> "Iterator[Client]":
    """Open a client of a server. options: of the command; those that a server does not take must not be given."""
    from search.client import Client

    for name in OF_THE_SERVER:
        if options.get(name) is not None:
            raise UsageError(f"`{name}` is that of the server, got one beside `server`; leave it out")
    with Client(server) as client:
        yield client


def plain_options(options: "RunOptions") -> dict[str, Any]:
    """Return the options that were typed, ready for JSON. Paths stay as they are: they are names of the server."""
    from search.options.option import option_info

    values = {
        item.name: getattr(options, item.name)
        for item in fields(options)
        if option_info(item) and getattr(options, item.name) != item.default
    }
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def remote_study(client: "Client", dataset: str | None, study: str | None, flag: str = "--study") -> str:
    """Return the name of the study that a command answers with; say which on standard error, where others fit too.

    flag: names a study.
    """
    found = [] if study is not None and dataset is None else client.studies(dataset)
    if study is not None and dataset is not None and study not in {record["study"] for record in found}:
        raise SearchError(f"the server has no study {study!r} of dataset {dataset!r}")
    if study is not None:
        return study
    if not found:
        raise SearchError(f"the server has no study{'' if dataset is None else f' of dataset {dataset!r}'} yet")
    if dataset is None:
        found = sorted(found, key=lambda record: not record["trials"]["complete"])
    name: str = found[0]["study"]
    if len(found) > 1:
        print_aside(f"study {name} is used, of {len(found)} that fit; {flag} NAME takes another")
    return name


def follow(client: "Client", record: dict[str, Any], server: str) -> dict[str, Any]:
    """Print on standard error what a job prints until it has ended, and return its result.

    Ctrl-C ends the command alone, and a line says so. Raises SearchError where it failed or was cancelled.
    """
    number = record["id"]
    print_aside(
        f"job {number} of study {record['study']} is queued; "
        f"`search jobs cancel {number} --server {server}` ends it, Ctrl-C does not"
    )
    try:
        with telling_of_no_worker(number, *questions(client, number)):
            for kind, value in client.events(number):
                if kind == "log":
                    print_log(value["text"], aside=True)
    except KeyboardInterrupt:
        print_goes_on(number, ["--server", server])
        raise
    ended = client.job(number)
    if ended["state"] != "finished":
        error = f": {ended['error']}" if ended["error"] else ""
        raise SearchError(f"job {number} {'failed' if error else 'was cancelled'}{error}")
    result: dict[str, Any] = ended["result"]
    return result


def questions(client: "Client", job: int) -> tuple[Callable[[], bool], Callable[[], str]]:
    """Return what asks a server whether a worker is alive, and what asks it for the state of a job."""
    return lambda: bool(client.workers()), lambda: client.job(job)["state"]


def remote_job(record: dict[str, Any]) -> "Job":
    """Return the job that a server has described."""
    from search.database.jobs.job_table import Job
    from search.database.jobs.worker_table import Worker

    moments = {name: _moment(record[name]) for name in ("created", "started", "ended")}
    worker = record["worker"]
    if worker is not None:
        created = moments["created"] or datetime.min
        cores, gpus = tuple(worker["cores"]), tuple(worker["gpus"])
        worker = Worker(0, worker["host"], worker["pid"], created, created, None, cores, gpus)
    return Job(**{**record, **moments, "worker": worker})


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
