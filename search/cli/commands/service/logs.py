"""The command `search logs`: what the process of a job printed."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Annotated

import typer

from search.cli.commands.service.jobs import JobArgument
from search.cli.flags import HomeOption, ServerOption, StorageOption
from search.cli.following import telling_of_no_worker
from search.cli.output import print_goes_on, print_log
from search.cli.remote import questions, server_client

FOLLOW_SECONDS = 0.5


def logs(
    job: JobArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines until the job has ended or is paused.")
    ] = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Print the log of a job.

    The log has the last 64,000 characters that the process of the job printed. Ctrl-C ends the command, not the job.
    With -f a line on standard error says so when the job waits and no worker is alive.
    """
    try:
        if server is not None:
            with (
                server_client(server, home=home, storage=storage) as client,
                telling_of_no_worker(job, *questions(client, job)) if follow else nullcontext(),
            ):
                for text in client.logs(job, follow):
                    print_log(text)
        else:
            for text in _parts(job, follow, home, storage):
                print_log(text)
    except KeyboardInterrupt:
        if follow:
            from search.commands import home_words

            print_goes_on(job, home_words(home, storage) if server is None else ["--server", server])
        raise


def _parts(job: int, follow: bool, home: str | None, storage: str | None) -> Iterator[str]:
    """Yield the log of a job of a database, in parts. follow: until the job has ended or is paused."""
    from objectives.home import Home
    from search.commands import home_words
    from search.database.jobs.job_table import JobTable
    from search.database.jobs.worker_table import WorkerTable
    from search.database.store import Store

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        jobs, workers, offset = JobTable(store), WorkerTable(store), 0
        words = home_words(home, storage)
        asked = (lambda: bool(workers.live()), lambda: jobs.job(job).state)
        with telling_of_no_worker(job, *asked, words) if follow else nullcontext():
            while True:
                has_ended = jobs.job(job).state not in ("queued", "running")
                text, offset = jobs.log(job, offset)
                yield text
                if has_ended or not follow:
                    return
                time.sleep(FOLLOW_SECONDS)
