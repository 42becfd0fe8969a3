"""The commands `search jobs`: list the queue; cancel, pause and resume jobs; change their priority."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, JsonOption, ServerOption, StorageOption, number_parser
from search.cli.output import print_aside, print_json, print_lines
from search.cli.remote import remote_job, server_client
from spaces import SearchError

if TYPE_CHECKING:
    from search.client import Client
    from search.database.jobs.job_table import Job, JobTable

MOST_JOB = 2**31 - 1

MOST_LISTED = 500
"""Jobs of each kind that a server lists."""

SHOWN = 10
"""Ended jobs that the list has without --all, the newest ones."""

JobArgument = Annotated[
    int, typer.Argument(parser=number_parser(1, MOST_JOB), metavar="JOB", help="The number of a job in `search jobs`.")
]
JobArguments = Annotated[
    list[int],
    typer.Argument(parser=number_parser(1, MOST_JOB), metavar="JOB...", help="Numbers of jobs in `search jobs`."),
]

Action = Literal["cancel", "pause", "resume"]

ACTIONS: dict[Action, str] = {
    "cancel": "End jobs. What a running job has finished is kept in its study.",
    "pause": "Let jobs wait until `search jobs resume`. A running one ends in good order and keeps what it has "
    "finished.",
    "resume": "Queue jobs again that are paused, failed or cancelled. They continue where they were.",
}
"""The commands that do the same with each of their jobs → their help."""

app = typer.Typer(help="List the jobs of the queue, cancel or pause them.")


@app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    all_jobs: Annotated[bool, typer.Option("--all", help="Also list all jobs that have ended.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """List jobs: those that run, those that wait in their order, the paused ones, and the last ones that ended."""
    from search.database.jobs.job_table import ENDED, JobTable
    from search.database.jobs.worker_table import WorkerTable
    from search.database.store import Store

    if context.invoked_subcommand is not None:
        context.obj = (home, storage, server)
        return
    if server is not None:
        with server_client(server, home=home, storage=storage) as client:
            listed = [remote_job(record) for record in client.jobs(["running", "queued", "paused"], limit=MOST_LISTED)]
            ended = [remote_job(r) for r in client.jobs(ENDED, limit=MOST_LISTED if all_jobs else SHOWN + 1)]
            cores_of_workers = [len(worker["cores"]) for worker in client.workers()]
        _print_jobs(listed, ended, cores_of_workers, all_jobs, as_json)
        return
    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        table = JobTable(store)
        listed = table.jobs(["running", "queued", "paused"])
        ended = table.jobs(ENDED, limit=None if all_jobs else SHOWN + 1)
        workers = WorkerTable(store).live()
    _print_jobs(listed, ended, [len(worker.cores) for worker in workers], all_jobs, as_json)


def _print_jobs(
    listed: "list[Job]", ended: "list[Job]", cores_of_workers: Sequence[int], all_jobs: bool, as_json: bool
) -> None:
    from dashboards.formatting import count

    listed = listed + (ended if all_jobs else ended[:SHOWN])
    if as_json:
        print_json([_record(job) for job in listed])
        return
    _print_table(listed)
    if not all_jobs and len(ended) > SHOWN:
        print_lines("more jobs have ended; --all lists them too")
    alive = f"{count(len(cores_of_workers), 'worker')} with {count(sum(cores_of_workers), 'core')}"
    print_lines(alive if cores_of_workers else "no worker is alive; `search worker` starts one")


def _add_command(action: Action) -> None:
    """Add a command of `ACTIONS` to the command line."""

    def act(table: "JobTable", job: int) -> "Job":
        return table.resume(job) if action == "resume" else table.request(job, action)

    def act_remotely(client: "Client", job: int) -> dict[str, Any]:
        return {"cancel": client.cancel, "pause": client.pause, "resume": client.resume}[action](job)

    @app.command(action, help=ACTIONS[action])
    def command(
        context: typer.Context,
        jobs: JobArguments,
        home: HomeOption = None,
        storage: StorageOption = None,
        server: ServerOption = None,
    ) -> None:
        _act(_Place.of(context, home, storage, server), jobs, act, act_remotely)


for name in ACTIONS:
    _add_command(name)


@app.command()
def priority(
    context: typer.Context,
    job: JobArgument,
    value: Annotated[
        int,
        typer.Argument(
            parser=number_parser(-1_000_000, 1_000_000),
            metavar="N",
            help="Jobs of a higher priority come first. Write -- before a negative number.",
        ),
    ],
    home: HomeOption = None,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Change the priority of a job."""
    _act(
        _Place.of(context, home, storage, server),
        [job],
        lambda table, number: table.set_priority(number, value),
        lambda client, number: client.set_priority(number, value),
    )


