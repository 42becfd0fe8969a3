"""One small search from its first command to its last final: the fixtures `finished_search` and `finished_home`."""

import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.command_line import search_process
from tests.support.made_once import made_once

WORDS = "--heads linear,mlp --blocks 9,14 --timesteps 20,300 --taps 2 --draws 2 --sampler random --seed 4"
RUN = f"run --dataset folder --data-root digits --backbone net {WORDS} --trials 3 --finalists 1 --final-seeds 2"
"""Three trials and two finals. It gives all paths relative to its working directory."""


def _search_digits(folder: Path) -> None:
    from objectives.datasets.catalog import load_dataset
    from tests.support.small_unets import plain

    digits = load_dataset("digits", None)
    for i in range(400):
        images = folder / "digits" / ("test" if i >= 300 else "train") / f"digit {digits.labels[i]}"
        images.mkdir(parents=True, exist_ok=True)
        digits.images.read(i).save(images / f"{i}.png")
    plain(folder / "net")
    ran = search_process(folder, folder / "another home", *shlex.split(RUN), "--home", "home")
    assert ran.code == 0, ran.stdout + ran.stderr
    (folder / "stdout").write_text(ran.stdout)
    (folder / "stderr").write_text(ran.stderr)


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits/train, digits/test, net, the home of `search RUN`, and its stdout and stderr; not to change.

    All tests of a session share it. Take `finished_home` to change the home or to open its database: SQLite writes
    files beside the one that it reads.
    """
    return made_once(tmp_path_factory, "finished search", _search_digits)


@pytest.fixture
def finished_home(finished_search: Path, tmp_path: Path) -> Path:
    """A copy of its home in the test's folder, where the fixture `search` finds it. The images stay where they are."""
    return Path(shutil.copytree(finished_search / "home", tmp_path / "home"))
