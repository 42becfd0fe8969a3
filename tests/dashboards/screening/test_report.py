from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from dashboards.screening import tables
from dashboards.screening.figures import effective_rank_figure
from dashboards.screening.report import ScreeningContext, render, write_recommendation
from objectives.results import ScreeningResults, StudyResults
from spaces import SearchError, Setting, Space
from tests.support.names import EVIL, check_page

RecommendationMaker = Callable[..., ScreeningResults]
PageOpener = Callable[[ScreeningResults, ScreeningContext], Any]
FIGURES = ["blocks", "pooling"]
EVIDENCE = ["answer", *FIGURES, "cheaper", "compared", "timesteps", "learnt", "screened", "provenance"]


@pytest.fixture(scope="session")
def context(study: Callable[..., StudyResults]) -> ScreeningContext:
    made = study()
    command = "search run --dataset birds --backbone unet32"
    return ScreeningContext(
        "birds",
        "unet32",
        made.architecture,
        8,
        made.classes,
        41.3,
        command,
        {"Seed": "0", "Command": "search recommend"},
    )


@pytest.fixture(scope="session")
def plain(recommendation: RecommendationMaker) -> ScreeningResults:
    return recommendation()


def test_effective_ranks_have_a_figure_if_all_are_known(plain: ScreeningResults, context: ScreeningContext) -> None:
    space = Space(context.architecture, (5, 44, 90, 260, 600), tuple(range(6, 24)), (1, 2, 4), ("ridge",))
    cells = tables.block_by_timestep(plain, context.architecture, space)
    assert [block.number for block in cells.blocks] == list(range(6, 24))
    assert cells.empty == {"not screened": [*((23, t) for t in (5, 44, 90, 260)), *((b, 600) for b in range(6, 24))]}
    assert tables.effective_ranks(plain) == {}
    ranked = tuple(replace(score, effective_rank=2.0 * score.setting.block) for score in plain.comparable)
    known = replace(plain, on_fewest_images=ranked)
    ranks = tables.effective_ranks(known)
    assert ranks[7, 44] == 14
    heatmap = effective_rank_figure(cells, ranks).data[0]
    assert heatmap.z[1][1] == 14
    assert heatmap.z[4][0] is None
    page = render(known, replace(context, space=space))
    assert 'id="effective-rank"' in page
    assert "no measure of quality" in page
    assert 'id="effective-rank"' not in render(plain, context)


@pytest.fixture
def pages(tmp_path: Path, browser: Any) -> PageOpener:
    """Writes a recommendation's page, opens it and hands back the browser."""

    def opened(found: ScreeningResults, context: ScreeningContext) -> Any:
        browser.open(write_recommendation(found, context, tmp_path / "reports" / "r.html").as_uri())
        return browser

    return opened


def text_of(browser: Any, section: str) -> str:
    text: str = browser.driver.find_element(By.ID, section).text
    return text.replace("\N{NO-BREAK SPACE}", " ")


def rows_of(browser: Any, section: str) -> list[list[str]]:
    rows = browser.driver.find_elements(By.CSS_SELECTOR, f"#{section} tbody tr")
    return [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows]


def test_a_browser_draws_every_figure_and_asks_nothing_of_the_network(
    plain: ScreeningResults, context: ScreeningContext, tmp_path: Path, browser: Any
) -> None:
    path = write_recommendation(plain, context, tmp_path / "birds.html")
    assert list(tmp_path.iterdir()) == [path]
    browser.open(path.as_uri())
    assert browser.complaints() == []
    # Plotly paints a heatmap into an image that the page itself holds.
    assert [url for url in browser.requests() if not url.startswith("data:")] == [path.as_uri()]
    assert browser.sections() == EVIDENCE
    assert browser.drawn() == FIGURES
    assert browser.driver.title == "birds – recommendation"


