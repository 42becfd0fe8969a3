"""Small real image files, and a CUB layout of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import small_archives


@pytest.fixture
def paint() -> Callable[..., Path]:
    """`paint(path, seed)` saves a 20x16 picture that differs by seed, in the format of the path's suffix."""

    def save(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return save


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """A CUB layout of 3 classes with 4 images each. The last image of each class is in the test split."""
    small_archives.cub(tmp_path)
    return tmp_path / "CUB_200_2011"
