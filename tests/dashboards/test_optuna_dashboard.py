import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna_dashboard import get_note
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dashboards.access import Access
from dashboards.optuna_dashboard import CARD_HEIGHT, FORMER_OWN_NOTES, OWN_NOTES, DashboardView
from dashboards.server import serve
from objectives.results import StudyResults
from spaces import SearchError
from tests.support.processes import child_process
from tests.support.served import taken_port

StudyMaker = Callable[..., StudyResults]
SERVE = """
import sys
import optuna
from dashboards.server import serve
serve(optuna.storages.RDBStorage(sys.argv[1]), port=int(sys.argv[2]))
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def optuna_study(url: str) -> Iterator[optuna.Study]:
    storage = optuna.storages.RDBStorage(url)
    study = optuna.create_study(study_name="birds-unet32", storage=storage, direction="maximize")
    for accuracy in (0.3, 0.6, 0.5):
        trial = study.ask()
        trial.suggest_int("block", 1, 25)
        study.tell(trial, accuracy)
    yield study
    storage.remove_session()
    storage.engine.dispose()


@contextmanager
def served(url: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`serve` in a process of its own, as a person starts it; it is stopped by Ctrl-C."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with child_process([sys.executable, "-c", SERVE, url, str(port)], cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_browser_shows_the_study_its_note_and_our_figures(
    url: str, optuna_study: optuna.Study, realistic: StudyMaker, tmp_path: Path, browser: Any
) -> None:
    study = realistic()
    DashboardView.of(study, tmp_path / "birds.html").save(optuna_study)
    with served(url) as (address, _):
        wait = WebDriverWait(browser.driver, 30)
        browser.open(f"{address}/dashboard")
        wait.until(lambda driver: "birds-unet32" in driver.find_element(By.TAG_NAME, "body").text)
        browser.open(f"{address}/dashboard/studies/1")
        figures = ("search-cost", "search-blocks", "search-pooling", "search-heads", "search-time")
        drawn = "return [...document.querySelectorAll('[id^=user-defined-plot]:has(.main-svg)')].map((card) => card.id)"
        expected = {f"user-defined-plot:{name}" for name in figures}
        wait.until(lambda driver: set(driver.execute_script(drawn)) == expected)
        browser.open(f"{address}/dashboard/studies/1/note")
        wait.until(lambda driver: "Answer:" in driver.find_element(By.TAG_NAME, "body").text)


def test_publishing_again_keeps_what_people_wrote(
    optuna_study: optuna.Study, realistic: StudyMaker, study: StudyMaker
) -> None:
    from optuna_dashboard import save_note

    save_note(optuna_study, "mine, from before")
    DashboardView.of(study(), None).save(optuna_study)
    assert "No trial is complete yet." in get_note(optuna_study)
    save_note(optuna_study, get_note(optuna_study).replace(OWN_NOTES, FORMER_OWN_NOTES[0]) + "and mine, from after\n")
    DashboardView.of(realistic(), None).save(optuna_study)
    DashboardView.of(realistic(), None).save(optuna_study)
    ours, _, own = get_note(optuna_study).partition(OWN_NOTES)
    assert "**Answer:** `block " in ours
    assert "No trial is complete yet." not in ours
    assert own.split() == ["mine,", "from", "before", "and", "mine,", "from", "after"]
    attributes = optuna_study._storage.get_study_system_attrs(optuna_study._study_id)
    ids = {key.split(":")[2] for key in attributes if key.startswith("dashboard:plot_data:")}
    assert ids == {"search-cost", "search-blocks", "search-pooling", "search-heads", "search-time"}


def test_a_study_by_cost_is_shown_too(url: str, realistic: StudyMaker) -> None:
    study = realistic(provenance={"objectives": "accuracy, cost"})
    storage = optuna.storages.RDBStorage(url)
    both = optuna.create_study(storage=storage, directions=["maximize", "minimize"])
    DashboardView.of(study, None).save(both)
    assert "second value is its cost" in get_note(both)
    attributes = storage.get_study_system_attrs(both._study_id)
    assert any(key.startswith("dashboard:plot_data:search-cost:") for key in attributes)
    storage.remove_session()
    storage.engine.dispose()


def test_a_note_holds_names_as_code(optuna_study: optuna.Study, study: StudyMaker) -> None:
    DashboardView.of(study(dataset="a`b\n# <b>c"), Path("/reports/r.html")).save(optuna_study)
    note = get_note(optuna_study)
    assert note.startswith("## `a'b\\x0a# <b>c`\n")
    assert "`file:///reports/r.html`" in note


def test_a_note_says_what_the_study_is(realistic: StudyMaker) -> None:
    protocol = {
        "split fingerprint": "0123456789ab" + 52 * "c",
        "seed": "7",
        "folds": "5",
        "command": "search run",
    }
    note = DashboardView.of(realistic(provenance=protocol), None, at_work=2).note
    for told in (
        "**Dataset:** `birds`, 50 classes; 300 validation in 5 folds, 1,200 train in each, 1,389 test images",
        "**Backbone:** `unet32`, 25 blocks on images of 32 × 32 pixels",
        "**Space:** `default`, 2,592 settings",
        "by cross-validation in 5 folds, by accuracy; `split fingerprint` `0123456789ab…`, `seed` `7`",
        "**State:** 40 trials: ",
        "[Open the report](/reports/birds%2Funet32%2Fdefault)",
        "its validation accuracy, between 0 and 1: higher is better",
    ):
        assert told in note
    assert re.search(r"\*\*State:\*\* .*; 2 runs active at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", note, re.MULTILINE)
    assert "search run" not in note


def test_every_figure_says_what_to_see_and_fits_its_card(realistic: StudyMaker) -> None:
    for figure in DashboardView.of(realistic(), None).figures.values():
        title, *lines = figure.layout.title.text.split("<br>")
        assert title.startswith("<b>")
        assert lines[-1].endswith(".</span>")
        assert figure.layout.height == CARD_HEIGHT
        assert figure.layout.margin.t >= 52 + 17 * len(lines)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_named_in_one_line(optuna_study: optuna.Study, host: str) -> None:
    with taken_port(host) as port, pytest.raises(SearchError, match=rf"^cannot listen on {host} port {port}: the port"):
        serve(optuna_study._storage, host, port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("no-such-host.invalid", 8080)])
def test_an_impossible_address_is_one_line(optuna_study: optuna.Study, host: str, port: int) -> None:
    access = Access.of(host, ["birds.example"], "correct-horse-battery")
    with pytest.raises(SearchError, match=f"^cannot listen on {host} port {port}: .*$"):
        serve(optuna_study._storage, host, port, access=access)
