"""Notes and figures while a run works, on SQLite and PostgreSQL, and in a real browser beside it."""

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna_dashboard import get_note
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from objectives.results import GMACS, Accuracy, Evaluation
from search.asked import Asked
from search.database.facts import RunFacts, StudyFacts
from search.database.store import Store
from search.refreshing import refreshing
from search.studying import StudyDriver
from search.suggesting import sampler_named
from spaces import Space
from tests.dashboards.conftest import browser as browser  # noqa: PLC0414 - a fixture

Tell = Callable[[int], None]


@pytest.fixture
def study(store: Store, make_facts: Callable[..., StudyFacts]) -> str:
    return store.ensure_study(make_facts())


@pytest.fixture
def tell(store: Store, study: str, space: Space, run_facts: RunFacts) -> Tell:
    """Make a trial with so many right answers of 20; with none it fails."""
    run = store.begin_run(study, run_facts)
    driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=50, run_id=run)

    def told(correct: int) -> None:
        asked = driver.ask()
        assert isinstance(asked, Asked)
        if correct:
            driver.complete(asked.number, Evaluation(Accuracy(correct, 20), {"fit": 0.5}, 0, 20, {GMACS: 0.01}))
        else:
            driver.fail(asked.number, "the <b>GPU</b> is out of memory")

    return told


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def figures(store: Store, study: str) -> set[str]:
    found = store.load(study)
    attributes = store.optuna.get_study_system_attrs(found._study_id)
    return {key.split(":")[2] for key in attributes if key.startswith("dashboard:plot_data:")}


def test_it_follows_what_ends_and_stands_still_where_nothing_does(store: Store, study: str, tell: Tell) -> None:
    with refreshing(store, study, Path("/reports/r.html"), every=0.05):
        until(lambda: "No trial is complete yet." in get_note(store.load(study)))
        tell(12)
        until(lambda: "60.0\N{NO-BREAK SPACE}%" in get_note(store.load(study)))
        until(lambda: "search-heads" in figures(store, study))
        note = get_note(store.load(study))
        time.sleep(0.3)
        assert get_note(store.load(study)) == note
    tell(18)
    assert "90.0" not in get_note(store.load(study))  # nobody is at work any more


def test_a_run_that_breaks_off_leaves_what_it_came_to(store: Store, study: str, tell: Tell) -> None:
    def work() -> None:
        with refreshing(store, study, Path("/reports/r.html"), every=60):
            tell(18)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert "90.0\N{NO-BREAK SPACE}%" in get_note(store.load(study))


def test_what_goes_wrong_is_logged_and_the_run_goes_on(
    store: Store, study: str, tell: Tell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no such figure")

    monkeypatch.setattr("dashboards.optuna_dashboard.publish", broken)
    with caplog.at_level(logging.WARNING), refreshing(store, study, Path("/r.html"), every=0.05):
        until(lambda: "Optuna Dashboard was not refreshed: no such figure" in caplog.text)
        tell(18)


@contextmanager
def served(url: str, *words: str) -> Iterator[str]:
    """`search dashboard` in a process of its own, as a person starts it; it is stopped by Ctrl-C."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "search.cli", "dashboard", "--no-browser", "--port", str(port), "--storage", url]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:

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
        assert (process.returncode, err) == (0, "")
        assert out == f"Optuna Dashboard at http://127.0.0.1:{port}; Ctrl-C ends it\n"
    finally:
        process.kill()
        process.communicate()


def test_a_browser_shows_a_study_while_trials_come(
    storage_url: str, store: Store, study: str, tell: Tell, browser: Any
) -> None:
    tell(0)
    with (
        served(storage_url, "--study", study) as address,
        refreshing(store, study, Path("/reports/r.html"), every=0.1),
    ):
        wait = WebDriverWait(browser.driver, 30)

        def text() -> str:
            found: str = browser.driver.find_element(By.TAG_NAME, "body").text
            return found.replace("\N{NO-BREAK SPACE}", " ")

        browser.open(f"{address}/dashboard/studies/1/trials?numbers=0")
        wait.until(lambda _: "the <b>GPU</b> is out of memory" in text())
        assert "reads block" in text()
        tell(12)
        until(lambda: "search-heads" in figures(store, study))
        browser.open(f"{address}/dashboard/studies/1")
        drawn = "return [...document.querySelectorAll('[id^=user-defined-plot]:has(.main-svg)')].map((card) => card.id)"
        wait.until(lambda driver: "user-defined-plot:search-blocks" in driver.execute_script(drawn))
        tell(18)
        until(lambda: "90.0\N{NO-BREAK SPACE}%" in get_note(store.load(study)))
        browser.open(f"{address}/dashboard/studies/1/note")
        wait.until(lambda _: "90.0 %" in text())
        assert browser.complaints() == []
        browser.driver.find_element(By.LINK_TEXT, "Open the report").click()
        wait.until(lambda driver: driver.current_url == f"{address}/reports/{study}")
        wait.until(lambda driver: driver.execute_script("return document.documentElement.dataset.drawn") == "all")
        assert "90.0 %" in text()
        assert browser.complaints() == []
