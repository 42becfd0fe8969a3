import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from objectives.datasets.flips import Mirrored
from objectives.datasets.images import ArrayImages, FileImages, square_pixels
from spaces.errors import DatasetError

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)


def test_left_and_right_are_exchanged() -> None:
    images = ArrayImages(PICTURES)
    mirrored = Mirrored(images)
    assert len(mirrored) == 3
    for i in range(3):
        np.testing.assert_array_equal(np.asarray(mirrored.read(i)), PICTURES[i, :, ::-1])
        np.testing.assert_array_equal(np.asarray(Mirrored(mirrored).read(i)), PICTURES[i])
    assert mirrored.name(1) == "image 1, mirrored"


def test_the_squares_of_mirrored_images_are_mirrored() -> None:
    """A wide image, whose centre square is cut from the middle."""
    images = ArrayImages(PICTURES)
    np.testing.assert_array_equal(
        square_pixels(Mirrored(images), range(3), 5), square_pixels(images, range(3), 5)[..., ::-1]
    )


def test_an_image_is_turned_upright_before_it_is_mirrored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURES[0]).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "x.png", exif=exif)
    mirrored = Mirrored(FileImages(tmp_path, ("x.png",)))
    np.testing.assert_array_equal(np.asarray(mirrored.read(0)), PICTURES[0, :, ::-1])


def test_the_digest_of_a_mirrored_image_derives_from_its_inner_digest() -> None:
    images = ArrayImages(PICTURES)
    digests = [Mirrored(images).digest(i) for i in range(3)]
    assert digests == [hashlib.sha256(f"mirrored {images.digest(i)}".encode()).hexdigest() for i in range(3)]
    assert not set(digests) & {images.digest(i) for i in range(3)}


def test_mirrored_images_stay_mirrored_in_another_process() -> None:
    kept = pickle.loads(pickle.dumps(Mirrored(ArrayImages(PICTURES)))).keep([2, 0])
    assert isinstance(kept, Mirrored)
    assert [kept.digest(i) for i in range(len(kept))] == [Mirrored(ArrayImages(PICTURES)).digest(i) for i in (2, 0)]
    np.testing.assert_array_equal(np.asarray(kept.read(0)), PICTURES[2, :, ::-1])


def test_an_unreadable_image_is_still_named(tmp_path: Path, paint: Callable[..., Path]) -> None:
    path = paint(tmp_path / "x.png")
    path.write_text("no image")
    with pytest.raises(DatasetError, match=r"x\.png is not an image"):
        Mirrored(FileImages(tmp_path, ("x.png",))).read(0)
