"""The command `search submit`: puts a search into the queue."""

from typing import Annotated

import typer

from search.cli.flags import number_parser, with_run_options
from search.cli.output import print_lines
from search.options import RunOptions


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
) -> None:
    """Put a search into the queue, for a worker to run.

    It takes the options of `search run`, checks them, and prints the number of the job. The job keeps absolute paths of
    this machine, which the workers must see too. It keeps no password.
    """
    from search.commands import home_words
    from search.database.jobs.job_table import JobTable
    from search.database.jobs.worker_table import WorkerTable
    from search.database.store import Store
    from search.queue import submission
    from search.queue.description import place_lines

    job = submission.submit(options, priority=priority)
    with Store.open(options.database) as store:
        waiting = JobTable(store).jobs(["running", "queued"])
        workers = WorkerTable(store).live()
    before = waiting[: [other.id for other in waiting].index(job.id)] if job in waiting else []
    print_lines(*place_lines(job, before, workers, home_words(options.home, options.storage)))
