"""The command `search report`: the report of a study, or across datasets."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, StorageOption, StudyOption, typed_command, with_flags
from spaces import SearchError, check_name
from spaces.errors import UsageError

STDOUT = Path("-")


def report(
    context: typer.Context,
    dataset: DatasetOption = None,
    study: StudyOption = None,
    across: Annotated[
        bool, typer.Option("--all", help="Across datasets: what each one's best setting loses on the others.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="With --all: first make the trials that are missing for it.")
    ] = False,
    backbone: Annotated[str | None, typer.Option(metavar="NAME", help="With --all: only studies of this one.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="html: one page that needs no network; md or latex: the same as text, for a repository or a paper; "
            "json: every table; csv: every trial.",
        ),
    ] = "html",
    images: Annotated[bool, typer.Option(help="Show images of the dataset, none of them of the test split.")] = True,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="- for standard output. [default: reports/ in the home folder]")
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Write a study's report: the best setting, how sure it is, and the evidence."""
    from dashboards.study.report import FORMATS, SUFFIXES
    from search.database.store import Store
    from search.reports.study_report import study_text, write_study_report

    check_name("format", form, FORMATS)
    if across:
        if dataset or study:
            raise UsageError("`all` covers all datasets; leave `dataset` and `study` out")
        say = partial(_say, context.find_root().command) if measure else None
        report_all(Home.at(home), storage, backbone, say, out, form)
        return
    if measure or backbone:
        raise UsageError("`measure` and `backbone` belong to a report across datasets; add `all`")
    with Store.open(storage or Home.at(home).storage) as store:
        results = store.read_study(store.find_study(dataset, study))
    if not images:
        results = replace(results, pictures=())
    if out == STDOUT:
        sys.stdout.write(study_text(results, form))
    else:
        path = out or Home.at(home).reports / f"{results.name}.{SUFFIXES.get(form, form)}"
        typer.echo(str(write_study_report(results, path, form)))


def report_all(
    home: Home,
    storage: str | None,
    backbone: str | None,
    say: Callable[[str], None] | None,
    out: Path | None,
    form: str,
) -> None:
    """Write the report across datasets; with `backbone`, from studies of that backbone alone.

    say: make the missing trials first, and print how that goes. Raises SearchError after the report where a trial could
    not be made.
    """
    from dashboards.cross_dataset.report import FORMATS, write_report
    from dashboards.study.report import SUFFIXES
    from search.display.counter import counter
    from search.reports.cross_dataset import compare_datasets
    from search.reports.missing_trials import Listener

    with counter("passes") if say else nullcontext() as update:
        listener = Listener(say, update) if say and update else None
        try:
            comparison, failed = compare_datasets(home, storage, backbone, typed_command(), listener)
        except KeyboardInterrupt:
            typer.echo("interrupted: what was measured is kept; type the same command again to continue", err=True)
            raise
    if out == STDOUT:
        sys.stdout.write(FORMATS[form](comparison))
    else:
        path = out or home.reports / f"all.{SUFFIXES.get(form, form)}"
        typer.echo(str(write_report(comparison, path, form)))
    if failed:
        raise SearchError(f"{failed} missing {'trial' if failed == 1 else 'trials'} could not be made, as told above")


def _say(command: Any, line: str) -> None:
    """Print a line of the missing trials, with options as they are typed."""
    from search.display.text import printable

    typer.echo(printable(with_flags(line, command)), err=True)
