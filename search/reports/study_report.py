"""The command `search report`, and how a study's report is made wherever one is wanted."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.home import Home
from search.cli.options import DatasetOption, HomeOption, StorageOption, StudyOption
from spaces.errors import SearchError, UsageError
from spaces.lookup import check_name

if TYPE_CHECKING:
    from objectives.results import StudyResults
    from search.database.store import Store

STDOUT = Path("-")


def report(
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
    """Write a study's report: the best setting, how sure that is, and the evidence."""
    from dashboards.study.report import FORMATS, SUFFIXES
    from search.database.store import Store

    check_name("format", form, FORMATS)
    if across:
        if dataset or study:
            raise UsageError("--all is of all datasets; leave --dataset and --study out")
        report_all(Home.at(home), storage, backbone, measure, out, form)
        return
    if measure or backbone:
        raise UsageError("--measure and --backbone are of a report across datasets; add --all")
    with Store.open(storage or Home.at(home).storage) as store:
        found = store.read_study(store.find_study(dataset, study))
    if not images:
        found = replace(found, pictures=())
    if out == STDOUT:
        from search.reports.importances import importances

        sys.stdout.write(FORMATS[form](found, importances(found)))
    else:
        path = out or Home.at(home).reports / f"{found.name}.{SUFFIXES.get(form, form)}"
        typer.echo(str(written(found, path, form)))


def report_all(
    home: Home, storage: str | None, backbone: str | None, measure: bool, out: Path | None, form: str
) -> None:
    """Across datasets, from studies of one backbone alone where it is named.

    measure: make the missing trials first. Raises SearchError after the report where one could not be made.
    """
    from dashboards.cross_dataset.report import FORMATS, write_comparison
    from dashboards.study.report import SUFFIXES
    from search.reports.cross_dataset import compared

    found, failed = compared(home, storage, backbone, measure, shlex.join(["search", *sys.argv[1:]]))
    if out == STDOUT:
        sys.stdout.write(FORMATS[form](found))
    else:
        path = out or home.reports / f"all.{SUFFIXES.get(form, form)}"
        typer.echo(str(write_comparison(found, path, form)))
    if failed:
        raise SearchError(f"{failed} missing {'trial' if failed == 1 else 'trials'} could not be made, as told above")


def written(study: "StudyResults", path: Path, form: str = "html") -> Path:
    """The path of the report, which is whole or not there at all. Raises SearchError where it cannot be written."""
    from dashboards.study.report import write_report
    from search.reports.importances import importances

    return write_report(study, path, importances(study), form)


def page_of(store: "Store", study: str) -> str | None:
    """A study's report as it is now; None where there is no such study."""
    from dashboards.study.report import render
    from search.reports.importances import importances

    if study not in store.names():
        return None
    found = type(store)(store.address, store.optuna).read_study(study)  # remembers no former study of that name
    return render(found, importances(found))
