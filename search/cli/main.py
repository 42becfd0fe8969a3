"""The command line as a whole. Commands import what is heavy inside, so that `search --help` answers at once."""

import os
import sys
from io import TextIOWrapper

import typer

from search.cli.commands import backbones, cache, datasets
from search.cli.commands.best import best
from search.cli.commands.cka import cka
from search.cli.commands.classify import classify
from search.cli.commands.compare import compare
from search.cli.commands.dashboard import dashboard
from search.cli.commands.export import export
from search.cli.commands.recommend import recommend
from search.cli.commands.report import report
from search.cli.commands.run import run
from search.cli.commands.status import status
from search.cli.flags import with_flags
from search.display.downloads import showing_downloads
from spaces import SearchError
from spaces.text import one_line

app = typer.Typer(
    help="Find the block, timestep, pooling and head at which a diffusion U-Net's features classify your images best.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (run, recommend, best, status, compare, report, cka, export, classify, dashboard):
    app.command()(command)
for room in (datasets, backbones, cache):
    app.add_typer(room.app, name=room.__name__.rpartition(".")[2])


def main() -> None:
    """Run the command that was typed. Exit codes: 0 done, 1 an error in words, 2 usage, 130 interrupted."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not spin; torch reads it when it loads
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what the terminal cannot show is printed as an escape such as \u2026
            stream.reconfigure(errors="backslashreplace")
    try:
        with showing_downloads():
            code = app(standalone_mode=False)
    except SearchError as error:
        _print_error(with_flags(str(error), typer.main.get_command(app)))
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # `search` without a command prints its help
            typer.echo(message)
        else:
            _print_error(message)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(message: str) -> None:
    """Print an error as one line."""
    typer.echo(f"error: {one_line(message)}", err=True)


if __name__ == "__main__":
    main()
