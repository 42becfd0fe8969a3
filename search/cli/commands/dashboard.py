"""The command `search dashboard`: Optuna Dashboard on the study database, with the reports beside it."""

import os
import signal
import sys
import threading
import webbrowser
from typing import Annotated

import typer

from dashboards.listening import PORT
from objectives.home import Home
from search.cli.flags import (
    DatasetOption,
    HomeOption,
    HostOption,
    PortOption,
    StorageOption,
    StudyOption,
    allowed_host_option,
)
from search.cli.output import chosen_study, print_aside, print_lines
from search.scheduling.signals import exit_code
from spaces import UsageError

VARIABLE = "SEARCH_DASHBOARD_TOKEN"
"""The environment variable that may hold the token."""


def dashboard(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = PORT,
    allowed_host: Annotated[
        list[str] | None,
        allowed_host_option(
            f"They also need a token, which is printed at the start, or taken from the environment variable {VARIABLE}."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the dashboard in the browser.")] = True,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Open Optuna Dashboard on the study database.

    It opens at the named study, or else at the list of studies. Each study's report is served beside it.
    """
    from dashboards.access import Access, needs_token, new_token
    from dashboards.server import serve
    from search.database.connection.url import Address
    from search.database.store import Store
    from search.reports.study_report import study_page

    given, names = os.environ.pop(VARIABLE, None), allowed_host or []  # a browser that is started here would inherit it
    token = given if given is not None or not needs_token(host, names) else new_token()
    access = Access.of(host, names, token)
    generated = token if given is None else None
    if generated is not None and not sys.stderr.isatty():
        raise UsageError(
            f"a new token is shown on a terminal only, and standard error is none, so that no log file keeps it; give "
            f"a token in the environment variable {VARIABLE}"
        )
    address = Address(storage or Home.at(home).storage)
    if address.file is not None and not address.file.exists():
        address.check_may_be_missing()
    with Store.open(storage or Home.at(home).storage) as store:
        name = chosen_study(store, dataset, study) if dataset or study else None
        path = "" if name is None else f"/dashboard/studies/{store.optuna_id(name)}"

        def on_listening(address: str) -> None:
            print_lines(f"Optuna Dashboard at {address}{path}; Ctrl-C ends it")
            if token is not None:
                print_aside(
                    "warning: whoever has the token can delete studies, and the connection is not encrypted; an SSH "
                    "tunnel is (leave out --host and --allowed-host)"
                )
            if generated is not None:
                print_aside(f"open it with its token, which is not shown again: {address}{path or '/'}#{generated}")
            if browser:  # A text browser keeps its caller waiting and must be answered meanwhile: hence the thread.
                threading.Thread(target=webbrowser.open, args=(address + path,), daemon=True).start()

        serve(store.optuna, host, port, lambda name: study_page(store, name), on_listening, access)
    if exit_code() != 128 + signal.SIGINT:  # Ctrl-C is how a server is meant to end
        raise typer.Exit(exit_code())
