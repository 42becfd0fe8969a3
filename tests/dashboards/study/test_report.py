import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dashboards.formatting import with_interval
from dashboards.study import tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.choices.analysis import Analysis
from dashboards.study.choices.tables import Importance, interaction
from dashboards.study.report import render, write_report
from objectives.results import Accuracy, Confusion, CorrectMask, Picture, StudyResults, Trial
from spaces import SearchError, Setting, Tap

StudyMaker = Callable[..., StudyResults]
PageOpener = Callable[[StudyResults], Any]
DRAWN = ["blocks", "pooling", "heads", "cost", "history", "time"]
FIGURES = [name for name in DRAWN if name != "cost"]
WITH_TRIALS = [*DRAWN, "trials"]
EVIDENCE = ["answer", "finalists", *DRAWN, "trials", "failures", "provenance"]
slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture
def pages(tmp_path: Path, browser: Any) -> PageOpener:
    """Writes a study's report, opens it and hands back the browser."""

    def opened(study: StudyResults) -> Any:
        browser.open(write_report(study, tmp_path / "reports" / "r.html").as_uri())
        return browser

    return opened


def test_a_browser_draws_every_figure_and_asks_nothing_of_the_network(
    realistic: StudyMaker, tmp_path: Path, browser: Any
) -> None:
    path = write_report(realistic(), tmp_path / "reports" / "birds.html")
    browser.open(path.as_uri())
    assert browser.complaints() == []
    # Plotly paints a heatmap into an image that the page itself holds.
    assert [url for url in browser.requests() if not url.startswith("data:")] == [path.as_uri()]
    assert browser.sections() == EVIDENCE
    assert browser.drawn() == WITH_TRIALS
    assert "birds" in browser.driver.title
    assert browser.driver.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"


def test_the_answer_is_that_of_the_summary(realistic: StudyMaker, pages: PageOpener) -> None:
    study = realistic()
    found = study_answer(study)
    assert found is not None
    assert found.test is not None
    browser = pages(study)
    text = browser.driver.find_element(By.ID, "answer").text.replace("\N{NO-BREAK SPACE}", " ")
    assert (
        f"{100 * found.test.value:.1f} %\n95 % interval {100 * found.test.low:.1f}–{100 * found.test.high:.1f}" in text
    )
    assert f"{100 * found.validation.value:.1f} %" in text
    assert "mean of 3 seeds (0, 1, 2), 1,389 images" in text
    assert f"search best --study {study.name} --json" in text
    assert f"search export --study {study.name}" in text

    setting, architecture = found.setting, study.architecture
    lines = browser.driver.find_element(By.ID, "python").text
    assert setting_of(lines) == setting
    assert f"(images, {architecture.block(setting.block).channels * setting.pool**2})" in lines


def test_an_answer_of_several_taps_names_and_reads_them_all(
    study: StudyMaker, realistic: StudyMaker, pages: PageOpener
) -> None:
    alone = realistic().complete[5]
    taps = Tap(13, 90), Tap(16, 44), Tap(13, 44)
    several = replace(alone, number=99, setting=alone.setting.reading(*taps), validation=Accuracy(290, 300))
    browser = pages(study((alone, several)))
    assert browser.complaints() == []
    answer = browser.driver.find_element(By.ID, "answer")
    assert answer.find_element(By.CSS_SELECTOR, ".setting-line").text == str(several.setting)
    read = answer.find_elements(By.CSS_SELECTOR, ".network text")
    assert [number.text for number in read] == ["13", "16"]
    lines = browser.driver.find_element(By.ID, "python").text
    assert setting_of(lines) == several.setting
    length = sum(study().architecture.block(tap.block).channels for tap in taps) * alone.setting.pool**2
    assert f"(images, {length})" in lines
    board = browser.driver.find_element(By.ID, "trials").text
    assert "13 + 16 + 13 44 + 44 + 90" in board
    assert "Best with 3 taps" in browser.driver.find_element(By.ID, "taps").text
    assert "Trials with several taps are not shown." in browser.driver.find_element(By.ID, "blocks").text
    assert "taps" in browser.drawn()


