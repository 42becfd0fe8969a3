"""The command `search dashboard`: Optuna Dashboard on the study database, with the reports beside it."""

import threading
import webbrowser
from typing import Annotated

import typer

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, StorageOption, StudyOption, number_option
from search.cli.output import chosen_study


def dashboard(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on. 127.0.0.1 lets only this machine connect.")
    ] = "127.0.0.1",
    port: Annotated[int, number_option(1, "Port to listen on.", high=65535)] = 8080,
    browser: Annotated[bool, typer.Option(help="Open the dashboard in the browser.")] = True,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """Open Optuna Dashboard on the study database.

    It opens at the named study, or else at the list of studies. Each study's report is served beside it.
    """
    from dashboards.server import LOOPBACK, serve
    from search.database.store import Store
    from search.reports.study_report import study_page

    with Store.open(storage or Home.at(home).storage) as store:
        name = chosen_study(store, dataset, study) if dataset or study else None
        path = "" if name is None else f"/dashboard/studies/{store.optuna_id(name)}"

        def on_listening(address: str) -> None:
            if host not in LOOPBACK:
                typer.echo(
                    f"warning: {host} lets others connect, and Optuna Dashboard has no password; they can delete "
                    "studies",
                    err=True,
                )
            typer.echo(f"Optuna Dashboard at {address}{path}; Ctrl-C ends it")
            if browser:  # A text browser keeps its caller waiting and must be answered meanwhile: hence the thread.
                threading.Thread(target=webbrowser.open, args=(address + path,), daemon=True).start()

        serve(store.optuna, host, port, lambda name: study_page(store, name), on_listening)
