"""Images as they lie on disk or in memory, and the one way in which they become square pixels."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, Self, TypeVar, final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from spaces.errors import DatasetError

TRANSFORM = "exif-upright,rgb-on-white,shorter-side-bicubic,centre-square"
"""Names what `square_pixels` does. It belongs, with the side, in the key of everything computed from the pixels."""

T = TypeVar("T")

THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes and resizes outside the interpreter's lock


class ImageSource(Protocol):
    """A sequence of images. Indices run over range(len(source))."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """What a message calls image i."""

    def digest(self, i: int) -> str:
        """SHA-256, in hexadecimal, of image i's content. Raises DatasetError where it cannot be read."""

    def read(self, i: int) -> Image.Image:
        """Image i, fully decoded: mode RGB, upright, on white. Raises DatasetError where that cannot be done."""

    def keep(self, indices: Iterable[int]) -> Self:
        """These images only, in this order."""

    @property
    def in_memory(self) -> bool:
        """Whether images are there as pixels, so that keeping them as squares would save next to nothing."""


@final
@dataclass(frozen=True)
class FileImages:
    """Image files at `paths` below `root`. The digest is of the file's bytes, and each file is hashed once."""

    root: Path
    paths: tuple[str, ...]
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        return str(self.root / self.paths[i])

    def digest(self, i: int) -> str:
        path = self.paths[i]
        if path not in self._digests:
            with _naming(self.name(i)), (self.root / path).open("rb") as file:
                self._digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[path]

    def read(self, i: int) -> Image.Image:
        return decode(self.root / self.paths[i], self.name(i))

    def keep(self, indices: Iterable[int]) -> Self:
        return type(self)(self.root, tuple(self.paths[i] for i in indices), self._digests)

    @property
    def in_memory(self) -> bool:
        return False


@final
@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in memory: uint8, (N, H, W) greyscale or (N, H, W, 3) RGB. The digest is of shape and values."""

    arrays: np.ndarray

    def __post_init__(self) -> None:
        shape = self.arrays.shape
        if self.arrays.dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
            raise DatasetError(
                f"images in memory are uint8 of shape (N, H, W) or (N, H, W, 3), got {self.arrays.dtype} {shape}"
            )

    def __len__(self) -> int:
        return len(self.arrays)

    def name(self, i: int) -> str:
        return f"image {i}"

    def digest(self, i: int) -> str:
        array = self.arrays[i]
        return hashlib.sha256(str(array.shape).encode() + array.tobytes()).hexdigest()

    def read(self, i: int) -> Image.Image:
        return Image.fromarray(self.arrays[i]).convert("RGB")

    def keep(self, indices: Iterable[int]) -> Self:
        return type(self)(self.arrays[list(indices)])

    @property
    def in_memory(self) -> bool:
        return True


def decode(file: Path | BinaryIO, name: str) -> Image.Image:
    """An image file as `ImageSource.read` returns it. Raises DatasetError, with this name, where it cannot be read."""
    with _naming(name), Image.open(file) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _rgb(image)


def square_pixels(images: ImageSource, indices: Sequence[int] | np.ndarray, side: int) -> np.ndarray:
    """The chosen images as pixels, uint8 (n, 3, side, side), RGB.

    Each image is read upright as RGB (transparency over white, 16-bit greys by their upper byte). It is scaled by
    side / min(width, height), the same both ways, with Pillow's antialiased bicubic filter, and its centre
    side x side is kept. Both are one resampling of the exact centre square, so the longer side is never rounded
    to whole pixels. Raises DatasetError where an image can no longer be read.
    """
    pixels = np.empty((len(indices), 3, side, side), np.uint8)

    def fill(row: int) -> None:
        pixels[row] = _square(images.read(int(indices[row])), side)

    _each(fill, range(len(indices)))
    return pixels


def squares_or_errors(images: ImageSource, indices: range, side: int) -> list[tuple[str, np.ndarray] | DatasetError]:
    """Of each chosen image its digest and its pixels, uint8 (3, side, side) as of `square_pixels`, or why it cannot be
    read."""

    def look(i: int) -> tuple[str, np.ndarray] | DatasetError:
        try:
            return images.digest(i), _square(images.read(i), side)
        except DatasetError as error:
            return error

    return _each(look, indices)


def sizes_or_errors(images: ImageSource) -> list[tuple[int, int] | DatasetError]:
    """Decodes and hashes every image once: its (width, height) in pixels, upright, or why it cannot be read."""

    def look(i: int) -> tuple[int, int] | DatasetError:
        try:
            images.digest(i)
            return images.read(i).size
        except DatasetError as error:
            return error

    return _each(look, range(len(images)))


def _square(image: Image.Image, side: int) -> np.ndarray:
    width, height = image.size
    shorter = min(width, height)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    square = (left, top, left + shorter, top + shorter)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=square)).transpose(2, 0, 1)


def _each(work: Callable[[int], T], items: range) -> list[T]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip every grey above 255 to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its values (Pillow mode {image.mode}) have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:  # dropping alpha would show whatever colour lies hidden below it
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Turns what goes wrong with one file into a DatasetError that names it."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise DatasetError(f"{name} is not an image that Pillow can read") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DatasetError(f"{name} cannot be read: {reason}") from error
