"""Thumbnails of images, for people who look at results."""

from io import BytesIO
from pathlib import PurePath

import numpy as np
from PIL import Image

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import square_pixels
from objectives.results import Picture

SIDE = 112
"""Side of a thumbnail in pixels: 28 mm on paper at 100 dots per inch, and about 4 kB."""


def pictures_of(dataset: Dataset, images: dict[int, int | None]) -> tuple[Picture, ...]:
    """Make thumbnails of the centre squares that networks see.

    images: index into the dataset → bit in the correct masks of a study's trials, see `Picture.position`. Raises
    DatasetError if an image can no longer be read.
    """
    chosen = sorted(images)
    squares = square_pixels(dataset.images, chosen, SIDE)
    return tuple(
        Picture(
            image=image,
            position=images[image],
            label=int(dataset.labels[image]),
            name=PurePath(dataset.images.name(image)).name,  # without its folder, which is private
            jpeg=_jpeg(pixels),
        )
        for image, pixels in zip(chosen, squares, strict=True)
    )


def _jpeg(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=85)
    return file.getvalue()
