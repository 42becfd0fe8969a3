"""The command `search status`: lists all studies, or shows one study and its runs in detail."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, JsonOption, ServerOption, StorageOption, StudyOption
from search.cli.output import chosen_study, print_json, print_lines
from search.cli.remote import remote_study, server_client

WORK = {None: "running now", "pause": "paused", "stop": "stopping", "stop now": "stopping"}
"""A request to a run → words for the state of the run."""


def status(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: StorageOption = None,
    server: ServerOption = None,
) -> None:
    """List all studies, or show one in detail.

    The list shows for each study its trials, the validation score of its best trial, and whether a run is working on it
    now. With --study or --dataset, the command shows one study: its best setting, running and failed trials, and the
    time left.
    """
    if server is not None:
        with server_client(server, home=home, storage=storage) as client:
            if dataset is None and study is None:
                _list(client.studies(), as_json)
                return
            name = remote_study(client, dataset, study)
            if as_json:
                print_json(client.study(name))
            else:
                print_lines(*client.lines(name)["status"])
        return
    from search.database.store import Store
    from search.reports.study_state import StudyState, summary_record

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        if dataset is None and study is None:
            _list([summary_record(row) for row in store.studies()], as_json)
            return
        state = StudyState.of(store, chosen_study(store, dataset, study), Home.at(home).reports)
    if as_json:
        print_json(state.to_dict())
    else:
        print_lines(*state.lines())


def _list(records: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print the list of studies. records: as of `summary_record`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column

    from dashboards.formatting import other_trials
    from objectives.results import METRICS
    from search.display.text import PlainTable, print_table

    if as_json:
        print_json([*records])
        return
    if not records:
        print_lines("no studies yet; `search run --dataset digits --trials 40` creates one")
        return
    numbers = (Column(name, justify="right") for name in ("done", "pruned", "failed", "best trial"))
    study = Column("study", overflow="fold")
    table = PlainTable(study, *numbers, "last run", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for record in records:
        best = "" if record["best"] is None else METRICS[record["metric"]].labelled_text(record["best"])
        counts = (record["trials"][state] for state in ("complete", "pruned", "failed"))
        last = record["last_run"]
        when = WORK[record["request"]] if record["at_work"] else _day(datetime.fromisoformat(last)) if last else "never"
        table.add_row(record["study"], *map(str, counts), best, when)
    print_table(table)
    for record in records:
        for words in other_trials(record["waiting"], record["others"]):
            print_lines(f"{record['study']}: {words}")
    print_lines("`search status --study NAME` shows one study in detail")


def _day(moment: datetime) -> str:
    """Format a time in at most twelve characters: with the hour if it is in this year, otherwise with the year."""
    local = moment.astimezone()
    return f"{local:%d %b %H:%M}" if local.year == datetime.now().astimezone().year else f"{local:%d %b %Y}"
