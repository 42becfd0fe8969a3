"""Small real image files, and the CUB layout made of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


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
def cub(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    """A true CUB layout of 3 classes, 4 images each, the last of each class in the test split."""
    folder = tmp_path / "CUB_200_2011"
    classes = ("001.Black_footed_Albatross", "002.Grünspecht", "003.Great Auk")
    rows = [(c, f"{name}/{name[4:]}_{k:04d}.jpg", k) for c, name in enumerate(classes, 1) for k in range(4)]
    for i, (_, path, _) in enumerate(rows, 1):
        paint(folder / "images" / path, i)
    tables = {
        "classes.txt": [f"{c} {name}" for c, name in enumerate(classes, 1)],
        "images.txt": [f"{i} {path}" for i, (_, path, _) in enumerate(rows, 1)],
        "image_class_labels.txt": [f"{i} {c}" for i, (c, _, _) in enumerate(rows, 1)],
        "train_test_split.txt": [f"{i} {int(k < 3)}" for i, (_, _, k) in enumerate(rows, 1)],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
