"""The table of all trials in a real browser: it is sorted and filtered, and the figure above it follows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from dashboards.study.report import write_report
from dashboards.study.trials import axes, trials_section
from objectives.results import StudyResults

StudyMaker = Callable[..., StudyResults]


@pytest.fixture
def page(realistic: StudyMaker, tmp_path: Path, browser: Any) -> Iterator[Any]:
    browser.open(write_report(realistic(), tmp_path / "r.html").as_uri())
    yield browser.driver
    assert browser.complaints() == []


def column(driver: Any, number: int) -> list[str]:
    """Return the texts of a column, from 1, of the rows that are shown."""
    script = """return [...document.querySelectorAll('#trials tbody tr')].filter((row) => !row.hidden)
        .map((row) => row.cells[arguments[0] - 1].textContent)"""
    texts: list[str] = driver.execute_script(script, number)
    return texts


def test_trials_are_sorted_and_filtered_by_the_keyboard(page: Any) -> None:
    everything = column(page, 1)
    button = page.find_elements(By.CSS_SELECTOR, "#trials thead button")[3]
    assert button.text == "Timestep"
    button.send_keys(Keys.ENTER)
    timesteps = [int(text) for text in column(page, 4)]
    assert timesteps == sorted(timesteps)
    button.send_keys(Keys.ENTER)
    assert [int(text) for text in column(page, 4)] == sorted(timesteps, reverse=True)
    assert page.find_element(By.CSS_SELECTOR, "#trials [aria-sort]").get_attribute("aria-sort") == "descending"

    wanted = timesteps[len(timesteps) // 2]
    field = page.find_element(By.ID, "trials-filter")
    field.send_keys(f"timestep={wanted} complete")
    count = page.find_element(By.CSS_SELECTOR, "#trials output")
    WebDriverWait(page, 5).until(lambda _: not count.text.startswith(f"{len(everything)} "))
    assert set(column(page, 4)) == {str(wanted)}
    assert set(column(page, 7)) == {"complete"}
    assert count.text == f"{len(column(page, 1))} of {len(everything)}"
    script = """return document.querySelector('#trials .figure').data.filter((trace) => trace.meta)
        .reduce((sum, trace) => sum + trace.x.filter((x) => x === null).length, 0)"""
    assert page.execute_script(script) == len(column(page, 1))  # a line for each row


def test_a_row_for_every_trial_the_best_first(realistic: StudyMaker) -> None:
    study = realistic()
    table = trials_section(study).table
    assert table is not None
    assert len(table.rows) == len(study.trials)
    assert [row[0] for row in table.rows[: len(study.complete)]] == [str(trial.number) for trial in study.complete]
    assert {row[6] for row in table.rows[len(study.complete) :]} == {"pruned", "failed"}


def test_an_axis_has_the_values_that_were_tried(realistic: StudyMaker) -> None:
    study = realistic()
    drawn = {axis.name: (axis, values) for axis, values in axes(study.complete)}
    axis, values = drawn["pool"]
    assert [value for value, _ in axis.values] == sorted({trial.setting.pool for trial in study.complete})
    assert values == [trial.setting.pool for trial in study.complete]
    assert (axis.height(axis.values[0][0]), axis.height(axis.values[-1][0])) == (0.0, 1.0)
    assert trials_section(study).figure is not None
    assert axes(study.complete[:1]) == []
