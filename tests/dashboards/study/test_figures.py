from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.page.figures import block_by_timestep_figure, expected_figure, groups_figure
from dashboards.page.style import colour_range, metric_heatmap
from dashboards.study import figures, tables
from dashboards.study.answer.answer import study_answer
from dashboards.tables import Estimate, ExpectedCell, ExpectedCells, Group
from objectives.results import ACCURACY, StudyResults
from spaces import Setting, Space

StudyMaker = Callable[..., StudyResults]
TIMESTEPS = (5, 19, 44, 90, 160, 260, 400, 600)


@pytest.fixture(scope="module")
def run(realistic: StudyMaker) -> StudyResults:
    return realistic()


@pytest.fixture(scope="module")
def in_space(run: StudyResults) -> StudyResults:
    """The same study with its space, which has a block and a timestep that nobody tried."""
    space = Space(run.architecture, (*TIMESTEPS, 999), tuple(range(6, 24)), (1, 2, 4), ("linear", "mlp"))
    return replace(run, space=space, screened=(Setting(999, 7, 1, "ridge"),))


def test_a_heatmap_has_a_place_for_every_cell_of_the_space_and_marks_the_empty_ones(in_space: StudyResults) -> None:
    table = tables.block_by_timestep(in_space)
    heatmap, untried, screened = block_by_timestep_figure(table).data
    assert [block.number for block in table.blocks] == list(range(6, 24))
    assert table.timesteps == (*TIMESTEPS, 999)
    assert (len(heatmap.x), len(heatmap.y)) == (18, 9)
    assert list(heatmap.z[8]) == [None] * 18
    assert (untried.name, len(untried.x)) == ("not tried", 18 * 9 - len(table.cells) - 1)
    assert (screened.name, list(screened.x), list(screened.y)) == ("screened, not tried", [1], ["t 999"])
    for row, counts, timestep in zip(heatmap.z, heatmap.text, table.timesteps, strict=True):
        for block, value, count in zip(table.blocks, row, counts, strict=True):
            cell = table.cells.get((block.number, timestep))
            assert (value is None, count) == ((True, "") if cell is None else (False, str(cell.count)))


def test_one_bad_cell_does_not_make_the_others_one_colour() -> None:
    usual = [60.0, 61.0, 62.0, 63.0, 64.0, 65.0]
    assert colour_range([*usual, 2.0]) == (60.0, 65.0)
    assert colour_range(usual) == (60.0, 65.0)
    assert colour_range([1.0, 60.0, 61.0]) == (1.0, 61.0)  # too few to tell
    assert colour_range([5.0] * 8) == (5.0, 5.0)
    look = metric_heatmap(ACCURACY, [*usual, 2.0], "Accuracy (%)")
    assert look["colorbar"]["title"]["text"].startswith("Accuracy (%); 1 cell below the scale")


def test_what_is_expected_fills_every_cell(in_space: StudyResults) -> None:
    table = tables.block_by_timestep(in_space)
    cells = {
        (block.number, timestep): ExpectedCell(Setting(timestep, block.number, 1, "linear"), 0.3, 0.1, 0.5, 0.1)
        for block in table.blocks
        for timestep in table.timesteps
    }
    heatmap, tried = expected_figure(table, ExpectedCells(cells, "linear", 1, 40), ACCURACY).data
    assert all(value == pytest.approx(30) for row in heatmap.z for value in row)
    assert (tried.name, len(tried.x)) == ("tried", len(table.cells))
    assert heatmap.colorbar.title.text.startswith("Expected, not measured")
    assert "95 % interval 10.0 to 50.0" in heatmap.customdata[0][0]


