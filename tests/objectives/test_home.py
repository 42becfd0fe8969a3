"""The home folder: where it is, and what is refused as one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from objectives.home import Home
from spaces import UsageError
from tests.support.permissions import somebody_else


def test_the_folder_is_the_given_one_else_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("SEARCH_HOME", "~/searches")
    assert Home.at(None).folder == tmp_path / "me" / "searches"
    assert Home.at("~").folder == tmp_path / "me"
    assert Home.at("./~").folder == tmp_path / "~"
    assert Home.at(Path("what?")).folder == tmp_path / "what?"
    assert Home.at(None).is_default
    assert not Home.at("here").is_default


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("", "`home` must not be empty, got ''"),
        ("file", "`home` must be a folder, got .*file, which is none"),
        ("bad\udcff", "`home` must be a path in UTF-8, got .*bad.xff; rename the folder"),
        ("dangling", "`home` must be a folder, got .*dangling, which is none"),
        ("~nobody-of-this-name/home", "`home` begins with ~ and names no user .* SEARCH_HOME"),
    ],
)
def test_what_is_no_folder_is_refused(folder: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match=words):
        Home.at(folder)


def test_a_folder_that_cannot_be_made_is_refused_for_writing(tmp_path: Path) -> None:
    Home.at(tmp_path / "new" / "home").check_writable()
    words = r"cannot write into the home folder: .* may only be read; .* SEARCH_HOME"
    with somebody_else(tmp_path), pytest.raises(UsageError, match=words):
        Home.at(tmp_path / "new" / "home").check_writable()


def test_the_environment_names_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_STORAGE", "")
    assert Home.at(tmp_path).storage == tmp_path / "studies.db"
    monkeypatch.setenv("SEARCH_STORAGE", "postgresql://user@host/database")
    assert Home.at(tmp_path).storage == "postgresql://user@host/database"


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes a user without a passwd entry")
@pytest.mark.parametrize("directory", [None, "/"])
def test_a_user_without_a_home_directory_names_the_folder(tmp_path: Path, directory: str | None) -> None:
    code = """
import os, sys
from objectives.home import Home
from spaces import UsageError
os.setuid(54321)
try:
    Home.at(None).check_writable()
except UsageError as error:
    print(error)
print(Home.at(sys.argv[1]).is_default, os.environ["HOME"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "SEARCH_HOME")}
    environment |= {} if directory is None else {"HOME": directory}
    command = [sys.executable, "-c", code, str(tmp_path)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    refused, used = ran.stdout.splitlines()
    assert "SEARCH_HOME" in refused
    assert used == f"False {tmp_path}"
