from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from choreographer.browsers.chromium import Chromium
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dashboards.page.png import write_pictures
from dashboards.similarity import sentences
from dashboards.similarity.report import SimilarityReport, figures, heatmap, render, write_similarity
from objectives.results import DrawSimilarity, Representation, Similarity, StudyResults
from spaces import SearchError
from tests.support import names

StudyMaker = Callable[..., StudyResults]
EVIL = "<script>alert(1)</script>"


def alike(rows: list[Representation], columns: list[Representation]) -> Similarity:
    """The less the farther apart their blocks and timesteps are."""

    def value(row: Representation, column: Representation) -> float:
        apart = abs((row.timestep or 0) - (column.timestep or 0))
        return 1 - 0.03 * abs(row.block - column.block) - apart / 1000

    values = tuple(tuple(value(row, column) for column in columns) for row in rows)
    return Similarity(tuple(rows), tuple(columns), values, tuple((0.01,) * len(columns) for _ in rows), 1000, 4)


@pytest.fixture
def found(study: StudyMaker) -> SimilarityReport:
    blocks = [Representation("unet32", block, 90) for block in range(6, 23)]
    steps = [Representation("unet32", 13, timestep) for timestep in (5, 90, 400)]
    layers = [Representation(EVIL, block, None) for block in range(1, 13)]
    draws = DrawSimilarity(
        "unet32", (12, 13, 14), (5, 400), ((0.99, 0.5), (0.98, 0.4), (0.97, None)), ((0.0, 0.1),) * 3, 1000, 4
    )
    return SimilarityReport(
        "birds", "unet32", study().architecture, 4, 61.0, alike(blocks, blocks), alike(steps, steps), draws,
        {EVIL: alike(blocks, layers)}, {EVIL: EVIL},
    )  # fmt: skip


def test_a_browser_draws_every_map_tells_on_hover_and_asks_nothing_of_the_network(
    found: SimilarityReport, tmp_path: Path, browser: Any
) -> None:
    path = write_similarity(found, tmp_path / "deeper" / "cka.html")
    browser.open(path.as_uri())
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [path.as_uri()]
    assert browser.drawn() == ["blocks", "timesteps", "other-0", "agreement"]
    assert browser.driver.find_element(By.CSS_SELECTOR, "#other-0 h2").text.endswith(EVIL)
    assert browser.driver.find_element(By.ID, "provenance").text.count(EVIL) == 3
    plot = browser.driver.find_element(By.CSS_SELECTOR, "#agreement .nsewdrag")
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    width, height = plot.size["width"], plot.size["height"]
    ActionChains(browser.driver).move_to_element_with_offset(plot, -int(width / 3), int(height / 4)).perform()
    hover = (By.CSS_SELECTOR, "#agreement .hoverlayer .hovertext")
    text = WebDriverWait(browser.driver, 10).until(lambda driver: driver.find_element(*hover).text)
    assert "0.99 ± 0.00" in text
    assert "t 5" in text


def test_what_the_maps_show_is_told(found: SimilarityReport) -> None:
    assert sentences.blocks_sentences(found.blocks, found.architecture) == (
        "Neighbouring blocks have a CKA of 0.97 on average. The least similar are blocks 6 and 22: 0.52. Across the "
        "bottleneck, block 13, the most similar are blocks 12 and 14: 0.94."
    )
    assert found.timesteps is not None
    assert sentences.timesteps_sentence(found.timesteps) == (
        "Neighbouring timesteps have a CKA of 0.80 on average; t 5 and t 400 have 0.60."
    )
    assert found.agreement is not None
    assert sentences.agreement_sentences(found.agreement).startswith(
        "Two draws agree most at block 12, t 5: 0.99; least at block 13, t 400: 0.40."
    )
    (other,) = found.others.values()
    told = sentences.networks_sentences(other)
    assert "The most similar pair is block 6 of unet32 and block 6 of" in told
    assert "block 6 is most similar to block 6 (0.91) and block 22 is most similar to block 12 (0.61)" in told


def test_what_cannot_be_compared_is_told_too(found: SimilarityReport) -> None:
    one = found.blocks.rows[:1]
    none = Similarity(one, one, ((None,),), ((None,),), 10, 1)
    assert sentences.blocks_sentences(none, found.architecture) == "Only one block was compared."
    assert sentences.timesteps_sentence(none) == "Only one timestep can be compared."
    assert sentences.networks_sentences(none) == "No pair can be compared."
    page = render(replace(found, blocks=none, timesteps=None, agreement=None, others={}))
    assert "in one batch" in sentences.scale_sentences(10, 1)
    assert "none" in page


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(0.861, 0.012, "0.86 ± 0.01"), (-0.032, None, "−0.03"), (-0.001, None, "0.00"), (None, None, "none")],
)
def test_numbers_are_told_with_their_error(value: float | None, error: float | None, text: str) -> None:
    assert sentences.cka_text(value, error) == text


def test_a_map_has_one_scale_and_leaves_out_what_is_not_there() -> None:
    figure = heatmap(["1", "2"], ["1"], [[0.5, None]], [[0.1, None]], ("Block of <b>", "Block of a & b"))
    heat = figure.data[0]
    assert (heat.zmin, heat.zmax, heat.z[0][1]) == (0, 1, None)
    assert figure.layout.xaxis.title.text == "Block of &lt;b&gt;"
    assert "a &amp; b: 1" in heat.customdata[0][0]


def test_maps_are_pictures_too(found: SimilarityReport, tmp_path: Path, browser: Any) -> None:
    """Needs a browser, as the fixture says."""
    drawn = {name: figure for name, figure in figures(found).items() if name in ("blocks", "agreement")}
    paths = write_pictures(drawn, tmp_path / "new", "birds")
    assert [path.name for path in paths] == ["birds-blocks.png", "birds-agreement.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["birds-agreement.png", "birds-blocks.png"]
    for path, figure in zip(paths, drawn.values(), strict=True):
        with Image.open(BytesIO(path.read_bytes())) as picture:
            assert picture.format == "PNG"
            assert picture.size == (2 * figure.layout.width, 2 * figure.layout.height)
            assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("found_at", [None, "/bin/false"], ids=["none", "one that ends at once"])
def test_a_machine_without_a_browser_is_told_what_would_do(
    found: SimilarityReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found_at: str | None
) -> None:
    monkeypatch.setattr(Chromium, "find_browser", lambda **_: found_at)
    with pytest.raises(SearchError, match="need Chrome or Chromium, and none was found that starts; install one"):
        write_pictures(figures(found), tmp_path, "birds")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(found: SimilarityReport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SearchError, match=r"^cannot write the PNG files to .*file: .*$"):
        write_pictures(figures(found), tmp_path / "file", "birds")


def test_the_page_spells_control_characters(found: SimilarityReport) -> None:
    (other,) = found.others.values()
    facts, evil = {names.EVIL: names.EVIL}, names.EVIL
    report = replace(found, dataset=evil, backbone=evil, others={evil: other}, facts=facts, left_out=[evil])
    names.check_page(render(report))
