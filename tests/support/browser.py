"""A real browser to look at pages with: the fixtures `chromium` and `browser`."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait


class Browser:
    """Headless Chromium that remembers what pages asked of the network and complained of."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Open a page, and wait until it has drawn all of its figures."""
        self.requests(), self.complaints()  # forget those of the page before
        self.driver.get(url)
        ready = "return !document.querySelector('main .figure') || document.documentElement.dataset.drawn === 'all'"
        WebDriverWait(self.driver, 30, poll_frequency=0.05).until(lambda driver: driver.execute_script(ready))

    def requests(self) -> list[str]:
        """Return the addresses requested since the last call, without those of the browser's first page (`chrome://`)."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("chrome://")]

    def complaints(self) -> list[str]:
        """Return the warnings and errors of the console since the last call."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] != "INFO"]

    def sections(self) -> list[str]:
        """Return the ids of all sections."""
        ids: list[str] = self.driver.execute_script("return [...document.querySelectorAll('section')].map((s) => s.id)")
        return ids

    def drawn(self) -> list[str]:
        """Return the ids of the sections whose figure plotly has drawn."""
        script = "return [...document.querySelectorAll('.figure:has(.main-svg)')].map((f) => f.parentElement.id)"
        ids: list[str] = self.driver.execute_script(script)
        return ids

    def overlaps(self) -> list[str]:
        """Return the texts of figures that lie on each other or outside of their figure, as "section: text | text"."""
        script = """return [...document.querySelectorAll('main .figure')].flatMap((figure) => {
            const box = figure.getBoundingClientRect(), hidden = figure.scrollWidth - figure.clientWidth;
            const texts = [...figure.querySelectorAll('text')]
                .map((text) => [text.textContent, text.getBoundingClientRect()])
                .filter(([words, place]) => words.trim() && place.width);
            const name = `${figure.parentElement.id}: `;
            const outside = texts.filter(([, at]) => at.left < box.left - 1 || at.right > box.right + hidden + 1)
                .map(([words]) => name + words);
            const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3.5;
            return [...outside, ...texts.flatMap(([words, at], index) => texts.slice(index + 1)
                .filter(([, other]) => over(at, other)).map(([others]) => `${name}${words} | ${others}`))];
        })"""
        found: list[str] = self.driver.execute_script(script)
        return found

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not binary or not chromedriver:
        pytest.skip("needs chromium and chromedriver on the PATH")
    profile: Path = tmp_path_factory.mktemp("profile")
    options = ChromeOptions()
    options.binary_location = binary
    arguments = (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        f"--user-data-dir={profile}",
    )
    for argument in arguments:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Chrome) -> Iterator[Browser]:
    """One browser for all tests. No test leaves a page open: Optuna Dashboard draws its figures again and again."""
    yield Browser(chromium)
    chromium.get("about:blank")