def test_the_answer_is_the_setting_with_its_accuracy_its_cost_and_its_use(
    plain: ScreeningResults, context: ScreeningContext, pages: PageOpener
) -> None:
    browser = pages(plain, context)
    setting, expected = plain.best.setting, plain.expected
    listed = [each.text for each in browser.driver.find_elements(By.CSS_SELECTOR, "#answer .setting dd")]
    assert listed == [str(setting.block), str(setting.timestep), str(setting.pool)]
    text = text_of(browser, "answer")
    interval = f"{100 * expected.low:.1f}–{100 * expected.high:.1f}"
    assert f"{100 * expected.value:.1f} %\n95 % interval {interval}" in text
    assert "leave-one-out ridge on 600 of 2,000 training images" in text
    assert "the rest is extrapolated to all 2,000 images" in text
    share = 100 * plain.passes / (8 * 2000)
    assert (
        f"{plain.passes:,}\nin 41 s\n{share:.1f} % of the 16,000 passes that 2,000 images at 8 timesteps would take"
        in text
    )
    assert (
        f"with {len(plain.compared)} other settings at t {setting.timestep}, it is tied with {len(plain.tied)}" in text
    )
    assert browser.driver.find_element(By.ID, "commands").text == context.command

    lines = browser.driver.find_element(By.ID, "python").text
    names: dict[str, Any] = {}
    exec("\n".join(lines.splitlines()[:3]), names)
    assert names["setting"] == setting


def test_the_evidence_is_what_was_screened(
    plain: ScreeningResults, context: ScreeningContext, pages: PageOpener
) -> None:
    browser = pages(plain, context)
    cheaper = plain.cheaper[0]
    row = rows_of(browser, "cheaper")[0]
    assert row[:4] == [*map(str, (cheaper.screened.setting.block, cheaper.screened.setting.timestep)), row[2], row[3]]
    assert row[3] == f"{100 * cheaper.cost:.1f}"
    assert row[5].startswith(f"{100 * cheaper.accuracy_loss.value:.1f} (")
    compared = rows_of(browser, "compared")
    settings = [other.screened.setting for other in plain.compared]
    assert [row[:2] for row in compared] == [[str(setting.block), str(setting.timestep)] for setting in settings]
    assert [row[6] == "tied" for row in compared] == [other.tied for other in plain.compared]
    assert {row[1] for row in rows_of(browser, "timesteps")} == {"5", "44", "90", "260"} - {compared[0][1]}
    board = rows_of(browser, "screened")
    assert len(board) == 20
    assert [each[-1] for each in board] == sorted((each[-1] for each in board), reverse=True)
    chosen = browser.driver.find_element(By.CSS_SELECTOR, "#screened .chosen").text
    assert chosen.startswith(f"{plain.best.setting.block} {plain.best.setting.timestep} {plain.best.setting.pool} ")
    assert "Best leave-one-out accuracy (%)" in text_of(browser, "blocks")
    assert "Leave-one-out accuracy (%)" in text_of(browser, "pooling")
    page = browser.driver.find_element(By.TAG_NAME, "main").text.lower()
    assert "validation" not in page
    assert "trial" not in page


def test_the_frame_is_round_the_recommended_cell(plain: ScreeningResults, context: ScreeningContext) -> None:
    cells = tables.block_by_timestep(plain, context.architecture)
    assert cells.best is not None
    assert (cells.best.block.number, cells.best.timestep) == (plain.best.setting.block, plain.best.setting.timestep)
    assert cells.timesteps == (5, 44, 90, 260)
    assert all(cell.count == 3 for cell in cells.cells.values())
    inside = [score for score in plain.screened if (score.setting.block, score.setting.timestep) == (10, 90)]
    assert cells.cells[10, 90].best.value == max(score.accuracy.value for score in inside)
    assert tables.estimate(plain, plain.best).low == plain.interval_of(plain.best)[0]


def test_where_nothing_is_better_than_chance_no_setting_is_named(
    recommendation: RecommendationMaker, context: ScreeningContext, pages: PageOpener
) -> None:
    found = recommendation(quality=lambda setting: 0.12, chance=0.1)
    assert not found.better_than_chance
    browser = pages(found, context)
    assert browser.complaints() == []
    assert browser.sections() == ["answer", *FIGURES, "learnt", "screened", "provenance"]
    assert browser.drawn() == FIGURES
    text = text_of(browser, "answer")
    assert text.startswith("No setting is better than chance")
    expected = found.expected
    interval = f"{100 * expected.low:.1f}–{100 * expected.high:.1f}"
    assert f"{100 * expected.value:.1f} %\n95 % interval {interval}" in text
    assert "Chance\n10.0 %" in text
    assert "Block" not in text
    assert "import search" not in text
    assert browser.driver.find_elements(By.CLASS_NAME, "chosen") == []
    frames = "return document.querySelectorAll('#blocks .shapelayer path[style*=\"stroke: rgb(213, 94, 0)\"]').length"
    assert browser.driver.execute_script(frames) == 0
    browser = pages(recommendation(), context)
    assert browser.driver.execute_script(frames) == 1


