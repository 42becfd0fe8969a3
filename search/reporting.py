"""The command `search report`, and how a study's report is made wherever one is wanted."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.home import Home
from search.terminal import DatasetOption, HomeOption, StorageOption, StudyOption
from spaces.errors import UnknownNameError

if TYPE_CHECKING:
    from objectives.results import Study

STDOUT = Path("-")


def report(
    dataset: DatasetOption = None,
    study: StudyOption = None,
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
    from dashboards.report import FORMATS, SUFFIXES
    from search.database.store import Store

    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    with Store.open(storage or Home.at(home).storage) as store:
        found = store.read_study(store.find_study(dataset, study))
    if not images:
        found = replace(found, pictures=())
    if out == STDOUT:
        from search.importances import importances

        sys.stdout.write(FORMATS[form](found, importances(found)))
    else:
        path = out or Home.at(home).reports / f"{found.name}.{SUFFIXES.get(form, form)}"
        typer.echo(str(written(found, path, form)))


def written(study: "Study", path: Path, form: str = "html") -> Path:
    """The path of the report, which is whole or not there at all. Raises SearchError where it cannot be written."""
    from dashboards.report import write_report
    from search.importances import importances

    return write_report(study, path, importances(study), form)