def setting_of(lines: str) -> Setting:
    """Return the setting that the Python lines make."""
    names: dict[str, Any] = {}
    exec("\n".join(lines.splitlines()[:3]), names)
    setting: Setting = names["setting"]
    return setting


def test_a_study_of_several_taps_alone_has_no_cells(
    study: StudyMaker, realistic: StudyMaker, pages: PageOpener
) -> None:
    alone = realistic().complete[5]
    several = replace(alone, setting=alone.setting.reading(Tap(13, 90), Tap(16, 44)))
    browser = pages(study((several,)))
    assert browser.complaints() == []
    assert "blocks" not in browser.sections()


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("no trial", (["answer", "provenance"], [])),
        slow("one failed", (["answer", "time", "failures", "provenance"], ["time"])),
        slow("one complete", (["answer", *DRAWN, "trials", "provenance"], DRAWN)),
        slow("costs unknown", (["answer", *FIGURES, "trials", "provenance"], [*FIGURES, "trials"])),
        slow("no finals", ([name for name in EVIDENCE if name != "finalists"], WITH_TRIALS)),
        ("only finals", (["answer", "finalists", "time", "provenance"], ["time"])),
    ],
)
def test_every_kind_of_study_makes_a_page(
    pages: PageOpener, study: StudyMaker, realistic: StudyMaker, kind: str, shown: tuple[list[str], list[str]]
) -> None:
    run = realistic()
    failed = Trial(0, "failed", Setting(44, 16, 2, "linear"), reason="lost its worker", seconds={"extract": 1.0})
    made = {
        "no trial": study(),
        "one failed": study((failed,)),
        "one complete": study(run.complete[:1]),
        "costs unknown": study(tuple(replace(trial, details={}) for trial in run.complete)),
        "no finals": study(run.trials),
        "only finals": study((), run.finals),
    }[kind]
    browser = pages(made)
    assert browser.complaints() == []
    assert (browser.sections(), browser.drawn()) == shown


