"""Reads the images that a caller hands over: files, arrays, pictures of Pillow, or a mixture of them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from PIL import Image

from objectives.datasets.images import ArrayImages, FileImages, ImageSource, upright_rgb
from spaces.errors import DatasetError, shown
from spaces.text import escaped

GivenImage = str | Path | np.ndarray | Image.Image
"""One image: the path of a file, a picture of Pillow, or pixels, uint8 (height, width) or (height, width, 3) RGB."""

Images = ImageSource | GivenImage | Sequence[GivenImage]
"""Images: a source, one image, a sequence of them, or pixels of several, uint8 (n, height, width[, 3])."""

ACCEPTED = "paths, PIL images, or arrays uint8 (height, width) or (height, width, 3)"


@final
@dataclass(frozen=True)
class GivenImages:
    """Files, arrays and pictures of Pillow side by side.

    The digest of a file is that of its bytes. The digest of pixels covers shape and values, so a picture of Pillow in
    mode L or RGB has the digest of the array of its pixels.
    """

    items: tuple[GivenImage, ...]

    def __len__(self) -> int:
        return len(self.items)

    def name(self, i: int) -> str:
        item = self.items[i]
        return escaped(str(item)) if isinstance(item, (str, Path)) else f"image {i}"

    def digest(self, i: int) -> str:
        item = self.items[i]
        if isinstance(item, (str, Path)):
            return _file(item).digest(0)
        pixels = item if isinstance(item, np.ndarray) else self._pixels(item, i)
        return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()

    def read(self, i: int) -> Image.Image:
        item = self.items[i]
        if isinstance(item, (str, Path)):
            return _file(item).read(0)
        return Image.fromarray(item).convert("RGB") if isinstance(item, np.ndarray) else upright_rgb(item, self.name(i))

    def keep(self, indices: Iterable[int]) -> Self:
        return type(self)(tuple(self.items[i] for i in indices))

    @property
    def in_memory(self) -> bool:
        return True

    def _pixels(self, picture: Image.Image, i: int) -> np.ndarray:
        upright = upright_rgb(picture, self.name(i))
        return np.asarray(upright.convert("L") if picture.mode == "L" else upright)


def image_source(images: Any) -> ImageSource:
    """Return images as a source. Raises DatasetError, in one line, for what is no image.

    images: as `Images` says. An array of three dimensions is one RGB image if the last one is 3, else several grey
    images.
    """
    if isinstance(images, ImageSource):
        return images
    if isinstance(images, np.ndarray) and images.dtype != object and images.ndim >= 3:
        several = images if images.ndim > 3 or images.shape[-1] != 3 else images[None]
        _check_array(several[0] if len(several) else np.zeros((1, *several.shape[1:]), several.dtype)[0], "")
        return ArrayImages(several)
    if isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in "OU":  # of paths or of pictures
        images = images.tolist()
    if isinstance(images, (str, Path, Image.Image, np.ndarray)):
        items: tuple[Any, ...] = (images,)
    elif isinstance(images, Sequence) and not isinstance(images, bytes):
        items = tuple(images)
    else:
        raise DatasetError(f"images are {ACCEPTED}, or a list of these; got {_described(images)}")
    for i, item in enumerate(items):
        if isinstance(item, np.ndarray):
            _check_array(item, f" for image {i}")
        elif not isinstance(item, (str, Path, Image.Image)):
            raise DatasetError(f"images are {ACCEPTED}; got {_described(item)} for image {i}")
    if all(isinstance(item, (str, Path)) for item in items):
        return FileImages(Path(), tuple(map(str, items)))
    return GivenImages(items)


def _check_array(pixels: np.ndarray, which: str) -> None:
    """Raise DatasetError, which says what would do, for an array that is not the pixels of one image."""
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[2] not in (1, 3):
        raise DatasetError(f"{_rule(pixels, which)}; for channels first, give array.transpose(1, 2, 0)")
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2, 4):
        remedy = "array[:, :, 0]" if pixels.shape[2] < 3 else "Image.fromarray(array)"
        raise DatasetError(f"{_rule(pixels, which)}; give {remedy}")
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or 0 in pixels.shape:
        raise DatasetError(_rule(pixels, which))
    if pixels.dtype != np.uint8:
        raise DatasetError(f"{_rule(pixels, which)}; scale it to 0 to 255, then give array.round().astype('uint8')")


def _rule(pixels: np.ndarray, which: str) -> str:
    return (
        "the pixels of an image are an array uint8 (height, width) or (height, width, 3), got "
        f"{pixels.dtype} {pixels.shape}{which}"
    )


def _described(value: Any) -> str:
    """Name a value that is no image: its type, and the value itself where that is short."""
    kind = type(value)
    if isinstance(value, (int, float, bytes, type(None))):
        return shown(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}.{kind.__name__}"
    return f"a {name}, which numpy.asarray may turn into an array" if hasattr(value, "__array__") else f"a {name}"


def _file(path: str | Path) -> FileImages:
    return FileImages(Path(), (str(path),))
