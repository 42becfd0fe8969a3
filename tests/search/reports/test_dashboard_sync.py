"""Notes and figures while a run works, on SQLite and PostgreSQL, and in a real browser beside it."""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna_dashboard import get_note
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from objectives.results import GMACS, Accuracy, Evaluation
from search.database.connection.opening import open_storage
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.reports.dashboard_sync import refreshing, show
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Space
from tests.support.command_line import Search
from tests.support.processes import child_process

Tell = Callable[[int], None]


@pytest.fixture
def study(store: Store, make_record: Callable[..., StudyRecord]) -> str:
    return store.ensure_study(make_record())


@pytest.fixture
def run(store: Store, study: str, run_record: RunRecord) -> int:
    return store.begin_run(study, run_record)


@pytest.fixture
def tell(store: Store, study: str, run: int, space: Space) -> Tell:
    """Make a trial that gets this many of 20 images right; with 0 it fails."""
    driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=50, run_id=run)

    def tell_trial(correct: int) -> None:
        request = driver.next_trial()
        assert isinstance(request, TrialRequest)
        if correct:
            driver.complete(request.number, Evaluation(Accuracy(correct, 20), {"fit": 0.5}, 0, 20, {GMACS: 0.01}))
        else:
            driver.fail(request.number, "the <b>GPU</b> is out of memory")

    return tell_trial


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def attributes(store: Store, study: str) -> dict[str, Any]:
    return store.optuna.get_study_system_attrs(store.optuna_id(study))


def figures(store: Store, study: str) -> set[str]:
    return {key.split(":")[2] for key in attributes(store, study) if key.startswith("dashboard:plot_data:")}


@pytest.fixture
def unsparing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refresh loads plotly, and 20 times that would be waited for."""
    monkeypatch.setattr("search.reports.dashboard_sync.SPARING", 0)


@pytest.mark.usefixtures("unsparing")
def test_the_note_follows_trials_and_stays_the_same_without_new_ones(
    store: Store, study: str, run: int, tell: Tell
) -> None:
    with refreshing(store, study, run, Path("/reports/r.html"), every=0.05):
        until(lambda: "No trial is complete yet." in get_note(store.load(study)))
        tell(12)
        until(lambda: "60.0\N{NO-BREAK SPACE}%" in get_note(store.load(study)))
        until(lambda: "search-heads" in figures(store, study))
        note = get_note(store.load(study))
        time.sleep(0.3)
        assert get_note(store.load(study)) == note
    tell(18)
    assert "90.0" not in get_note(store.load(study))  # no run refreshes it any more


def test_a_slow_refresh_is_made_less_often(
    store: Store, study: str, run: int, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "search.reports.dashboard_sync.SPARING", 10_000
    )  # so that the real one takes long, by comparison
    with refreshing(store, study, run, Path("/reports/r.html"), every=0.05):
        until(lambda: "No trial is complete yet." in get_note(store.load(study)))
        tell(12)
        time.sleep(0.5)
        assert "No trial is complete yet." in get_note(store.load(study))


def test_an_interrupted_run_keeps_its_finished_trials(store: Store, study: str, run: int, tell: Tell) -> None:
    def work() -> None:
        with refreshing(store, study, run, Path("/reports/r.html"), every=60):
            tell(18)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    note = get_note(store.load(study))
    assert "90.0\N{NO-BREAK SPACE}%" in note
    assert "1 complete; no run active at " in note


@pytest.mark.usefixtures("run")
def test_a_note_shows_the_number_of_running_searches(store: Store, study: str, run_record: RunRecord) -> None:
    """The last of one says nothing of another's end."""
    other = store.begin_run(study, run_record)

    def status() -> str:
        note: str = get_note(store.load(study))
        return note.partition("**State:** ")[2].partition(" at ")[0]

    with refreshing(store, study, other, Path("/reports/r.html"), every=60):
        until(lambda: status() == "no trial yet; 2 runs active")
    with pytest.raises(KeyboardInterrupt), refreshing(store, study, other, Path("/reports/r.html"), every=60):
        raise KeyboardInterrupt
    assert status() == "no trial yet; 1 run active"
    store.end_run(other, "interrupted")
    show(store, study, Path("/reports/r.html"))
    assert status() == "no trial yet; 1 run active"


def test_an_error_is_logged_and_the_run_continues(
    store: Store, study: str, run: int, tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), refreshing(store, "gone", run, Path("/r.html"), every=0.05):
        until(lambda: "Optuna Dashboard was not refreshed: there is no study 'gone' in" in caplog.text)
        tell(18)


