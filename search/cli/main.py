"""The command line as a whole. Commands import what is heavy inside, so that `search --help` answers at once."""

import errno
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path

import typer

from search.cli.commands import backbones, cache, datasets
from search.cli.commands.best import best
from search.cli.commands.cka import cka
from search.cli.commands.classify import classify
from search.cli.commands.compare import compare
from search.cli.commands.control.delete import delete
from search.cli.commands.control.rename import rename
from search.cli.commands.control.stop import pause, resume, stop
from search.cli.commands.control.try_settings import try_settings
from search.cli.commands.dashboard import dashboard
from search.cli.commands.export import export
from search.cli.commands.recommend import recommend
from search.cli.commands.report import report
from search.cli.commands.run import run
from search.cli.commands.service import jobs, token
from search.cli.commands.service.logs import logs
from search.cli.commands.service.serve import serve
from search.cli.commands.service.submit import submit
from search.cli.commands.service.worker import worker
from search.cli.commands.status import status
from search.cli.flags import with_flags
from search.cli.output import OutputError, discard_output, open_standard_output
from search.cli.typed_passwords import advice, check_passwords, hide_passwords
from search.display.downloads import showing_downloads
from search.scheduling.signals import exit_code, interrupt_at_signals, is_asked_to_end
from spaces import SearchError, UsageError
from spaces.errors import shown
from spaces.text import one_line

INTERRUPTED = 130
"""The exit code that typer returns after a KeyboardInterrupt."""

app = typer.Typer(
    help="Find the block, timestep, pooling and head at which a diffusion network's features classify your images "
    "best.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (run, recommend, best, status, compare, report, cka, export, classify, dashboard):
    app.command()(command)
for command in (stop, pause, resume, delete, rename):
    app.command()(command)
app.command("try")(try_settings)
app.command("try")(try_settings)
for command in (serve, submit, worker, logs):
    app.command()(command)
for room in (datasets, backbones, cache, jobs, token):
    app.add_typer(room.app, name=room.__name__.rpartition(".")[2])


def main() -> None:
    """Run the command that was typed. Exit codes: 0 done, 1 an error in words, 2 usage, 130 after Ctrl-C.

    SIGTERM and SIGHUP do what Ctrl-C does; their exit codes are 143 and 129.
    """
    interrupt_at_signals()
    try:
        has_password = hide_passwords()
        open_standard_output()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(
                stream, TextIOWrapper
            ):  # what the terminal cannot show is printed as an escape such as \u2026
                stream.reconfigure(errors="backslashreplace")
        check_working_directory()
        check_not_empty(sys.argv[1:])
        if has_password:
            check_passwords(sys.argv[1:])
            typer.echo(advice(), err=True)
        with showing_downloads():
            code = app(standalone_mode=False)
        if code == INTERRUPTED:
            code = exit_code()
        sys.stdout.flush()
    except SearchError as error:
        if isinstance(error, OutputError):
            discard_output()
            if is_asked_to_end():  # a terminal that closed takes no words
                sys.exit(exit_code())
        _print_error(with_flags(str(error), typer.main.get_command(app)))
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # `search` without a command prints its help
            typer.echo(message)
        else:
            _print_error(message)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG):
            raise
        _print_error(_file_problem(error))
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def check_working_directory() -> None:
    """Raise UsageError where the folder in which the command was typed is gone: no path could be found from it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        message = "the folder in which this command was typed has been deleted; change into another one"
        raise UsageError(message) from None


def check_not_empty(words: Sequence[str]) -> None:
    """Raise UsageError for an empty value: a script's unset variable would silently choose the default."""
    for before, word in pairwise(["", *words]):
        flag = re.fullmatch(r"(--[a-z-]+)=", word)
        if flag or not word:
            name = flag[1] if flag else before if before.startswith("--") else "an argument"
            raise UsageError(f"{name} must not be empty, got ''; give a value, or leave it out")


def _file_problem(error: OSError) -> str:
    """Say in words why no file can be opened: too many are open, or its name is too long."""
    if error.errno == errno.ENAMETOOLONG:
        return f"no file can have the name {shown(error.filename)}, which is too long; give a shorter one"
    return f"a file cannot be opened: {error.strerror}; raise the limit of open files (`ulimit -n`)"


def _print_error(message: str) -> None:
    """Print an error as one line."""
    typer.echo(f"error: {one_line(message)}", err=True)


if __name__ == "__main__":
    main()
