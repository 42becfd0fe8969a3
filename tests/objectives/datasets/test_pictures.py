from io import BytesIO

import numpy as np
from PIL import Image

from objectives.datasets.catalog import load_dataset
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.datasets.pictures import SIDE, pictures_of


def test_pictures_are_small_squares_of_the_requested_images() -> None:
    shades = np.stack([np.full((20, 40, 3), shade, np.uint8) for shade in (10, 120, 240)])
    shades[:, :, :8] = 255  # outside the centre square
    dataset = Dataset("d", ("a", "b"), ArrayImages(shades), np.array([0, 1, 0]), np.zeros(3, bool))
    pictures = pictures_of(dataset, {2: 7, 1: None})
    assert [(picture.image, picture.position, picture.label, picture.name) for picture in pictures] == [
        (1, None, 1, "image 1"),
        (2, 7, 0, "image 2"),
    ]
    for stored, shade in zip(pictures, (120, 240), strict=True):
        with Image.open(BytesIO(stored.jpeg)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (SIDE, SIDE))
            assert np.abs(np.asarray(picture).astype(int) - shade).max() <= 3


def test_a_hundred_pictures_take_half_a_megabyte_at_most() -> None:
    pictures = pictures_of(load_dataset("digits", None), dict.fromkeys(range(100)))
    assert sum(len(picture.jpeg) for picture in pictures) < 500_000
