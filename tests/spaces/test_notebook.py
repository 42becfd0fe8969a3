"""What notebooks and interpreters show of spaces and settings."""

import pytest

from spaces import Setting, Space, Tap
from spaces.notebook import MOST_CHARACTERS, brief, html_table, ranges
from tests.support.architectures import SMALL


@pytest.fixture
def space() -> Space:
    return Space(SMALL, (2, 7, 19), (1, 2, 3), (1,), ("linear", "mlp"))


def test_all_text_of_a_table_is_escaped() -> None:
    html = html_table("<b>", {"a & b": "<script>", "left out": None})
    assert "<b>&lt;b&gt;</b>" in html
    assert "a &amp; b" in html
    assert "&lt;script&gt;" in html
    assert "left out" not in html


def test_a_setting_shows_itself_as_code_and_as_a_table() -> None:
    setting = Setting(19, 8, 2, "mlp", 4, (("width", 128),))
    assert eval(repr(setting)) == setting
    html = setting._repr_html_()
    assert [part in html for part in (">8<", ">19<", ">4<", "Width", "128")] == [True] * 5


def test_a_setting_of_many_taps_and_a_space_are_shown_briefly(space: Space) -> None:
    taps = tuple(Tap(block, 100 + block) for block in range(11, 18))
    setting = Setting(100, 10, 4, "attention", 1, (("depth", 1), ("learning_rate", 0.001), ("width", 256)), taps)
    assert repr(setting).startswith("Setting(block 10 at t 100 + block 11 at t 111")
    assert len(repr(setting)) <= MOST_CHARACTERS
    assert "blocks 1-3, timesteps 2, 7, 19, pools 1, heads linear, mlp" in repr(space)
    assert len(repr(space)) <= MOST_CHARACTERS
    assert "linear, mlp" in space._repr_html_()
    assert len(brief("x" * 1000)) == MOST_CHARACTERS


@pytest.mark.parametrize(
    ("numbers", "text"), [((4, 5, 6, 9), "4-6, 9"), ((1, 2), "1, 2"), ((None,), "none"), ((2, 19, 7), "2, 7, 19")]
)
def test_runs_of_numbers_are_ranges(numbers: tuple[int | None, ...], text: str) -> None:
    assert ranges(numbers) == text