@contextmanager
def open_jobs(home: str | None, storage: str | None) -> "Iterator[JobTable]":
    """Open the queue of a database."""
    from search.database.jobs.job_table import JobTable
    from search.database.store import Store

    with Store.open(storage or Home.at(home).storage) as store:
        yield JobTable(store)


class _Place(NamedTuple):
    """Where the jobs of a command are. The options may stand before the subcommand too."""

    home: str | None
    storage: str | None
    server: str | None

    @classmethod
    def of(cls, context: typer.Context, *typed: str | None) -> "_Place":
        return cls(*(after or before for after, before in zip(typed, context.obj or (None, None, None), strict=True)))


def _act(
    place: _Place,
    numbers: Sequence[int],
    act: "Callable[[JobTable, int], Job]",
    act_remotely: "Callable[[Client, int], dict[str, Any]]",
) -> None:
    """Do something with each job, and print what it is then."""
    if place.server is not None:
        with server_client(place.server, home=place.home, storage=place.storage) as client:
            _act_on_each(numbers, lambda number: remote_job(act_remotely(client, number)))
        return
    with open_jobs(place.home, place.storage) as table:
        _act_on_each(numbers, lambda number: act(table, number))


def _act_on_each(numbers: Sequence[int], act: "Callable[[int], Job]") -> None:
    """Do something with every job that allows it, and print an error for each other one; then the exit code is 1."""
    from search.database.connection.outages import UnusableError

    failed = False
    for number in numbers:
        try:
            job = act(number)
        except UnusableError:
            raise
        except SearchError as error:
            if len(numbers) == 1:
                raise
            print_aside(f"error: {error}")
            failed = True
        else:
            print_lines(_state_line(job))
    if failed:
        raise typer.Exit(1)


def _state_line(job: "Job") -> str:
    asked = {"cancel": ", and is being cancelled", "pause": ", and is being paused"}.get(job.request or "", "")
    priority = f", priority {job.priority}" if job.priority else ""
    return f"job {job.id}: {job.state}{asked}{priority}"


def _print_table(jobs: "Sequence[Job]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column

    from search.display.text import PlainTable, print_table
    from search.queue.description import progress_text, since_text

    if not jobs:
        print_lines("no jobs yet; `search submit --dataset digits --trials 40` queues one")
        return
    job_column, priority_column = (Column(name, justify="right") for name in ("job", "priority"))
    names = (job_column, "state", "owner", priority_column, Column("study", overflow="fold"), "for", "progress")
    table = PlainTable(*names, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for job in jobs:
        what = job.study or str(job.options.get("name") or job.options.get("dataset", ""))
        table.add_row(str(job.id), job.state, job.owner, str(job.priority), what, since_text(job), progress_text(job))
    print_table(table)


def _record(job: "Job") -> dict[str, Any]:
    """Return a job as JSON-ready values."""
    worker = job.worker
    return {
        "job": job.id,
        "kind": job.kind,
        "state": job.state,
        "request": job.request,
        "owner": job.owner,
        "priority": job.priority,
        "options": dict(job.options),
        "study": job.study,
        "progress": job.progress,
        "error": job.error,
        "attempts": job.attempts,
        "created": job.created.isoformat(),
        "started": job.started and job.started.isoformat(),
        "ended": job.ended and job.ended.isoformat(),
        "worker": worker
        and {"host": worker.host, "pid": worker.pid, "cores": list(worker.cores), "gpus": list(worker.gpus)},
    }
