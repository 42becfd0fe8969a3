"""The command line, which also notes in a file the kind of each event that it shows.

python -m tests.support.noting_command WORDS, with the variable EVENTS_FILE.
"""

import os
from pathlib import Path

from search.cli.main import main
from search.display.run_display import RunDisplay
from search.events import Event

VARIABLE = "EVENTS_FILE"

show = RunDisplay.__call__


def note(display: RunDisplay, event: Event) -> None:
    with Path(os.environ[VARIABLE]).open("a") as file:
        file.write(f"{type(event).__name__}\n")
    show(display, event)


if __name__ == "__main__":
    RunDisplay.__call__ = note  # type: ignore[method-assign,assignment]
    main()
