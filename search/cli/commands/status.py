"""The command `search status`: lists all studies, or shows one study and its runs in detail."""

from datetime import datetime
from typing import TYPE_CHECKING

from objectives.home import Home
from search.cli.flags import DatasetOption, HomeOption, JsonOption, StorageOption, StudyOption
from search.cli.output import chosen_study, print_json, print_lines

if TYPE_CHECKING:
    from search.database.records import StudySummary

WORK = {None: "running now", "pause": "paused", "stop": "stopping", "stop now": "stopping"}
"""What a run does, by what a person wants of it."""


def status(
    dataset: DatasetOption = None,
    study: StudyOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    storage: StorageOption = None,
) -> None:
    """List all studies, or show one in detail.

    The list shows for each study its trials, the validation score of its best trial, and whether a run is working on it
    now. With --study or --dataset, the command shows one study: its best setting, running and failed trials, and the
    time left.
    """
    from search.database.store import Store
    from search.reports.study_state import StudyState

    with Store.open(storage or Home.at(home).storage, reading=True) as store:
        if dataset is None and study is None:
            _list(store.studies(), as_json)
            return
        state = StudyState.of(store, chosen_study(store, dataset, study), Home.at(home).reports)
    if as_json:
        print_json(state.to_dict())
    else:
        print_lines(*state.lines())


def _list(rows: "list[StudySummary]", as_json: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column

    from dashboards.formatting import other_trials
    from search.display.text import PlainTable, print_table
    from search.reports.study_state import summary_record

    if as_json:
        print_json([summary_record(row) for row in rows])
        return
    if not rows:
        print_lines("no studies yet; `search run --dataset digits --trials 40` creates one")
        return
    numbers = (Column(name, justify="right") for name in ("done", "pruned", "failed", "best trial"))
    study = Column("study", overflow="fold")
    table = PlainTable(study, *numbers, "last run", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        best = "" if row.best is None else row.metric.labelled_text(row.metric.score(row.best))
        counts = (row.complete, row.pruned, row.failed)
        when = WORK[row.request] if row.at_work else _day(row.last_run) if row.last_run else "never"
        table.add_row(row.name, *map(str, counts), best, when)
    print_table(table)
    for row in rows:
        for words in other_trials(row.waiting, row.others):
            print_lines(f"{row.name}: {words}")
    print_lines("`search status --study NAME` shows one study in detail")


def _day(moment: datetime) -> str:
    """Format a time in at most twelve characters: with the hour if it is in this year, otherwise with the year."""
    local = moment.astimezone()
    return f"{local:%d %b %H:%M}" if local.year == datetime.now().astimezone().year else f"{local:%d %b %Y}"