def test_a_concurrent_reader_never_sees_a_half_written_file(store: Store, study: str) -> None:
    """A browser cannot read half of a figure's JSON. Two runs may write at the same time."""
    parts = [f"dashboard:plot_data:long:{number}" for number in range(40)]
    stop = threading.Event()

    def write(text: str) -> None:
        while not stop.is_set():
            with store.edit_attributes(study) as optuna_study:
                save_graph(optuna_study, text)

    def save_graph(optuna_study: optuna.Study, text: str) -> None:
        for part in parts:
            optuna_study._storage.set_study_system_attr(optuna_study._study_id, part, text)

    writers = [threading.Thread(target=write, args=(text,)) for text in ("a", "b")]
    for writer in writers:
        writer.start()
    try:
        with Store(store.address, open_storage(store.address)) as reader:
            until(lambda: parts[0] in attributes(reader, study))
            seen = [frozenset(map(attributes(reader, study).get, parts)) for _ in range(20)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert set(seen) <= {frozenset("a"), frozenset("b")}


def test_an_error_while_editing_attributes_writes_nothing_and_kept_keys_stay(store: Store, study: str) -> None:
    def annotate(value: int, *but: str, fails: bool = False) -> None:
        with store.edit_attributes(study, but) as optuna_study:
            for key in ("first", "second"):
                optuna_study._storage.set_study_system_attr(optuna_study._study_id, key, value)
                if fails:
                    raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        annotate(1, fails=True)
    assert attributes(store, study).keys().isdisjoint({"first", "second"})
    annotate(1, "first")  # is there from now on
    annotate(2, "first")
    stored = attributes(store, study)
    assert (stored["first"], stored["second"]) == (1, 2)


TEXT_BROWSER = """#!{python}
import sys
import urllib.request
page = urllib.request.urlopen(sys.argv[1], timeout=20)
open({seen!r}, "w").write(f"{{page.status}} {{page.url}}")
"""


def test_a_text_browser_gets_a_response_while_it_blocks_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(TEXT_BROWSER.format(python=sys.executable, seen=str(seen)))
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")  # which webbrowser starts in the foreground
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "search", "dashboard", "--port", str(port), "--home", str(tmp_path)]
    with child_process(command, stdout=subprocess.DEVNULL) as process:
        until(lambda: seen.is_file() and seen.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert seen.read_text() == f"200 http://127.0.0.1:{port}/dashboard"


def test_an_address_of_no_machine_is_one_error_line(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_DASHBOARD_TOKEN", "correct-horse-battery")
    words = "--host", "192.0.2.1", "--allowed-host", "192.0.2.1"  # is no machine's: RFC 5737
    ran = search("dashboard", "--no-browser", *words)
    assert ran.code == 1
    (error,) = ran.stderr.splitlines()
    assert error.startswith("error: cannot listen on 192.0.2.1 port 8081: ")


@contextmanager
def served(url: str, *words: str) -> Iterator[str]:
    """`search dashboard` in a process of its own, as a person starts it; it is stopped by Ctrl-C."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "search", "dashboard", "--no-browser", "--port", str(port), "--storage", url]
    with child_process([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def answers() -> bool:
            assert process.poll() is None, process.communicate()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
            return True

        until(answers)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert all(line.startswith("note: ") for line in err.splitlines()), err  # of a password in the URL
        assert out == f"Optuna Dashboard at http://127.0.0.1:{port}/dashboard/studies/1; Ctrl-C ends it\n"


def edit_note(driver: Any, text: str, meanwhile: Callable[[], None]) -> None:
    """Add to the study's note as a person does, while the run goes on."""
    wait = WebDriverWait(driver, 30)
    driver.find_element(By.CSS_SELECTOR, "[data-testid=EditIcon]").click()
    field = wait.until(lambda driver: driver.find_element(By.CSS_SELECTOR, "textarea:not([aria-hidden])"))
    field.send_keys(Keys.CONTROL, Keys.END)
    field.send_keys(text)
    meanwhile()
    time.sleep(0.5)
    driver.find_element(By.XPATH, "//button[contains(., 'Save')]").click()


@pytest.mark.slow
@pytest.mark.usefixtures("unsparing")
def test_a_browser_shows_new_trials_of_a_running_study(
    storage_url: str, store: Store, study: str, run: int, tell: Tell, browser: Any
) -> None:
    tell(0)
    with (
        served(storage_url, "--study", study) as address,
        refreshing(store, study, run, Path("/reports/r.html"), every=0.1),
    ):
        wait = WebDriverWait(browser.driver, 30)

        def text() -> str:
            body: str = browser.driver.find_element(By.TAG_NAME, "body").text
            return body.replace("\N{NO-BREAK SPACE}", " ")

        def come_to(correct: int, best: str) -> None:
            tell(correct)
            until(lambda: f"{best}\N{NO-BREAK SPACE}%" in get_note(store.load(study)))

        browser.open(f"{address}/dashboard/studies/1/trials?numbers=0")
        wait.until(lambda _: "the <b>GPU</b> is out of memory" in text())
        assert "Ended failed: the <b>GPU</b> is out of memory" in text()
        assert "Block " in text()
        tell(12)
        until(lambda: "search-heads" in figures(store, study))
        browser.open(f"{address}/dashboard/studies/1")
        drawn = "return [...document.querySelectorAll('[id^=user-defined-plot]:has(.main-svg)')].map((card) => card.id)"
        wait.until(lambda driver: "user-defined-plot:search-blocks" in driver.execute_script(drawn))
        come_to(16, "80.0")
        browser.open(f"{address}/dashboard/studies/1/note")
        wait.until(lambda _: "80.0 %" in text())
        edit_note(browser.driver, "Mine, from meanwhile.", lambda: come_to(18, "90.0"))
        until(lambda: "Mine, from meanwhile." in get_note(store.load(study)))
        come_to(19, "95.0")  # what was saved with it is of before, and lasts until the next trial
        assert "Mine, from meanwhile." in get_note(store.load(study))
        browser.open(f"{address}/dashboard/studies/1/note")
        wait.until(lambda _: "95.0 %" in text())
        assert browser.complaints() == []
        browser.driver.find_element(By.LINK_TEXT, "Open the report").click()
        wait.until(lambda driver: driver.current_url == f"{address}/reports/{study}")
        wait.until(lambda driver: driver.execute_script("return document.documentElement.dataset.drawn") == "all")
        assert "95.0 %" in text()
        assert browser.complaints() == []
        browser.open(f"{address}/reports/none%3Cb%3E")
        assert text() == "There is no study 'none<b>' in this database."
