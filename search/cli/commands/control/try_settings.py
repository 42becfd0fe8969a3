"""The command `search try`: tries the settings that a person names."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from search.cli.commands.run import process_began
from search.cli.flags import ServerOption, with_run_options
from search.cli.output import print_lines
from search.cli.remote import OF_THE_SERVER, follow, plain_options, remote_study, server_client
from search.options.run_options import RunOptions
from search.options.sets import TRY_OPTIONS
from spaces import Setting, UsageError


@with_run_options(*TRY_OPTIONS)
def try_settings(
    options: RunOptions,
    setting: Annotated[
        list[str],
        typer.Option(
            "--setting",
            metavar="SETTING",
            help="A setting to try, e.g. block=19,timestep=90,pool=4,head=linear. Give the option once for each. A "
            "head's options that are left out have their middle values.",
        ),
    ],
    finals: Annotated[
        bool, typer.Option("--finals", help="Then compare the candidates and test the answer, as `search run` does.")
    ] = False,
    server: ServerOption = None,
) -> None:
    """Try settings of your own choice.

    They belong to the study that `search run` with the same options has. Each is a trial like all others: later
    runs learn from it, and it may become the answer. Nothing else is tried, and nothing is screened or tested. A
    setting that the study has measured already is printed and not tried again. If a run works on the study, that
    run tries them next.

    With --server they are tried in a study that the server has: the one of --dataset that `search best` answers
    with, or its study --name. No other option is given then, since the study has its own.
    """
    from search.running.chosen_settings import parsed_setting

    settings = [parsed_setting(text) for text in setting]
    if server is not None:
        _try_on_server(server.rstrip("/"), options, settings, finals)
        return
    from rich.console import Console

    from search.display.run_display import RunDisplay
    from search.display.text import print_plain
    from search.events import Event, RunFinished
    from search.study.control import tried_records
    from search.study.control import try_settings as run_settings

    console, finished = Console(soft_wrap=True), list[RunFinished]()

    def on_event(event: Event) -> None:
        display(event)
        if isinstance(event, RunFinished):
            finished.append(event)

    try:
        with RunDisplay(console) as display:
            results = run_settings(options, settings, finals, on_event, process_began())
    except KeyboardInterrupt:
        print_lines("interrupted: every finished trial is kept; type the same command again to continue")
        raise
    for record in tried_records(results, settings):
        print_plain(console, _line(record))
    print_plain(console, f"report      {finished[0].report}")


def _try_on_server(server: str, options: RunOptions, settings: Sequence[dict[str, str]], finals: bool) -> None:
    """Let settings be tried in a study of a server, follow the job that does, and print how they did."""
    places = {name: getattr(options, name) for name in OF_THE_SERVER}
    with server_client(server, **places) as client:
        for name in plain_options(options):
            if name not in ("dataset", "name"):
                raise UsageError(f"`{name}` is that of the study, got one beside `server`; leave it out")
        study = remote_study(client, options.dataset, options.name, "--name")
        answer = client.try_settings(study, settings, finals)
        tried = answer["tried"] if answer["job"] is None else follow(client, answer["job"], server)["tried"]
    print_lines(*map(_line, tried), f"report      {server}/studies/{quote(study, safe='')}")


def _line(record: dict[str, Any]) -> str:
    """Say how a setting did. record: as of `tried_records`."""
    return f"{Setting.from_dict(record['setting'])}: {record['words']}"
