"""The command `search run`: searches for the best setting for a dataset."""

import time

from search.cli.flags import with_run_options
from search.cli.output import print_lines
from search.options.run_options import RunOptions


def process_began() -> float:
    """Return when this process began, of the monotonic clock."""
    import psutil

    return time.monotonic() - (time.time() - psutil.Process().create_time())


@with_run_options()
def run(options: RunOptions) -> None:
    """Search for the best setting for a dataset.

    The same command continues a study that was interrupted, or that needs more trials.
    """
    from rich.console import Console

    from dashboards.study.commands import export_command
    from search.display.run_display import RunDisplay
    from search.display.text import print_plain
    from search.events import Event, RunFinished
    from search.reports.answer import answer_lines
    from search.running import process

    console, finished = Console(soft_wrap=True), list[RunFinished]()

    def on_event(event: Event) -> None:
        display(event)
        if isinstance(event, RunFinished):
            finished.append(event)

    try:
        with RunDisplay(console) as display:
            results = process.run(options, on_event, process_began())
    except KeyboardInterrupt:
        print_lines("interrupted: every finished trial is kept; type the same command again to continue")
        raise
    has_answer = results.complete or results.finals
    longer = " with a longer --for" if options.time_limit is not None else ""
    lines = [
        *(answer_lines(results) if has_answer else [f"no trial is complete; the same command again{longer} continues"]),
        f"report      {finished[0].report}",
        *([f"use it      {export_command(results)}"] if has_answer else []),
    ]
    print_plain(console, *lines)
