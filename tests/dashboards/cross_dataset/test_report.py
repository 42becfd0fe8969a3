"""The page across datasets, in a real browser."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from dashboards.cross_dataset import sentences
from dashboards.cross_dataset.advice import Advice, PastTaskRanking, advice_sentences
from dashboards.cross_dataset.report import FORMATS, CrossDatasetReport, NetworkResults, render, write_report
from dashboards.cross_dataset.tables import Task, regret_matrix, task_row
from objectives.results import CorrectMask, Trial
from spaces import Setting
from tests.support import names

PageOpener = Callable[[CrossDatasetReport], Any]
EVIL = """<script>alert(1)</script> "'"""
BEST = {
    "birds": Setting(90, 13, 4, "linear"),
    "cars": Setting(44, 16, 2, "linear"),
    "digits": Setting(19, 9, 4, "linear"),
}
SECTIONS = ["answer", "settings", "regret", "blocks", "new", "studies"]


def trial(number: int, setting: Setting, right: int) -> Trial:
    answers = CorrectMask(200, 2**right - 1)
    return Trial(number, "complete", setting, answers.accuracy, correct_mask=answers, details={"gmacs": 0.25})


@pytest.fixture(scope="module")
def tasks(make_task: Callable[..., Task]) -> dict[str, Task]:
    """Each is best with its own setting. That of cars loses 4 of 200 images on birds, and was stopped on digits."""
    right = {
        "birds": {"birds": 150, "cars": 146, "digits": 90},
        "cars": {"cars": 120, "birds": 119},
        "digits": {"digits": 198, "birds": 190},
    }
    made = {}
    for label, known in right.items():
        trials = [trial(number, BEST[of], count) for number, (of, count) in enumerate(known.items())]
        if label == "digits":
            trials.append(Trial(9, "pruned", BEST["cars"], reason="behind other trials"))
        made[label] = make_task(label, *trials)
    return made


@pytest.fixture(scope="module")
def advice() -> Advice:
    rankings = (
        PastTaskRanking("birds of 200 classes", 0.75, BEST["birds"], 0.9, 0.125),
        PastTaskRanking("ImageNet (arXiv 2307.08702)", 0.25, BEST["cars"], 0.5, 1.5),
    )
    return Advice(Setting(44, 13, 4, "ridge"), 50, 1200, 408, rankings, "search recommend --dataset folder")


@pytest.fixture(scope="module")
def report(tasks: dict[str, Task], advice: Advice) -> CrossDatasetReport:
    return CrossDatasetReport(
        (NetworkResults("unet32", regret_matrix([*tasks.values()]), advice),), 3, "search report --all --measure"
    )


@pytest.fixture
def pages(tmp_path: Path, browser: Any) -> PageOpener:
    def opened(found: CrossDatasetReport) -> Any:
        browser.open(write_report(found, tmp_path / "reports" / "all.html").as_uri())
        return browser

    return opened


def test_a_browser_draws_every_figure_and_asks_nothing_of_the_network(
    report: CrossDatasetReport, tmp_path: Path, browser: Any
) -> None:
    path = write_report(report, tmp_path / "reports" / "all.html")
    browser.open(path.as_uri())
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [path.as_uri()]
    assert browser.sections() == SECTIONS
    assert browser.drawn() == ["regret", "blocks"]
    assert browser.driver.find_element(By.TAG_NAME, "h1").text == "3 datasets, 1 network"
    answer = browser.driver.find_element(By.ID, "answer").text
    assert "30.0 points" in answer  # 60 of 200 birds
    assert "the best setting of digits, on birds\nthe difference is significant (p < 0.0001)" in answer
    assert "the best setting of birds, on average" in answer
    assert "search report --all --measure" in answer
    assert "search recommend --dataset folder" in answer


def test_cells_print_what_is_lost_and_say_why_one_is_missing(report: CrossDatasetReport, pages: PageOpener) -> None:
    browser = pages(report)
    texts = [each.text for each in browser.driver.find_elements(By.CSS_SELECTOR, "#regret .heatmap-label")]
    assert [text.split("\n")[0] for text in texts].count("0") == 3
    drawn = browser.driver.find_element(By.CSS_SELECTOR, "#regret .figure").text
    assert "30.0" in drawn
    assert drawn.count("stopped") == 1
    assert drawn.count("not") == 1  # that of digits was not tried on cars

    browser.driver.find_element(By.CSS_SELECTOR, "#regret summary").click()
    rows = browser.driver.find_elements(By.CSS_SELECTOR, "#regret tbody tr")
    cells = [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows]
    assert cells[0][:2] == ["birds", "0"]
    assert cells[1][0] == "cars"
    assert cells[1][1].startswith("2.0 (")
    assert cells[1][3:] == ["stopped early", ""]
    assert cells[2][2] == "not tried"
    assert rows[0].get_attribute("class") == "chosen"


