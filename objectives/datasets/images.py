"""Images on disk or in memory, and the one transform that makes square pixels of them."""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, TypeVar, final, runtime_checkable

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from objectives.devices import threads
from spaces.errors import DatasetError
from spaces.files import check_ends
from spaces.text import escaped

TRANSFORM = "exif-upright,rgb-on-white,shorter-side-bicubic,centre-square"
"""The name of the transform of `square_pixels`. Cache keys of everything computed from pixels hold it and the side.

If the pixels change, give it another name.
"""

T = TypeVar("T")

PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**28
"""Most bytes of texts or of a colour profile in a PNG. Pillow's own limit, 1 MB, refuses sound photographs."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # twice as many pixels are an error

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → the operation that turns the image upright."""

NOT_BY_CONTENT = frozenset(
    {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow recognises, but does not decode these
    | {"EPS"}  # a program, for which Pillow starts another program
    | {"DIB", "IM", "IMT", "IPTC", "PCD", "SPIDER", "TGA"}  # their content has no clear mark
)
"""Pillow's formats in which a file is no image unless its name says so."""


@runtime_checkable
class ImageSource(Protocol):
    """A sequence of images with indices from 0 to len(source) - 1."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """The name of image i in messages."""

    def digest(self, i: int) -> str:
        """SHA-256, in hexadecimal, of image i's content. Raises DatasetError if it cannot be read."""

    def read(self, i: int) -> Image.Image:
        """Decode image i: mode RGB, upright, on a white background. Raises DatasetError if that fails."""

    def keep(self, indices: Iterable[int]) -> Self:
        """Select images, in the order of `indices`."""

    @property
    def in_memory(self) -> bool:
        """Whether images are held as pixels, so that caching their squares would save almost nothing."""


@final
@dataclass(frozen=True)
class FileImages:
    """Image files at `paths` below `root`. A digest is that of the file's bytes.

    The first digest of a file holds: reading a file that has other bytes by then is refused, because its features would
    be kept under the digest of another image.
    """

    root: Path
    paths: tuple[str, ...]
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        return escaped(str(self.root / self.paths[i]))

    def digest(self, i: int) -> str:
        path = self.paths[i]
        if path not in self._digests:
            file_path = self.root / path
            with _named_errors(escaped(str(file_path))):
                check_ends(file_path)
                with file_path.open("rb") as file:
                    self._digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[path]

    def read(self, i: int) -> Image.Image:
        path = self.root / self.paths[i]
        name, digest = escaped(str(path)), self._digests.get(self.paths[i])
        if digest is None:
            return decode(path, name)
        with _named_errors(name):
            check_ends(path)
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError(
                    "it has changed since it was first read; leave the images as they are while they are used, and "
                    "start again"
                )
        return decode(io.BytesIO(content), name)

    def keep(self, indices: Iterable[int]) -> Self:
        return type(self)(self.root, tuple(self.paths[i] for i in indices), self._digests)

    @property
    def in_memory(self) -> bool:
        return False


@final
@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in memory: uint8, (N, H, W) greyscale or (N, H, W, 3) RGB. A digest covers shape and values."""

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
    """Decode an image file as `ImageSource.read` does. Raises DatasetError, which names `name`, if that fails."""
    with _named_errors(name):
        if isinstance(file, Path):
            check_ends(file)
        with _opened(file) as image:
            return _upright_rgb(image)


def upright_rgb(picture: Image.Image, name: str) -> Image.Image:
    """Return a picture as `ImageSource.read` does. Raises DatasetError, which names `name`, if that fails."""
    with _named_errors(name):
        return _upright_rgb(picture)


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    turn = UPRIGHT.get(_orientation(image))
    return _rgb(image if turn is None else image.transpose(turn))


def _opened(file: Path | BinaryIO) -> Image.Image:
    """Open an image, which reads its header alone. Raises ValueError if a damaged header asks for absurd memory."""
    try:
        return Image.open(file)
    except MemoryError:
        raise ValueError("it is damaged: its header asks for more memory than there is") from None


def _orientation(image: Image.Image) -> Any:
    """Return an image's orientation by EXIF or XMP; 1, upright, if they are damaged, for the pixels are not."""
    with suppress(Exception):  # Pillow's parsers of metadata raise nearly anything
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    return 1


def are_images(files: Sequence[Path]) -> list[bool]:
    """Return for each file whether Pillow recognises its content as an image, whatever its name.

    Only the beginning is read. Formats of NOT_BY_CONTENT are not recognised. A file that cannot be opened is no image.
    """
    Image.init()
    formats = [name for name in Image.ID if name not in NOT_BY_CONTENT]

    def is_image(i: int) -> bool:
        with suppress(Exception), Image.open(files[i], formats=formats):  # parsers of headers raise nearly anything
            return True
        return False

    return _map(is_image, range(len(files)))


def square_pixels(images: ImageSource, indices: Sequence[int] | np.ndarray, side: int) -> np.ndarray:
    """Read the chosen images as square RGB pixels, uint8 (n, 3, side, side).

    Each image is read upright as RGB (transparency over white, 16-bit greys by their upper byte). It is scaled by
    side / min(width, height) in both directions with Pillow's antialiased bicubic filter, and cropped to its centre
    side × side. Both steps are one resampling of the exact centre square, so that the longer side is never rounded to
    whole pixels. Raises DatasetError if an image can no longer be read.
    """
    pixels = np.empty((len(indices), 3, side, side), np.uint8)

    def fill(row: int) -> None:
        pixels[row] = _square(images.read(int(indices[row])), side)

    _map(fill, range(len(indices)))
    return pixels


def squares_or_errors(images: ImageSource, indices: range, side: int) -> list[tuple[str, np.ndarray] | DatasetError]:
    """Return each chosen image's digest and its pixels, uint8 (3, side, side) as by `square_pixels`, or its error."""

    def read(i: int) -> tuple[str, np.ndarray] | DatasetError:
        try:
            return images.digest(i), _square(images.read(i), side)
        except DatasetError as error:
            return error

    return _map(read, indices)


def sizes_or_errors(images: ImageSource) -> list[tuple[int, int] | DatasetError]:
    """Decode and hash every image once; return its upright (width, height) in pixels, or its error."""

    def read(i: int) -> tuple[int, int] | DatasetError:
        try:
            images.digest(i)
            return images.read(i).size
        except DatasetError as error:
            return error

    return _map(read, range(len(images)))


def _square(image: Image.Image, side: int) -> np.ndarray:
    width, height = image.size
    shorter = min(width, height)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    square = (left, top, left + shorter, top + shorter)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=square)).transpose(2, 0, 1)


def _map(work: Callable[[int], T], items: range) -> list[T]:
    with ThreadPoolExecutor(threads()) as pool:  # Pillow releases the interpreter's lock while it decodes
        return list(pool.map(work, items))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip every grey above 255 to white
        grey = np.asarray(image)
        clear = grey == image.info.get("transparency", -1)
        return Image.fromarray(np.where(clear, 255, grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its values (Pillow mode {image.mode}) have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:  # without alpha, the hidden colour of transparent pixels would show
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn any error in the context into a DatasetError that names the image."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise DatasetError(f"{name} is not an image that Pillow can read") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DatasetError(f"{name} cannot be read: {reason}") from error