def test_without_a_space_a_heatmap_has_a_column_for_every_block_of_the_network(run: StudyResults) -> None:
    table = tables.block_by_timestep(run)
    figure = block_by_timestep_figure(table)
    heatmap = figure.data[0]
    assert list(heatmap.x) == list(range(25))
    assert list(figure.layout.xaxis.ticktext) == [str(block) for block in range(1, 26, 2)]
    assert len(heatmap.y) == len(table.timesteps)
    for row, timestep in zip(heatmap.z, table.timesteps, strict=True):
        for block, value in enumerate(row, start=1):
            cell = table.cells.get((block, timestep))
            assert value is None if cell is None else value == pytest.approx(100 * cell.best.value)
    assert [annotation.text for annotation in figure.layout.annotations] == ["encoder", "bottleneck", "decoder"]
    lines = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert lines == [11.5, 12.5]


def test_heatmap_frames_the_cell_of_the_answer_and_tells_its_best_trial_on_hover(run: StudyResults) -> None:
    table = tables.block_by_timestep(run)
    figure = block_by_timestep_figure(table)
    answer, best = study_answer(run), table.best
    assert answer is not None
    assert best is not None
    assert (best.block.number, best.timestep) == (answer.setting.block, answer.setting.timestep)
    row = table.timesteps.index(best.timestep)
    frame = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (
        best.block.number - 1.5,
        best.block.number - 0.5,
        row - 0.5,
        row + 0.5,
    )
    hover = figure.data[0].customdata[row][best.block.number - 1]
    assert f"{best.block.channels} channels of {best.block.side} × {best.block.side}" in hover
    assert f"trial {best.trial}" in hover


def test_groups_show_every_trial_and_the_best_with_its_interval(run: StudyResults) -> None:
    groups = tables.pooling_groups(run)
    *boxes, best = groups_figure("Pool size", groups).data
    assert [list(box.x) for box in boxes] == [[100 * value for value in group.values] for group in groups]
    for index, group in enumerate(groups):
        assert best.x[index] + best.error_x.array[index] == pytest.approx(100 * group.best.high)
        assert best.x[index] - best.error_x.arrayminus[index] == pytest.approx(100 * group.best.low)


def test_two_values_have_no_box() -> None:
    group = Group("4", Setting(10, 3, 1, "linear"), Estimate(0.5, 0.4, 0.6, 100), (0.5, 0.4))
    points, best = groups_figure("Pool", [group]).data
    assert (points.type, list(points.x), list(best.y)) == ("scatter", [50, 40], ["4 (2)"])


def test_history_and_time_draw_their_tables(run: StudyResults) -> None:
    points, phases = tables.history(run), tables.time_by_phase(run)
    dots, steps = figures.history_figure(points).data
    assert list(dots.x) == list(steps.x) == [point.trial for point in points]
    assert list(steps.y) == [100 * point.best for point in points]
    by_time = tables.history_by_time(run)
    *_, timed = figures.history_figure(points, by_time).data
    assert list(timed.x) == [point.finished for point in by_time]
    assert list(timed.y) == [100 * point.best for point in by_time]
    bars = figures.time_figure(phases).data[0]
    assert list(bars.x) == [phase.seconds for phase in phases]
    assert bars.y[0] == "forward passes"


def test_names_are_escaped_for_plotly_which_reads_html() -> None:
    name = '<a href="https://example.org">x</a> & co'
    setting = Setting(10, 3, 1, name)
    figure = groups_figure("Head", [Group(name, setting, Estimate(0.5, 0.4, 0.6, 100), (0.5, 0.4))])
    assert "<a" not in figure.to_json()
    assert figure.data[0].y[0] == '&lt;a href="https://example.org"&gt;x&lt;/a&gt; &amp; co (2)'


def test_backgrounds_are_transparent_and_accuracies_in_percent(run: StudyResults) -> None:
    drawn = [
        groups_figure("Head", tables.head_groups(run)),
        figures.history_figure(tables.history(run)),
        figures.time_figure(tables.time_by_phase(run)),
        block_by_timestep_figure(tables.block_by_timestep(run)),
    ]
    for figure in drawn:
        assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert drawn[0].layout.xaxis.title.text == drawn[1].layout.yaxis.title.text == "Validation accuracy (%)"
    assert drawn[3].data[0].colorbar.title.text.startswith("Best validation accuracy (%)")
