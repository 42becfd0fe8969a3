"""The command `search submit`: puts a search into the queue."""

from typing import Annotated

import typer

from search.cli.commands.service.jobs import MOST_LISTED
from search.cli.flags import ServerOption, number_parser, with_run_options
from search.cli.output import print_lines
from search.cli.remote import OF_THE_SERVER, plain_options, remote_job, server_client
from search.options.run_options import RunOptions


@with_run_options()
def submit(
    options: RunOptions,
    priority: Annotated[
        int,
        typer.Option(
            parser=number_parser(-1_000_000, 1_000_000),
            metavar="N",
            help="Jobs of a higher priority come first; of the same, the one submitted first.",
        ),
    ] = 0,
    server: ServerOption = None,
) -> None:
    """Put a search into the queue, for a worker to run.

    It takes the options of `search run`, checks them, and prints the number of the job. The job keeps absolute paths of
    this machine, which the workers must see too. It keeps no password.
    """
    from search.commands import home_words
    from search.queue.description import place_lines

    if server is not None:
        places = {name: getattr(options, name) for name in OF_THE_SERVER}
        with server_client(server, **places) as client:
            job = remote_job(client.submit(**plain_options(options), priority=priority))
            jobs = [remote_job(record) for record in client.jobs(["running", "queued"], limit=MOST_LISTED)]
            if len(jobs) == MOST_LISTED:  # then the new one may not be listed, and is after them
                jobs.append(job)
            has_worker = bool(client.workers())
        print_lines(*place_lines(job, jobs, has_worker, ["--server", server], remote=True))
        return
    from search.database.jobs.job_table import JobTable
    from search.database.jobs.worker_table import WorkerTable
    from search.database.store import Store
    from search.queue import submission

    job = submission.submit(options, priority=priority)
    with Store.open(options.database) as store:
        jobs, has_worker = JobTable(store).jobs(["running", "queued"]), bool(WorkerTable(store).live())
    print_lines(*place_lines(job, jobs, has_worker, home_words(options.home, options.storage), remote=False))
