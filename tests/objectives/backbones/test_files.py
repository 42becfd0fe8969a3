"""Reading folders of weights."""

import logging
from collections.abc import Iterator
from pathlib import Path

import diffusers.utils.logging  # sets the level of its logger  # noqa: F401
import pytest
from transformers.utils import logging as transformers_logging

from objectives.backbones.files import loading
from spaces import BackboneError

LIBRARIES = ("diffusers", "transformers")


def levels() -> list[int]:
    return [logging.getLogger(library).level for library in LIBRARIES]


@pytest.fixture
def verbose() -> Iterator[None]:
    """A user who wants to see what the libraries do."""
    before = levels()
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.INFO)
    yield
    for library, level in zip(LIBRARIES, before, strict=True):
        logging.getLogger(library).setLevel(level)


def shown(capfd: pytest.CaptureFixture[str]) -> str:
    """Return the text that a progress bar of transformers prints."""
    with transformers_logging.tqdm(total=1, desc="weights") as bar:
        bar.update(1)
    return capfd.readouterr().err


@pytest.mark.usefixtures("verbose")
def test_the_libraries_are_silent_while_weights_load_and_as_before_afterwards(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "weights" in shown(capfd)

    def fail() -> None:
        with loading("small", tmp_path):
            assert levels() == [logging.ERROR] * 2
            assert not shown(capfd)
            raise ValueError("no such weights")

    with pytest.raises(BackboneError, match=r"backbone small in .* cannot be loaded: no such weights"):
        fail()
    assert levels() == [logging.INFO] * 2
    assert "weights" in shown(capfd)
