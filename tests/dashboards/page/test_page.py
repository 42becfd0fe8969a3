"""Writing a page."""

from pathlib import Path

import pytest

from dashboards.page.page import write
from spaces import UsageError


def test_a_page_is_utf8_and_spells_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = write("“é” \udcff", tmp_path / "new folder" / "r [x]?.html")
    assert path.read_bytes() == "“é” \\udcff".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["r [x]?.html"]


def test_a_name_of_255_bytes_is_possible(tmp_path: Path) -> None:
    assert write("page", tmp_path / ("é" * 125 + ".html")).read_text(encoding="utf-8") == "page"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`out` takes a file, got the folder .*; add a name such as .*/report.html"):
        write("page", tmp_path)
