from collections.abc import Callable

import pytest

from dashboards.page.figures import block_by_timestep_figure, groups_figure
from dashboards.study import figures, tables
from dashboards.tables import Estimate, Group
from objectives.results import StudyResults
from spaces import Setting

StudyMaker = Callable[..., StudyResults]


@pytest.fixture(scope="module")
def run(realistic: StudyMaker) -> StudyResults:
    return realistic()


def test_heatmap_has_a_column_a_block_and_leaves_untried_cells_empty(run: StudyResults) -> None:
    table = tables.block_by_timestep(run)
    figure = block_by_timestep_figure(table)
    heatmap = figure.data[0]
    assert list(heatmap.x) == list(range(1, 26))
    assert len(heatmap.y) == len(table.timesteps)
    for row, timestep in zip(heatmap.z, table.timesteps, strict=True):
        for block, value in enumerate(row, start=1):
            cell = table.cells.get((block, timestep))
            assert value is None if cell is None else value == pytest.approx(100 * cell.best.value)
    assert [annotation.text for annotation in figure.layout.annotations] == ["encoder", "bottleneck", "decoder"]
    lines = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert lines == [12.5, 13.5]


def test_heatmap_frames_the_best_cell_and_tells_it_on_hover(run: StudyResults) -> None:
    table = tables.block_by_timestep(run)
    figure = block_by_timestep_figure(table)
    best = table.best
    assert best is not None
    row = table.timesteps.index(best.timestep)
    frame = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (
        best.block.number - 0.5,
        best.block.number + 0.5,
        row - 0.5,
        row + 0.5,
    )
    hover = figure.data[0].text[row][best.block.number - 1]
    assert f"{best.block.channels} channels of {best.block.side} × {best.block.side}" in hover
    assert f"trial {best.trial}" in hover


def test_groups_show_every_trial_and_the_best_with_its_interval(run: StudyResults) -> None:
    groups = tables.pooling_groups(run)
    *boxes, best = groups_figure("Pool size", groups).data
    assert [list(box.x) for box in boxes] == [[100 * value for value in group.values] for group in groups]
    for index, group in enumerate(groups):
        assert best.x[index] + best.error_x.array[index] == pytest.approx(100 * group.best.high)
        assert best.x[index] - best.error_x.arrayminus[index] == pytest.approx(100 * group.best.low)


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
    assert bars.y[0] == "U-Net passes"


def test_names_are_escaped_for_plotly_which_reads_html() -> None:
    name = '<a href="https://example.org">x</a> & co'
    setting = Setting(10, 3, 1, name)
    figure = groups_figure("Head", [Group(name, setting, Estimate(0.5, 0.4, 0.6, 100), (0.5, 0.4))])
    assert "<a" not in figure.to_json()
    assert figure.data[0].name == '&lt;a href="https://example.org"&gt;x&lt;/a&gt; &amp; co'


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
