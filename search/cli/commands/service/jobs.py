"""The commands `search jobs`: list the queue; cancel, pause and resume jobs; change their priority."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, JsonOption, StorageOption, number_parser
from search.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from search.database.jobs.job_table import Job, JobTable

MOST_JOB = 2**31 - 1

SHOWN = 10
"""Ended jobs that the list has without --all, the newest ones."""

JobArgument = Annotated[
    int, typer.Argument(parser=number_parser(1, MOST_JOB), metavar="JOB", help="The number of a job in `search jobs`.")
]
JobArguments = Annotated[
    list[int],
    typer.Argument(parser=number_parser(1, MOST_JOB), metavar="JOB...", help="Numbers of jobs in `search jobs`."),
]

app = typer.Typer(help="List the jobs of the queue; cancel, pause or resume them, or change their priority.")


@app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    all_jobs: Annotated[bool, typer.Option("--all", help="List all jobs that have ended too.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """List jobs: those that run, those that wait in their order, the paused ones, and the last ones that ended."""
    from search.database.jobs.job_table import ENDED, JobTable
    from search.database.jobs.worker_table import WorkerTable
    from search.database.store import Store

    if context.invoked_subcommand is not None:
        context.obj = (home, storage)
        return
    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        table = JobTable(store)
        listed = table.jobs(["running", "queued", "paused"])
        ended = table.jobs(ENDED, limit=None if all_jobs else SHOWN + 1)
        workers = WorkerTable(store).live()
    listed += ended if all_jobs else ended[:SHOWN]
    if as_json:
        print_json([_record(job) for job in listed])
        return
    _print_table(listed)
    if not all_jobs and len(ended) > SHOWN:
        print_lines("earlier ones have ended; --all lists them too")
    cores = sum(len(worker.cores) for worker in workers)
    print_lines(
        f"{len(workers)} worker{'' if len(workers) == 1 else 's'} with {cores} cores"
        if workers
        else "no worker is alive; `search worker` starts one"
    )


@app.command()
def cancel(context: typer.Context, jobs: JobArguments, home: HomeOption = None, storage: StorageOption = None) -> None:
    """End jobs for good. What a running job has finished is kept in its study."""
    _act(context, home, storage, jobs, lambda table, job: table.request(job, "cancel"))


@app.command()
def pause(context: typer.Context, jobs: JobArguments, home: HomeOption = None, storage: StorageOption = None) -> None:
    """Let jobs wait until `search jobs resume`. A running one ends in good order and keeps what it has finished."""
    _act(context, home, storage, jobs, lambda table, job: table.request(job, "pause"))


@app.command()
def resume(context: typer.Context, jobs: JobArguments, home: HomeOption = None, storage: StorageOption = None) -> None:
    """Queue jobs again that are paused, failed or cancelled. They continue where they were."""
    _act(context, home, storage, jobs, lambda table, job: table.resume(job))


@app.command()
def priority(
    context: typer.Context,
    job: JobArgument,
    value: Annotated[
        int,
        typer.Argument(
            parser=number_parser(-1_000_000, 1_000_000),
            metavar="N",
            help="Jobs of a higher priority come first. Write -- before a negative one.",
        ),
    ],
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Change the priority of a job."""
    _act(context, home, storage, [job], lambda table, number: table.set_priority(number, value))


@contextmanager
def open_jobs(home: str | None, storage: str | None) -> "Iterator[JobTable]":
    """Open the queue of a database."""
    from search.database.jobs.job_table import JobTable
    from search.database.store import Store

    with Store.open(storage or Home.at(home).storage) as store:
        yield JobTable(store)


def _act(
    context: typer.Context,
    home: str | None,
    storage: str | None,
    numbers: Sequence[int],
    act: "Callable[[JobTable, int], Job]",
) -> None:
    """Do something with each job, and print what it is then. The home folder may stand before the subcommand too."""
    before = context.obj or (None, None)
    with open_jobs(home or before[0], storage or before[1]) as table:
        for number in numbers:
            print_lines(_state_line(act(table, number)))


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
