"""Downloads, as standard error shows them."""

import pytest

from objectives.downloads import listener
from search.display.downloads import showing_downloads


def report() -> None:
    listener().begins("birds: downloading 1.0 MB from [somewhere]")
    for done in (250_000, 1_000_000):
        listener().progresses("birds.tgz", done, 1_000_000)


def test_without_a_terminal_only_lines_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with showing_downloads():
        report()
    output = capsys.readouterr()
    assert output.err == "birds: downloading 1.0 MB from [somewhere]\n"
    assert not output.out


def test_a_terminal_shows_bytes_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with showing_downloads():
        report()
    output = capsys.readouterr()
    assert "birds.tgz" in output.err
    assert "1.0/1.0 MB" in output.err
    assert not output.out


def test_after_the_block_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with showing_downloads():
        pass
    report()
    assert not capsys.readouterr().err