def test_hovering_a_cell_tells_the_interval_and_the_setting(report: CrossDatasetReport, pages: PageOpener) -> None:
    browser = pages(report)
    plot = browser.driver.find_element(By.CSS_SELECTOR, "#regret .nsewdrag")
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    width, height = plot.rect["width"], plot.rect["height"]
    for column, line, told in (
        (0, 2, ("30.0 points", "the difference is significant", "block 9, t 19, pool 4", "compared image by image")),
        (2, 1, ("stopped early", "block 16, t 44, pool 2", "behind other trials")),
        (1, 1, ("its own best setting", "cars")),
    ):
        move = ActionChains(browser.driver)
        move.move_to_element_with_offset(plot, int(width * (column - 1) / 3) + 4, int(height * (line - 1) / 3) + 4)
        move.perform()
        hover = browser.driver.execute_async_script(
            """const [words, done] = arguments, until = Date.now() + 3000;
            (function look() {
                const found = document.querySelector('#regret .hoverlayer').textContent;
                found.includes(words) || Date.now() > until ? done(found) : setTimeout(look, 20);
            })()""",
            told[0],
        )
        for words in told:
            assert words in hover
    assert browser.complaints() == []


def test_names_from_the_data_stay_text(
    make_task: Callable[..., Task], report: CrossDatasetReport, advice: Advice, pages: PageOpener
) -> None:
    scripts = len(pages(report).driver.find_elements(By.TAG_NAME, "script"))
    facts: dict[str, Any] = {"name": EVIL, "backbone": EVIL, "classes": (EVIL, "</style>")}
    evil = make_task(EVIL, trial(0, BEST["birds"], 150), **facts)
    other = make_task("<img src=x onerror=alert(2)>", trial(0, BEST["cars"], 150), trial(1, BEST["birds"], 9))
    past = replace(advice, rankings=(replace(advice.rankings[0], task=EVIL),), command=EVIL)
    browser = pages(CrossDatasetReport((NetworkResults(EVIL, regret_matrix([evil, other]), past),), 2, EVIL))
    assert browser.complaints() == []  # an alert that is open would fail the next command
    assert len(browser.driver.find_elements(By.TAG_NAME, "script")) == scripts
    assert browser.driver.find_elements(By.TAG_NAME, "img") == []
    assert EVIL in browser.driver.find_element(By.CSS_SELECTOR, "#regret h2").text
    assert EVIL in browser.driver.find_element(By.ID, "new").text
    assert "<script>alert(1)</scrip…" in browser.driver.find_element(By.CSS_SELECTOR, "#regret .figure").text
    assert browser.drawn() == ["regret", "blocks"]


def test_one_dataset_a_network_is_a_page_without_a_matrix(tasks: dict[str, Task], advice: Advice) -> None:
    one = NetworkResults("unet32", regret_matrix([tasks["birds"]]), advice)
    page = render(CrossDatasetReport((one,), 1, "search report --all --measure"))
    assert "Nothing to compare yet" in page
    assert "There is only one dataset so far" in page
    assert "search recommend --dataset folder" in page
    assert "--measure" not in page
    other = NetworkResults("other", regret_matrix([tasks["cars"]]))
    assert "No two datasets share a network" in render(CrossDatasetReport((one, other), 2, ""))


def test_sections_of_several_networks_have_ids_of_their_own(
    tasks: dict[str, Task], report: CrossDatasetReport, pages: PageOpener
) -> None:
    second = NetworkResults("other", regret_matrix([tasks["birds"], tasks["cars"]]))
    browser = pages(CrossDatasetReport((*report.networks, second), 3, ""))
    assert browser.complaints() == []
    sections = ["answer", "settings", "regret-1", "blocks-1", "new-1", "regret-2", "blocks-2", "studies"]
    assert browser.sections() == sections
    assert browser.driver.find_element(By.CSS_SELECTOR, "#settings thead").text.startswith("Dataset Backbone")


@pytest.mark.parametrize("width", [360, pytest.param(1200, marks=pytest.mark.slow)])
def test_the_page_never_scrolls_sideways(
    report: CrossDatasetReport, pages: PageOpener, browser: Any, width: int
) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        pages(report)
        root = "document.documentElement"
        assert browser.driver.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def told(report: CrossDatasetReport) -> str:
    return " ".join(sentences.matrix_sentences(report.networks[0].matrix)).replace("\N{NO-BREAK SPACE}", " ")


