"""A person with a browser: submits a search, watches it to its end, opens the report, and classifies an image."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from objectives.datasets.catalog import load_dataset
from objectives.home import Home
from search.database.store import Store
from search.server.settings import settings_of
from search.study.export import export_classifier
from tests.support.api_server import ApiServer, api_server
from tests.support.browser import Browser

FEW = {"trials": "2", "blocks": "14", "timesteps": "20", "pools": "2,4", "heads": "linear"} | {
    **{"finalists": "1", "final_seeds": "1", "validation_fraction": "0.2"}
}
"""Options of a search that takes seconds."""

SECONDS = 120


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[ApiServer]:
    """A server without tokens, and a worker beside it."""
    home = Home.at(tmp_path / "home")
    words = [sys.executable, "-m", "search", "worker", "--cores", "1", "--gpus", "none", "--home", str(home.folder)]
    with api_server(settings_of(home), with_tokens=False) as running:
        worker = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield running
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)


@pytest.mark.slow
def test_a_search_from_the_form_to_a_classified_image(browser: Browser, open_server: ApiServer, tmp_path: Path) -> None:
    driver, wait = browser.driver, WebDriverWait(browser.driver, SECONDS, poll_frequency=0.1)

    def text_of(selector: str) -> str:
        return driver.find_element(By.CSS_SELECTOR, selector).text

    browser.open(f"{open_server.url}/submit")
    driver.find_element(By.CSS_SELECTOR, "details summary").click()
    for name, value in FEW.items():
        field = driver.find_element(By.ID, name)
        field.clear()
        field.send_keys(value)
    driver.find_element(By.ID, "warm_start").click()
    driver.find_element(By.CSS_SELECTOR, "button[value=plan]").click()
    wait.until(lambda _: driver.find_elements(By.ID, "plan-title"))
    assert "1,797 images of 10 classes" in text_of("#answer")
    assert "passes" in text_of("#answer")

    driver.find_element(By.CSS_SELECTOR, "button[value=start]").click()
    wait.until(lambda _: "/jobs/1" in driver.current_url)
    seen = set()

    def is_finished(_: object) -> bool:
        state = driver.execute_script("return document.querySelector('.live .state')?.textContent")
        seen.add(state)
        assert state != "failed", text_of(".live")
        return bool(state == "finished")

    wait.until(is_finished)
    assert "running" in seen
    wait.until(lambda _: "2 of 2 trials" in text_of(".live"))
    assert "study digits-" in text_of("#log")
    assert text_of("#announcement") == "job 1: finished, 100 % of its trials"
    assert not browser.complaints()
    assert all(url.startswith(open_server.url) for url in browser.requests())

    study = text_of(".links a").removeprefix("Study ")
    driver.find_element(By.LINK_TEXT, "Report").click()
    wait.until(lambda _: driver.find_elements(By.CLASS_NAME, "setting-line"))
    answer = text_of(".setting-line")
    browser.open(f"{open_server.url}/studies/{study}")
    assert text_of(".setting-line") == answer

    home = open_server.settings.home
    with Store.open(home.storage) as store:
        export_classifier(store.read_study(study), store.saved_options(study), home)
    digits, image = load_dataset("digits", None), tmp_path / "digit.png"
    digits.images.read(0).save(image)
    browser.open(f"{open_server.url}/classifiers")
    driver.find_element(By.LINK_TEXT, study).click()
    driver.find_element(By.ID, "images").send_keys(str(image))
    driver.find_element(By.CSS_SELECTOR, "form.drop button").click()
    wait.until(lambda _: driver.find_elements(By.CSS_SELECTOR, ".classified img"))
    assert text_of(".classified h3") == "digit.png"
    rows = [row.text for row in driver.find_elements(By.CSS_SELECTOR, ".classified tbody tr")]
    assert len(rows) == 5
    assert rows[0].startswith(digits.classes[digits.labels[0]])
    assert rows[0].endswith("%")
    assert not browser.complaints()
