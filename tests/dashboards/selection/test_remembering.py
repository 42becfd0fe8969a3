"""A function remembers its result for a study as long as the study lives, and for no other study."""

from dataclasses import replace

from dashboards.selection.remembering import remembered
from objectives.results import StudyResults
from tests.support.studies import small_results


def test_a_result_is_computed_once_for_each_study_and_forgotten_with_it() -> None:
    asked: list[str] = []

    @remembered
    def title(study: StudyResults) -> str | None:
        """Return the name, or None."""
        asked.append(study.name)
        return study.name or None

    first, nameless = small_results(name="first"), small_results(name="")
    assert [title(first), title(nameless), title(first), title(nameless)] == ["first", None, "first", None]
    assert asked == ["first", ""]
    for number in range(50):  # a freed study leaves its identity to the next one
        assert title(replace(first, name=f"study {number}")) == f"study {number}"
    assert title.__doc__ == "Return the name, or None."