def test_an_encoder_has_no_timestep(
    recommendation: RecommendationMaker, context: ScreeningContext, pages: PageOpener
) -> None:
    blocks = tuple(replace(block, part="layer") for block in context.architecture.blocks)
    encoder = replace(context.architecture, blocks=blocks, alphas_cumprod=())
    browser = pages(recommendation(timesteps=(None,)), replace(context, architecture=encoder, timesteps=1))
    assert browser.complaints() == []
    assert browser.drawn() == FIGURES
    text = text_of(browser, "answer")
    assert "Timestep" not in text
    assert "30.0 % of the 2,000 passes that all images would take" in text
    assert "'timestep': None" in browser.driver.find_element(By.ID, "python").text
    assert "timestep" not in browser.driver.find_element(By.CLASS_NAME, "lead").text
    assert "no noise" in text_of(browser, "blocks")
    assert {row[1] for row in rows_of(browser, "screened")} == {"none"}


def test_a_single_setting_makes_a_page(
    recommendation: RecommendationMaker, context: ScreeningContext, pages: PageOpener
) -> None:
    browser = pages(recommendation((44,), (16,), (2,), (2000, 2000)), context)
    assert browser.complaints() == []
    assert browser.sections() == ["answer", *FIGURES, "learnt", "screened", "provenance"]
    assert browser.drawn() == FIGURES
    text = text_of(browser, "answer")
    assert "No other setting was compared with it." in text
    assert "extrapolated" not in text  # all images were screened
    assert "1 setting at 1 of 8 timesteps" in text_of(browser, "provenance")


def test_names_from_the_data_stay_text(plain: ScreeningResults, context: ScreeningContext, pages: PageOpener) -> None:
    evil = """<script>alert(1)</script> "'"""
    scripts = len(pages(plain, context).driver.find_elements(By.TAG_NAME, "script"))
    names: dict[str, Any] = {"dataset": evil, "backbone": evil, "command": evil, "classes": (evil, "</style>")}
    browser = pages(plain, replace(context, facts={evil: evil}, **names))
    assert browser.complaints() == []  # an alert that is open would fail the next command
    assert browser.driver.find_element(By.TAG_NAME, "h1").text == evil
    assert browser.driver.find_element(By.ID, "commands").text == evil
    assert browser.driver.find_element(By.ID, "provenance").text.count(evil) == 5
    assert len(browser.driver.find_elements(By.TAG_NAME, "script")) == scripts
    assert browser.drawn() == FIGURES


@pytest.mark.parametrize("width", [360, pytest.param(1200, marks=pytest.mark.slow)])
def test_the_page_never_scrolls_sideways(
    plain: ScreeningResults, context: ScreeningContext, pages: PageOpener, width: int
) -> None:
    browser = pages(plain, context)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.driver.refresh()
        root = "document.documentElement"
        assert browser.driver.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(
    plain: ScreeningResults, context: ScreeningContext, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SearchError, match=r"^cannot write the report to .*r\.html: .*$"):
        write_recommendation(plain, context, tmp_path / "file" / "r.html")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_several_draws_are_told(plain: ScreeningResults, context: ScreeningContext, tmp_path: Path) -> None:
    drawn = Setting(44, 16, 2, "ridge", draws=4)
    best = replace(plain.best, setting=drawn)
    found = replace(plain, best=best, screened=(best,), compared=(), cheaper=())
    page = write_recommendation(found, context, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<dt>Noise draws</dt><dd>4</dd>" in page
    assert "&#39;draws&#39;: 4" in page
    assert context.architecture.pass_gmacs(drawn) == pytest.approx(4 * 0.16)


def test_the_page_spells_control_characters(plain: ScreeningResults, context: ScreeningContext) -> None:
    evil = replace(context, dataset=EVIL, backbone=EVIL, command=f"search run {EVIL}", facts={EVIL: EVIL}, called=EVIL)
    tasks = tuple(replace(task, task=EVIL) for task in plain.past_tasks)
    check_page(render(replace(plain, past_tasks=tasks), evil))
