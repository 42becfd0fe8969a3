"""The command `search worker`: runs the jobs of the queue."""

from typing import Annotated

import typer

from search.cli.flags import HomeOption, StorageOption, number_option, parse_names
from search.cli.output import print_lines


def worker(
    gpus: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            parser=parse_names,
            help="Use these GPUs, e.g. 0,1; none for no GPU. [default: all that no other worker has]",
        ),
    ] = None,
    cores: Annotated[
        int | None, number_option(1, "Use this many CPU cores. [default: all that no other worker has]", 4096)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when no job waits, instead of waiting for one.")] = False,
    most_per_owner: Annotated[
        int | None,
        number_option(
            1, "Begin no job of an owner who has this many running, on all workers together. [default: no limit]"
        ),
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Run the jobs of the queue, one at a time.

    The worker goes on until Ctrl-C or SIGTERM. Each job is a process of its own, on the cores and GPUs of this
    worker alone. Start more workers, on any number of machines, to run more jobs at a time. A worker that is asked
    to end gives its job back; if it dies, another worker takes its job.
    """
    from search.queue.worker import WorkerOptions, work

    def say(line: str) -> None:
        print_lines(line)
        # A file or a pipe shows the line at once.
        typer.get_text_stream("stdout").flush()

    chosen = None if gpus is None else [*gpus]
    work(WorkerOptions(home, storage, cores, chosen, once, most_per_owner), say)
