"""A file is replaced as a whole, and what killed processes left of it is removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from objectives.atomic_write import LONGEST_SECONDS, replacing


def age(path: Path) -> None:
    old = time.time() - LONGEST_SECONDS - 60
    os.utime(path, (old, old))


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with replacing(file) as part:
        part.write_text("old")

    def fail() -> None:
        with replacing(file) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_save_left_is_swept(tmp_path: Path) -> None:
    file = tmp_path / "a[b]"
    code = (
        "import os, sys; from pathlib import Path; from objectives.atomic_write import replacing\n"
        "with replacing(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); part.with_name('.tmp123').write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    [left] = tmp_path.iterdir()
    others = [tmp_path / f"a[b].{'0' * 32}.part", tmp_path / f"other.{'0' * 32}.part", tmp_path / "a[b].x.part"]
    for other in others:
        other.touch()
        age(other)
    with replacing(file) as part:
        part.write_text("new")
    assert left.exists(), "it may still be written"
    age(left)
    with replacing(file) as part:
        part.write_text("newer")
    assert {path.name for path in tmp_path.iterdir()} == {"a[b]", others[1].name, others[2].name}
    assert file.read_text() == "newer"