@pytest.fixture
def pictured(realistic: StudyMaker) -> StudyResults:
    """A study with pictures of mistakes, and of images that only good settings classify correctly."""
    file = BytesIO()
    Image.new("RGB", (112, 112), "#806040").save(file, "JPEG")
    run, chance = realistic(), random.Random(0)
    best = {trial.number for trial in run.complete[: len(run.complete) // 2]}
    trials = tuple(
        replace(trial, correct_mask=CorrectMask(300, (chance.getrandbits(300) | 7) if trial.number in best else 8))
        if trial.state == "complete"
        else trial
        for trial in run.trials
    )
    confused = (Confusion(3, 4, 9, (40, 41)), Confusion(5, 6, 1, (44,)))
    finals = tuple(replace(final, confused=confused) for final in run.finals)
    images = ((40, None, 3), (41, None, 3), (44, 2, 5), (90, None, 4), (91, 0, 8), (92, 1, 9), (93, 3, 7))
    pictures = tuple(Picture(i, at, label, f"image {i}.jpg", file.getvalue()) for i, at, label in images)
    return replace(run, trials=trials, finals=finals, pictures=pictures)


def test_mistakes_and_what_a_good_setting_changes_are_shown_in_pictures(
    pictured: StudyResults, pages: PageOpener
) -> None:
    browser = pages(pictured)
    assert browser.complaints() == []

    def shown(section: str) -> dict[str, list[tuple[str, str]]]:
        script = """return [...document.querySelectorAll(`#${arguments[0]} .pictures`)].map((row) => [
            row.previousElementSibling.textContent,
            [...row.querySelectorAll('figure')].filter((f) => f.querySelector('img').naturalWidth === 112)
                .map((f) => [f.querySelector('img').alt, f.textContent])])"""
        found = browser.driver.execute_script(script, section)
        return {title: [(alt, text.replace("\N{NO-BREAK SPACE}", " ")) for alt, text in rows] for title, rows in found}

    assert shown("confusions") == {
        "‘species 3’ predicted as ‘species 4’: 27 images": [
            ("image 40.jpg, ‘species 3’ predicted as ‘species 4’: 27 images", ""),
            ("image 41.jpg, ‘species 3’ predicted as ‘species 4’: 27 images", ""),
            ("image 90.jpg", "for comparison, a ‘species 4’"),
        ],
        "‘species 5’ predicted as ‘species 6’: 3 images": [
            ("image 44.jpg, ‘species 5’ predicted as ‘species 6’: 3 images", "")
        ],
    }
    changed = shown("contested")
    many = len(pictured.complete) // 4
    right = changed["Correct with the best settings, wrong with the worst"]
    assert sorted(right) == [
        ("image 44.jpg", f"species 5: right in {many} of the {many} best trials, 0 of the {many} worst"),
        ("image 91.jpg", f"species 8: right in {many} of the {many} best trials, 0 of the {many} worst"),
        ("image 92.jpg", f"species 9: right in {many} of the {many} best trials, 0 of the {many} worst"),
    ]
    (wrong,) = changed["Wrong with the best settings, correct with the worst"]
    assert wrong[0] == "image 93.jpg"
    assert wrong[1].endswith(f"best trials, {many} of the {many} worst")


def test_names_of_pictures_and_classes_stay_text(pictured: StudyResults, pages: PageOpener) -> None:
    evil = """"><script>alert(1)</script>"""
    pictures = tuple(replace(picture, name=evil) for picture in pictured.pictures)
    browser = pages(replace(pictured, pictures=pictures, classes=(evil,) * 50))
    assert browser.complaints() == []
    images = browser.driver.find_elements(By.TAG_NAME, "img")
    assert images
    assert all((image.get_attribute("alt") or "").startswith(evil) for image in images)
    assert evil in browser.driver.find_element(By.CSS_SELECTOR, "#confusions h3").text


@pytest.mark.parametrize("section", ["blocks", "interaction"])
def test_a_cell_tells_its_uncertainty_on_hover(
    realistic: StudyMaker, tmp_path: Path, browser: Any, section: str
) -> None:
    study = realistic()
    importances = (
        Importance("pool", {"fANOVA": 0.6, "PED-ANOVA": 0.7}),
        Importance("head", {"fANOVA": 0.4, "PED-ANOVA": 0.3}),
    )
    browser.open(write_report(study, tmp_path / "r.html", Analysis(importances)).as_uri())
    frame = browser.driver.find_element(By.CSS_SELECTOR, f"#{section} .shapelayer path[style*='rgb(213, 94, 0)']")
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", frame)
    ActionChains(browser.driver).move_to_element(frame).perform()
    hover = (By.CSS_SELECTOR, f"#{section} .hoverlayer .hovertext")
    text = WebDriverWait(browser.driver, 10).until(lambda driver: driver.find_element(*hover).text)
    cells, pairs = tables.block_by_timestep(study), interaction(study, importances)
    assert cells.best is not None
    assert pairs is not None
    framed = cells.best if section == "blocks" else pairs.cells[pairs.framed]
    assert with_interval(framed.best).replace("\N{NO-BREAK SPACE}", " ") in text
    assert f"trial {framed.trial}" in text
    assert browser.complaints() == []


@pytest.mark.slow
def test_a_page_that_is_printed_before_it_is_drawn_has_every_figure(
    realistic: StudyMaker, tmp_path: Path, browser: Any
) -> None:
    """The first figure is drawn after the page has been shown."""
    page = render(realistic()).replace("requestAnimationFrame(() => setTimeout(drawOn));", "")
    (tmp_path / "r.html").write_text(page)
    browser.driver.get((tmp_path / "r.html").as_uri())
    assert browser.drawn() == []
    browser.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert browser.drawn() == WITH_TRIALS


def test_names_from_the_data_stay_text(realistic: StudyMaker, pages: PageOpener) -> None:
    evil = """<script>alert(1)</script> "'"""
    plain = realistic()
    scripts = len(pages(plain).driver.find_elements(By.TAG_NAME, "script"))
    broken = Trial(90, "failed", Setting(44, 16, 2, "<img src=x onerror=alert(2)>"), reason=evil)
    worked = replace(
        plain.complete[0],
        number=91,
        setting=Setting(44, 16, 2, "<img src=x onerror=alert(3)>"),
        validation=Accuracy(299, 300),
    )
    names: dict[str, Any] = {
        "dataset": evil,
        "name": evil,
        "backbone": evil,
        "preset": evil,
        "classes": (evil, "</style>"),
    }
    browser = pages(replace(plain, trials=(*plain.trials, broken, worked), provenance={evil: evil}, **names))
    assert browser.complaints() == []  # an alert that is open would fail the next command
    assert browser.driver.find_element(By.TAG_NAME, "h1").text == evil
    assert evil in browser.driver.find_element(By.ID, "failures").text
    assert browser.driver.find_element(By.ID, "provenance").text.count(evil) == 7
    assert "<img src=x" in browser.driver.find_element(By.CSS_SELECTOR, "#heads .figure").text
    assert "<img src=x" in browser.driver.find_element(By.ID, "cost").text
    assert len(browser.driver.find_elements(By.TAG_NAME, "script")) == scripts
    assert browser.driver.find_elements(By.TAG_NAME, "img") == []
    assert browser.drawn() == WITH_TRIALS


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_figures_take_the_ink_of_the_page(realistic: StudyMaker, pages: PageOpener, scheme: str) -> None:
    browser = pages(realistic())
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    inks = browser.driver.execute_script(
        """const ink = (element, name) => getComputedStyle(element)[name];
        const texts = [...document.querySelectorAll('.figure :is(.xtick, .ytick, .infolayer) text')];
        return [ink(document.querySelector('.lead'), 'color'), [...new Set(texts.map((t) => ink(t, 'fill')))]];"""
    )
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    expected = {"light": "rgb(90, 98, 106)", "dark": "rgb(163, 169, 175)"}[scheme]
    assert inks == [expected, [expected]]


@pytest.mark.parametrize("width", [360, pytest.param(1200, marks=pytest.mark.slow)])
def test_the_page_never_scrolls_sideways(realistic: StudyMaker, tmp_path: Path, browser: Any, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.open(write_report(realistic(), tmp_path / "r.html").as_uri())
        root = "document.documentElement"
        assert browser.driver.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
        assert browser.overlaps() == []
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_tables_have_captions_and_scoped_headers(realistic: StudyMaker, tmp_path: Path) -> None:
    page = write_report(realistic(), tmp_path / "r.html").read_text(encoding="utf-8")
    body = page[: page.index("plotly.js v")]
    assert body.count("<table") == body.count("<caption>") == 10
    headers = re.findall(r"<th\b[^>]*>", body)
    assert len(headers) > 50
    assert all('scope="col"' in header or 'scope="row"' in header for header in headers)


def test_five_thousand_trials_stay_under_ten_megabytes(realistic: StudyMaker, tmp_path: Path) -> None:
    path = write_report(realistic(5000), tmp_path / "r.html")
    assert path.stat().st_size < 10e6


def test_a_report_replaces_the_old_one_and_leaves_nothing_else(study: StudyMaker, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")
    assert write_report(study(), path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(study: StudyMaker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SearchError, match=r"^cannot write the report to .*r\.html: .*$"):
        write_report(study(), tmp_path / "file" / "r.html")
    (tmp_path / "r.html").mkdir()
    with pytest.raises(SearchError, match=r"`out` takes a file, got the folder .*r\.html"):
        write_report(study(), tmp_path / "r.html")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "r.html"]


def test_the_command_that_goes_on_is_the_one_that_was_typed(realistic: StudyMaker) -> None:
    typed = "search run --dataset birds --data-root 'my birds' --trials 40 --heads linear"
    page = render(replace(realistic(), provenance={"command": typed}))
    assert "search run --dataset birds --data-root &#39;my birds&#39; --trials 200 --heads linear" in page
