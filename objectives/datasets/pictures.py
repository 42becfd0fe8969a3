"""Small pictures of images, for people who look at results."""

from io import BytesIO
from pathlib import PurePath

import numpy as np
from PIL import Image

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import square_pixels
from objectives.results import Picture

SIDE = 112
"""Pixels: 28 mm on paper at 100 dots an inch, and some 4 kB."""


def pictures_of(dataset: Dataset, images: dict[int, int | None]) -> tuple[Picture, ...]:
    """images: index into the dataset → position among the answers of a study's trials, see `Picture`.

    Each is the centre square that networks see. Raises DatasetError where an image can no longer be read.
    """
    chosen = sorted(images)
    squares = square_pixels(dataset.images, chosen, SIDE)
    return tuple(
        Picture(
            image=image,
            position=images[image],
            label=int(dataset.labels[image]),
            name=PurePath(dataset.images.name(image)).name,  # where it lies is nobody's business
            jpeg=_jpeg(pixels),
        )
        for image, pixels in zip(chosen, squares, strict=True)
    )


def _jpeg(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=85)
    return file.getvalue()
