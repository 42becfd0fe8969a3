"""The command `search report`: writes the report of a study, or of all datasets."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, ServerOption, StorageOption, StudyOption, with_flags
from search.cli.output import chosen_study, print_aside, print_lines
from search.cli.remote import remote_study, server_client
from spaces import SearchError, check_name
from spaces.errors import UsageError

STDOUT = Path("-")


def report(
    context: typer.Context,
    dataset: DatasetOption = None,
    study: StudyOption = None,
    across: Annotated[
        bool,
        typer.Option(
            "--all", help="Report across all datasets: how much each dataset's best setting loses on the others."
        ),
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="With --all: first run the trials that this report lacks.")
    ] = False,
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --all: use only studies of this backbone.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="html: one page that works offline. md, latex: the same as text, for a repository or a paper. "
            "json: every table. csv: every trial. [default: that of --out, else html]",
        ),
    ] = None,
    images: Annotated[bool, typer.Option(help="Show images of the dataset. Test images are never shown.")] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The file to write; - writes to standard output. [default: in reports/ in the home folder]",
        ),
    ] = None,
    home: HomeOption = None,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """Write the report of a study, or of all datasets.

    It shows the best setting, how certain that is, and the evidence.
    """
    from dashboards.page.page import check_file
    from dashboards.study.report import FORMATS
    from search.database.store import Store
    from search.reports.study_report import form_of, study_text, write_study_report

    if out is not None and out != STDOUT:
        check_file(out)
    form = form or form_of(out)
    check_name("format", form, FORMATS)
    if server is not None and (across or measure or backbone or not images):
        raise UsageError(
            "`server` gives the report of one study as it is; leave out `all`, `measure`, `backbone` and `images`"
        )
    if across:
        if dataset or study:
            raise UsageError("`all` covers all datasets; leave out `dataset` and `study`")
        say = partial(_say, context.find_root().command) if measure else None
        report_all(Home.at(home), storage, backbone, say, out, form)
        return
    if server is not None:
        _write_remote(server, dataset, study, form, out, Home.at(home), storage)
        return
    if measure or backbone:
        raise UsageError("`measure` and `backbone` are for the report across datasets; add `all`")
    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        results = store.read_study(chosen_study(store, dataset, study))
    if not images:
        results = replace(results, pictures=())
    if out == STDOUT:
        _write_to_stdout(study_text(results, form))
    else:
        print_lines(str(write_study_report(results, Home.at(home).reports, out, form)))


def report_all(
    home: Home,
    storage: str | None,
    backbone: str | None,
    say: Callable[[str], None] | None,
    out: Path | None,
    form: str,
) -> None:
    """Write the report across datasets.

    backbone: use only studies of this backbone; None for all. say: run the missing trials first, and print what happens
    with this function. Raises SearchError, after it wrote the report, if a missing trial could not be run.
    """
    from dashboards.cross_dataset.report import FORMATS, write_report
    from dashboards.study.report import SUFFIXES
    from search.display.counter import counter
    from search.reports.cross_dataset import compare_datasets
    from search.reports.missing_trials import Listener

    with counter("passes") if say else nullcontext() as update:
        listener = Listener(say, update) if say and update else None
        try:
            comparison, failed = compare_datasets(home, storage, backbone, listener)
        except KeyboardInterrupt:
            print_aside("interrupted: every finished trial is kept; type the same command again to continue")
            raise
    if out == STDOUT:
        _write_to_stdout(FORMATS[form](comparison))
    else:
        path = out or home.reports / f"all.{SUFFIXES.get(form, form)}"
        print_lines(str(write_report(comparison, path, form)))
    if failed:
        trials = "trial" if failed == 1 else "trials"
        raise SearchError(f"{failed} missing {trials} could not be run; the reasons are printed above")


def _write_remote(
    server: str, dataset: str | None, study: str | None, form: str, out: Path | None, home: Home, storage: str | None
) -> None:
    """Write the report of a study of a server."""
    from dashboards.study.report import SUFFIXES

    with server_client(server, storage=storage) as client:
        name = remote_study(client, dataset, study)
        if out == STDOUT:
            content = client.report(name, form=form)
            assert isinstance(content, bytes)
            _write_to_stdout(content.decode("utf-8", "replace"))
            return
        path = out or home.reports / f"{Path(name).name}.{SUFFIXES.get(form, form)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        print_lines(str(client.report(name, path, form)))


def _write_to_stdout(text: str) -> None:
    """Write a report as the file would be: in UTF-8, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def _say(command: Any, line: str) -> None:
    """Print a line about the missing trials, with options as they are typed."""
    print_aside(with_flags(line, command))