def test_a_sentence_says_what_to_see(report: CrossDatasetReport, advice: Advice, tasks: dict[str, Task]) -> None:
    words = told(report)
    assert words.startswith("On birds the best setting of digits loses 30.0 points (")
    assert (
        "; the difference is significant (p < 0.0001). It is the largest of 4 losses, of which 2 are significant."
        in words
    )
    assert "If one setting must serve all datasets, the best setting of birds loses least: 1.5 points (" in words
    assert "at most 4.0 points (" in words
    assert "on digits." in words
    assert "2 cells are missing because no complete trial exists; `search report --all --measure` runs them." in words
    first, why, more = advice_sentences(advice)
    assert first.startswith(
        "Among 408 combinations of block, timestep and pool, 2 past tasks predict block 13, t 44, pool 4"
    )
    assert "birds of 200 classes (75.0 %), ranks it above 90.0 % of the others" in why.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert "it suits ImageNet (arXiv 2307.08702) least, where it loses 1.5 standard deviations against block 16" in why
    assert more.startswith("The past tasks have 2 different best combinations.")


def test_what_stands_for_a_dataset_is_said(tasks: dict[str, Task]) -> None:
    birds = task_row(replace(tasks["birds"], others=2))
    cars = replace(task_row(tasks["cars"]), setting=birds.setting)
    one, both = sentences.rows_sentences([birds]), sentences.rows_sentences([birds, cars])
    name = tasks["birds"].study.name
    last = f"Of several studies of a dataset, a tested one with most trials is shown: birds ({name}; 2 more)."
    assert one == (last,)
    assert both == ("2 best settings, all with the same block, timestep and pool.", last)


def test_programs_get_every_cell_as_numbers(report: CrossDatasetReport) -> None:
    (network,) = json.loads(FORMATS["json"](report))
    cells = {(cell["of"], cell["on"]): cell for cell in network["regret"]}
    assert cells["digits", "birds"]["loses"]["value"] == 0.3
    assert cells["cars", "digits"]["missing"] == "stopped early"
    assert cells["cars", "digits"]["loses"] is None
    assert cells["cars", "birds"]["setting"] == BEST["cars"].to_dict()
    assert [each["dataset"] for each in network["datasets"]] == ["birds", "cars", "digits"]
    assert network["datasets"][0]["validation"]["value"] == 0.75
    assert network["new"]["standings"][0]["weight"] == 0.75
    rows = {(row["best setting of"], row["used on"]): row for row in csv.DictReader(StringIO(FORMATS["csv"](report)))}
    assert len(rows) == 9
    assert float(rows["digits", "birds"]["loses"]) == 0.3
    assert (rows["digits", "cars"]["loses"], rows["digits", "cars"]["missing"]) == ("", "not tried")


@pytest.mark.parametrize(("form", "cell"), [("md", "| cars | 2.0 ("), ("latex", "cars & 2.0 (")])
def test_text_has_the_same_tables(report: CrossDatasetReport, form: str, cell: str) -> None:
    text = FORMATS[form](report)
    assert cell in text.replace("\\", "")
    assert "One setting for all" in text
    assert "stopped early" in text


def test_every_format_spells_control_characters_and_makes_no_formula(make_task: Callable[..., Task]) -> None:
    labels = (names.EVIL, f"{names.EVIL} 2")
    tasks = [
        make_task(label, trial(0, BEST[best], 150), trial(1, BEST[other], 140), name=label, backbone=names.EVIL)
        for label, best, other in zip(labels, ("birds", "cars"), ("cars", "birds"), strict=True)
    ]
    ranking = PastTaskRanking(names.EVIL, 0.75, BEST["birds"], 0.9, 0.125)
    advice = Advice(BEST["birds"], 50, 1200, 408, (ranking,), f"search recommend --dataset {names.EVIL}")
    network = NetworkResults(names.EVIL, regret_matrix(tasks), advice)
    evil = CrossDatasetReport((network,), 3, f"search report --all {names.EVIL}")
    names.check_page(render(evil))
    for form in ("md", "latex", "json", "csv"):
        text = FORMATS[form](evil)
        assert names.unsafe_characters(text) == set()
        text.encode()
    names.check_values(json.loads(FORMATS["json"](evil)))
    for row in csv.DictReader(StringIO(FORMATS["csv"](evil))):
        assert row["best setting of"].startswith("'=[red]x[/]")
