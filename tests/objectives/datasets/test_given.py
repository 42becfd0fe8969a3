"""A dataset handed over as objects is written once, and read back as the same images, labels and splits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from objectives.datasets.catalog import load_dataset
from objectives.datasets.given import write_given
from spaces.errors import DatasetError

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 9, 8, 3), dtype=np.uint8)
LABELS = [f"class {i % 3}" for i in range(30)]


def test_arrays_and_their_splits_are_read_back(tmp_path: Path) -> None:
    splits = ["test" if i >= 24 else "train" for i in range(30)]
    folder = write_given((PIXELS, LABELS, splits), tmp_path / "given")
    dataset = load_dataset("csv", folder)
    assert dataset.classes == ("class 0", "class 1", "class 2")
    assert dataset.labels.tolist() == [i % 3 for i in range(30)]
    assert dataset.is_test.tolist() == [i >= 24 for i in range(30)]
    for i in range(30):
        assert np.array_equal(np.asarray(dataset.images.read(i)), PIXELS[i])
    assert write_given((list(PIXELS), np.array(LABELS), tuple(splits)), tmp_path / "given") == folder
    assert write_given((PIXELS, LABELS), tmp_path / "given") != folder
    assert len(list((tmp_path / "given").iterdir())) == 2


def test_files_and_pictures_keep_their_content(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(24)]
    for path, pixels in zip(paths, PIXELS, strict=False):
        Image.fromarray(pixels).save(path)
    pictures = [Image.fromarray(pixels[:, :, 0]) for pixels in PIXELS[24:]]
    numbers = np.arange(30) % 3
    dataset = load_dataset("csv", write_given(([*paths, *pictures], numbers), tmp_path / "given"))
    assert dataset.classes == ("0", "1", "2")
    assert dataset.images.digest(5) == load_dataset("csv", write_given((paths, LABELS[:24]), tmp_path)).images.digest(5)
    assert np.array_equal(np.asarray(dataset.images.read(29))[:, :, 1], PIXELS[29, :, :, 0])


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ((PIXELS,), r"`dataset` must be a name, or \(images, labels\)"),
        ((PIXELS, LABELS[:3]), "labels are one for each of the 30 images, got 3"),
        ((PIXELS, LABELS, "train"), "splits are one for each of the 30 images, got 'train'"),
        ((PIXELS, [0.5] * 30), "labels are texts or whole numbers, got 0.5"),
        ((PIXELS / 255, LABELS), "scale it to 0 to 255"),
        ((3, LABELS), "images are paths, PIL images, or arrays"),
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(dataset: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=words):
        write_given(dataset, tmp_path / "given")
    assert not (tmp_path / "given").exists()
