"""Names with control characters, markup and formulas, as every command prints them."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from objectives.results import Accuracy, CorrectMask, Evaluation, Final
from search.database.records import RunRecord
from search.database.store import Store
from search.display.counter import counter
from search.display.downloads import showing_downloads
from search.display.live_table import RunProgress
from search.display.run_display import RunDisplay
from search.display.text import PlainTable, lines_cell, print_table
from search.events import RunFinished, RunPrepared
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Space
from tests.support.command_line import Search
from tests.support.names import EVIL, SPELLED, check_values, unsafe_characters
from tests.support.studies import MakeRecord, small_results

NAMES = "[red]one[/]", "[/]=two"


@pytest.fixture
def studies(tmp_path: Path, make_record: MakeRecord, space: Space) -> None:
    """Two studies of one dataset. Everything that comes from data, or from other programs, is `EVIL`."""
    with Store.open(f"sqlite:///{tmp_path}/home/studies.db") as store:
        for name in NAMES:
            record = make_record(
                dataset=EVIL,
                backbone=EVIL,
                preset=EVIL,
                classes=(EVIL, f"{EVIL} 2"),
                protocol={EVIL: EVIL},
                chosen_name=name,
            )
            store.ensure_study(record)
            run = store.begin_run(name, RunRecord(2, f"search run {EVIL}", {EVIL: EVIL}))
            driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=99, run_id=run)
            for number in range(3):
                request = driver.next_trial()
                assert isinstance(request, TrialRequest)
                if number:
                    driver.complete(request.number, Evaluation(Accuracy(15, 20), {"fit": 0.1}, 10, 40))
                else:
                    driver.fail(request.number, f"ValueError: {EVIL}")
            test = CorrectMask(50, (1 << 45) - 1)
            assert isinstance(request, TrialRequest)
            final = Final(request.setting, 1, Accuracy(18, 20), test.accuracy, 1.0, 0, 0, test_correct_mask=test)
            store.record_final(name, final)


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "--study", NAMES[0]),
        ("best", "--study", NAMES[1]),
        ("compare", *NAMES),
        *(("report", "--study", NAMES[0], "--out", "-", "--format", form) for form in ("md", "latex", "json", "csv")),
        ("report", "--all", "--out", "-", "--format", "csv"),
        ("best", "--dataset", EVIL.replace("\0", "")),
        ("cache",),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_a_command_prints_is_spelled(search: Search, words: tuple[str, ...]) -> None:
    ran = search(*words)
    assert unsafe_characters(ran.stdout + ran.stderr) == set()
    if words[0] in ("status", "best", "compare"):
        json_ran = search(*words, "--json")
        assert unsafe_characters(json_ran.stdout + json_ran.stderr) == set()
        if json_ran.code == 0:
            check_values(json.loads(json_ran.stdout))


@pytest.mark.usefixtures("studies")
def test_markup_of_names_is_printed(search: Search) -> None:
    listed = search("status").stdout
    assert all(name in listed for name in NAMES)
    assert NAMES[0] in search("compare", *NAMES).stdout
    detail = search("status", "--study", NAMES[0]).stdout
    assert all(part in detail for part in SPELLED)


def test_a_table_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    table = PlainTable("name", "names")
    table.add_row("[red]x[/] :cat: \x1b[31m", lines_cell(["[/]\x07", "=1"]))
    print_table(table)
    out = capsys.readouterr().out
    assert r"[red]x[/] :cat: \x1b[31m" in out
    assert r"[/]\x07" in out
    assert unsafe_characters(out) == set()


def test_a_run_shows_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(soft_wrap=True)
    display = RunDisplay(console)
    counts = {"train": 8, "validation": 2, "test": 5}
    display(RunPrepared(EVIL, EVIL, 15, 2, counts, None, (EVIL,), 9, 2, (EVIL,)))
    display(RunFinished(small_results(), EVIL, Path("report.html")))
    RunProgress(console, trials=1).say(f"failed: {EVIL}")
    with showing_downloads(), counter(EVIL) as update:
        from objectives.downloads import listener

        listener().begins(f"downloading {EVIL}")
        update(1, 2)
    output = capsys.readouterr()
    assert unsafe_characters(output.out + output.err) == set()
    assert output.out.count(SPELLED[0]) >= 6
    assert SPELLED[0] in output.err


def test_only_one_place_prints() -> None:
    """Elsewhere a name could be printed as it is."""
    search = Path(__file__).parents[3] / "search"
    own = {search / "cli" / "output.py", search / "cli" / "main.py", search / "display" / "text.py"}
    files = [path for folder in ("cli", "display") for path in (search / folder).rglob("*.py") if path not in own]
    assert len(files) > 20
    for path in files:
        text = path.read_text(encoding="utf-8")
        for printing in ("typer.echo(", ".print(", " print(", "sys.stdout.write(", " Table(", "=Table("):
            assert printing not in text, f"{path}: {printing}"
