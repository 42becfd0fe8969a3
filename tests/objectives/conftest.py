import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from diffusers import DDPMScheduler

from objectives.backbones.catalog import load_backbone
from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.probing.spec import ProbeSpec
from tests.support.small_unets import tiny_unet


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny U-Net as a diffusers pipeline's folder."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_unet().save_pretrained(folder / "unet")
    DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear").save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> TappedBackbone:
    backbone = load_backbone(str(tiny_folder))
    assert isinstance(backbone, TappedBackbone)
    return backbone


@pytest.fixture(scope="session")
def few_digits() -> Dataset:
    """600 real digits, the last 100 of them the test split."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = (images[:600].reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    is_test = np.arange(600) >= 500
    return Dataset("digits", tuple("0123456789"), ArrayImages(pixels), labels[:600].astype(np.int64), is_test)


@pytest.fixture
def spec(tmp_path: Path, tiny_folder: Path, few_digits: Dataset) -> ProbeSpec:
    return ProbeSpec(few_digits, str(tiny_folder), "float32", tmp_path, {9: 4, 12: 4})


@pytest.fixture
def downloads_said() -> Iterator[list[str]]:
    """The lines that downloads say to people, by whichever thread."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("objectives.downloads")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)
