"""The folder of a run for temporary files, and what killed runs have left."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.running import run_folder
from search.scheduling.on_ray.session import LONGEST_FOLDER
from spaces import SearchError
from tests.support.processes import child_process

HOLDER = """
import sys
from search.running.run_folder import run_folder
with run_folder() as folder, (folder / "log").open("w") as log:
    print(folder, flush=True)
    sys.stdin.read()
"""
"""A process that has a folder and writes to a file in it, until its input ends."""

WRITER = "import sys, time; log = open(sys.argv[1], sys.argv[2]); print('ready', flush=True); time.sleep(99)"


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for temporary files, for this process and those that it starts."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(run_folder, "OTHER_FOLDERS", ())
        yield Path(folder)


def started(*words: str) -> Any:
    return child_process([sys.executable, "-c", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_nobody_else_can_enter_the_folder_of_a_run_and_it_ends_with_the_run(parent: Path) -> None:
    with run_folder.run_folder() as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "ray" / "logs").mkdir(parents=True)
        (folder / "ray" / "session_latest").symlink_to(folder / "ray" / "logs")
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize(("length", "lies_within"), [(15, True), (21, True), (22, False), (90, False), (200, False)])
def test_the_folder_of_a_run_has_a_path_that_is_short_enough_for_sockets(
    monkeypatch: pytest.MonkeyPatch, length: int, lies_within: bool
) -> None:
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as above:
        long = Path(above) / ("d" * (length - len(above) - 1)) if length > len(above) + 1 else Path(above)
        long.mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(long))
        with run_folder.run_folder() as folder:
            assert len(os.fsencode(folder)) <= LONGEST_FOLDER
            assert (folder.parent == long) == lies_within


def test_no_short_folder_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "LONGEST_PARENT", 3)
    with (
        pytest.raises(SearchError, match=r"Ray needs a writable folder for its sockets .* set TMPDIR to one"),
        run_folder.run_folder(),
    ):
        pass


def test_the_next_run_removes_the_folder_and_the_processes_of_a_killed_one_and_nothing_else(parent: Path) -> None:
    with started(HOLDER) as living, started(HOLDER) as killed:
        alive, left = (Path(process.stdout.readline().strip()) for process in (living, killed))
        (plain := parent / "search-results").mkdir()  # a person's own
        with (
            started(WRITER, str(left / "raylet.log"), "a") as lingering,
            started(WRITER, str(left / "log"), "r") as reader,
        ):
            for process in (lingering, reader):
                process.stdout.readline()
            run_folder.remove_remains()
            assert left.is_dir()  # its process still runs
            killed.kill()
            killed.wait()
            with run_folder.run_folder() as ours:
                assert {*parent.iterdir()} == {alive, plain, ours}
            assert lingering.poll() is not None
            assert reader.poll() is None
            assert living.poll() is None
        assert {*parent.iterdir()} == {alive, plain}


@pytest.mark.parametrize(
    "change",
    [{"machine": "another"}, {"pid": "none"}, {"pid": None}, {}],
    ids=["another machine", "no number", "none", "our own, which runs"],
)
def test_a_folder_whose_process_may_run_is_left(parent: Path, change: dict[str, object]) -> None:
    with run_folder.run_folder() as folder:
        owner = json.loads((folder / run_folder.OWNER).read_text())
        (folder / run_folder.OWNER).write_text(json.dumps(owner | change))
        run_folder.remove_remains()
        assert (folder / run_folder.OWNER).is_file()


def test_another_process_that_got_the_same_number_does_not_count(parent: Path) -> None:
    with run_folder.run_folder() as folder:
        shutil.copytree(folder, left := parent / "search-0a1b2c3d")
        owner = json.loads((left / run_folder.OWNER).read_text())
        (left / run_folder.OWNER).write_text(json.dumps(owner | {"started": owner["started"] - 100}))
        run_folder.remove_remains()
        assert [*parent.iterdir()] == [folder]


def test_a_link_to_a_folder_is_never_followed(parent: Path) -> None:
    with run_folder.run_folder() as folder:
        shutil.copytree(folder, left := parent / "kept")
        owner = json.loads((left / run_folder.OWNER).read_text())
        (left / run_folder.OWNER).write_text(json.dumps(owner | {"started": 0}))
        (parent / "search-link0000").symlink_to(left)
        run_folder.remove_remains()
        assert (left / run_folder.OWNER).is_file()
