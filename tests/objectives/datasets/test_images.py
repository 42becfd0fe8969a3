import pickle
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from objectives.datasets.images import ArrayImages, FileImages, sizes_or_errors, square_pixels
from spaces.errors import DatasetError

GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def read(path: Path) -> np.ndarray:
    image = FileImages(path.parent, (path.name,)).read(0)
    assert image.mode == "RGB"
    return np.asarray(image)


def grey_as_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def palette() -> Image.Image:
    return Image.fromarray(COLOUR).quantize(colors=24)


@pytest.mark.parametrize(
    ("suffix", "image", "expected"),
    [
        ("png", Image.fromarray(GREY), grey_as_rgb(GREY)),
        ("bmp", Image.fromarray(COLOUR), COLOUR),
        ("ppm", Image.fromarray(COLOUR), COLOUR),
        ("png", palette(), COLOUR),
        ("gif", palette(), COLOUR),
        ("png", Image.fromarray(GREY > 100), grey_as_rgb((GREY > 100).astype(np.uint8) * 255)),
        ("png", Image.fromarray(GREY.astype(np.uint16) * 256 + 7), grey_as_rgb(GREY)),
        ("tif", Image.fromarray(255 - np.dstack([COLOUR, GREY * 0 + 255]), mode="CMYK"), COLOUR),
    ],
    ids=["greyscale", "bmp", "ppm", "palette", "gif", "one-bit", "16-bit", "cmyk"],
)
@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_every_mode_is_read_as_rgb(tmp_path: Path, suffix: str, image: Image.Image, expected: np.ndarray) -> None:
    path = tmp_path / f"x.{suffix}"
    image.save(path)
    np.testing.assert_array_equal(read(path), expected)


def test_cmyk_jpeg_is_read_in_its_colour(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
    np.testing.assert_allclose(read(tmp_path / "red.jpg"), np.full((16, 16, 3), (255, 0, 0)), atol=4)


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_transparency_lies_on_white(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(10, 20, 30, 255), (10, 20, 30, 0), (0, 0, 0, 51)])
    image.save(tmp_path / f"x.{suffix}", lossless=True, exact=True)
    assert read(tmp_path / f"x.{suffix}").tolist() == [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]


def test_a_transparent_palette_colour_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "x.png", transparency=bytes([255, 0]))
    assert read(tmp_path / "x.png").tolist() == [[[200, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_rotation_is_undone(tmp_path: Path, orientation: int, stored: Image.Transpose | None) -> None:
    upright = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (upright if stored is None else upright.transpose(stored)).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "x.png"), COLOUR)


def exif_of(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF of (tag, type, count, value of 4 to 8 bytes) and the orientation 6."""
    directory, values = struct.pack("<H", len(entries) + 1) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), b""
    start = 8 + 2 + 12 * (len(entries) + 1) + 4
    for tag, kind, count, value in entries:
        place = value if len(value) == 4 else struct.pack("<I", start + len(values))
        values += value if len(value) > 4 else b""
        directory += struct.pack("<HHI", tag, kind, count) + place
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory + bytes(4) + values


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    "entry",
    [
        (0x011A, 5, 1, struct.pack("<II", 0, 0)),
        (0x011A, 5, 1, struct.pack("<II", 2**32 - 1, 1)),
        (0x011A, 10, 1, struct.pack("<ii", -5, 3)),
        (0x9201, 10, 1, struct.pack("<ii", -(2**31), -1)),
        (0x011A, 2, 5, b"72dpi"),
        (0x0128, 2, 4, b"abc\0"),
        (0x010F, 99, 3, b"abc\0"),
        (0x010F, 2, 99999, b"far outside"),
        (0x010F, 5, 2**32 - 1, b"far outside"),
        (0x010F, 2, 6, b"\xff\xfe\xe9abc"),
        (0x8769, 4, 1, struct.pack("<I", 8)),
        (0x8825, 4, 1, struct.pack("<I", 2**32 - 16)),
    ],
    ids=lambda entry: f"{entry[0]:04x}-{entry[1]}-{entry[3]!r}",
)
@pytest.mark.filterwarnings("ignore:Tag data larger than file:UserWarning")
def test_odd_exif_loses_neither_pixels_nor_rotation(
    tmp_path: Path, suffix: str, entry: tuple[int, int, int, bytes]
) -> None:
    Image.fromarray(COLOUR).save(tmp_path / f"x.{suffix}", exif=exif_of(entry))
    assert read(tmp_path / f"x.{suffix}").shape == (6, 4, 3)


def test_exif_that_cannot_be_read_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    whole, generator = exif_of((0x011A, 5, 1, struct.pack("<II", 72, 1))), np.random.default_rng(0)
    for _ in range(100):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[generator.integers(6, len(whole), 3)] = generator.integers(0, 256, 3)
        Image.fromarray(COLOUR).save(
            tmp_path / "x.png", exif=damaged.tobytes()[: generator.integers(7, len(whole) + 1)]
        )
        assert read(tmp_path / "x.png").size == COLOUR.size


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("after", [False, True], ids=["before the pixels", "after"])
@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"k\0" + bytes(5_000_000)),
        png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(5_000_000))),
        png_chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(5_000_000))),
        png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(5_000_000))),
        b"".join(png_chunk(b"zTXt", b"k%d\0\0" % k + zlib.compress(bytes(990_000))) for k in range(80)),
        png_chunk(b"zTXt", b"k\0\0 no zlib"),
        png_chunk(b"eXIf", b"no tiff"),
        png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  12\nzzzz"),
    ],
    ids=["text", "compressed", "international", "profile", "many", "damaged text", "damaged exif", "damaged raw exif"],
)
def test_long_or_damaged_texts_of_a_png_do_not_matter(tmp_path: Path, chunk: bytes, after: bool) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(COLOUR).save(path)
    content = path.read_bytes()
    cut = len(content) - 12 if after else 33  # before IEND, or after IHDR
    path.write_bytes(content[:cut] + chunk + content[cut:])
    np.testing.assert_array_equal(read(path), COLOUR)


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_text(path: Path) -> None:
    path.write_text("not an image", encoding="utf-8")


def as_floats(path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(path, format="TIFF")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Schöne Küste 1.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    halved(path)
    with pytest.raises(DatasetError, match=f"Schöne Küste 1.{suffix}"):
        FileImages(tmp_path, (path.name,)).read(0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (as_text, "x.jpg is not an image"),
        (lambda path: path.write_bytes(b""), "x.jpg is not an image"),
        (as_floats, "x.jpg cannot be read: .* no fixed range"),
        (lambda path: path.unlink(), "x.jpg cannot be read: No such file"),
    ],
    ids=["text", "empty", "floats", "missing"],
)
def test_only_unreadable_files_are_reported(
    tmp_path: Path, paint: Callable[..., Path], spoil: Callable[[Path], object], message: str
) -> None:
    spoil(paint(tmp_path / "x.jpg"))
    paint(tmp_path / "sound.jpg")
    sound, broken = sizes_or_errors(FileImages(tmp_path, ("sound.jpg", "x.jpg")))
    assert sound == (20, 16)
    assert isinstance(broken, DatasetError)
    assert re.search(message, str(broken))


def test_a_file_is_hashed_once_and_keeps_its_digest(tmp_path: Path, paint: Callable[..., Path]) -> None:
    names = tuple(paint(tmp_path / f"{seed}.png", seed).name for seed in range(3))
    images = FileImages(tmp_path, names)
    digests = [images.digest(i) for i in range(3)]
    assert len(set(digests)) == 3
    for name in names:
        (tmp_path / name).unlink()
    kept = pickle.loads(pickle.dumps(images)).keep([2, 0])
    assert [kept.digest(i) for i in range(len(kept))] == [digests[2], digests[0]]
    assert kept.name(0) == str(tmp_path / "2.png")


@pytest.mark.parametrize("change", ["other pixels", "truncated"])
def test_a_file_that_has_changed_since_it_was_hashed_is_refused(
    tmp_path: Path, paint: Callable[..., Path], change: str
) -> None:
    """Its features would be kept under the digest of another image."""
    path = paint(tmp_path / "a.png", 1)
    before = read(path)
    images = FileImages(tmp_path, ("a.png",))
    images.digest(0)
    sent = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(np.asarray(sent.read(0)), before)
    if change == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        paint(path, 2)
    with pytest.raises(DatasetError, match=r"a\.png cannot be read: it has changed since it was first read; leave"):
        sent.read(0)


def test_array_digests_tell_shapes_and_values_apart() -> None:
    digests = {
        ArrayImages(np.full((1, *shape), value, np.uint8)).digest(0)
        for shape in ((2, 3), (3, 2), (6, 1), (1, 2, 3))
        for value in (0, 1)
    }
    assert len(digests) == 8


def test_arrays_are_read_and_stored() -> None:
    images = ArrayImages(np.stack([COLOUR, COLOUR[::-1]])).keep([1])
    assert len(images) == 1
    np.testing.assert_array_equal(np.asarray(images.read(0)), COLOUR[::-1])
    np.testing.assert_array_equal(np.asarray(ArrayImages(GREY[None]).read(0)), grey_as_rgb(GREY))


@pytest.mark.parametrize("arrays", [np.zeros((2, 4, 4)), np.zeros((4, 4), np.uint8), np.zeros((2, 4, 4, 4), np.uint8)])
def test_arrays_of_a_wrong_shape_or_type_are_refused(arrays: np.ndarray) -> None:
    with pytest.raises(DatasetError, match=r"\(N, H, W\) or \(N, H, W, 3\)"):
        ArrayImages(arrays)


@pytest.mark.parametrize(
    ("width", "height", "side"), [(96, 64, 32), (64, 96, 32), (8, 12, 32), (24, 24, 24), (90, 30, 10)]
)
def test_squares_are_the_resized_image_cropped(width: int, height: int, side: int) -> None:
    array = np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)
    scale = side / min(width, height)
    whole = Image.fromarray(array).resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    expected = np.asarray(whole)[top : top + side, left : left + side].transpose(2, 0, 1)
    np.testing.assert_array_equal(square_pixels(ArrayImages(array[None]), [0], side)[0], expected)


def test_squares_come_in_the_requested_order() -> None:
    images = ArrayImages(np.stack([np.full((5, 7), value, np.uint8) for value in range(40)]))
    order = np.random.default_rng(0).permutation(40)
    pixels = square_pixels(images, order, 3)
    assert pixels.shape == (40, 3, 3, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.broadcast_to(order[:, None, None, None], pixels.shape))
    assert square_pixels(images, [], 3).shape == (0, 3, 3, 3)


def test_shrinking_is_antialiased() -> None:
    checkerboard = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    np.testing.assert_allclose(square_pixels(ArrayImages(checkerboard[None]), [0], 8), 127, atol=3)


@pytest.mark.parametrize("clear", [0, 5, 1000, 65535])
def test_transparent_pixels_of_a_16_bit_grey_image_are_white(tmp_path: Path, clear: int) -> None:
    grey = np.array([[clear, 300], [40000, clear]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "x.png", transparency=clear)
    assert read(tmp_path / "x.png")[..., 0].tolist() == [[255, 1], [156, 255]]


def test_a_large_photograph_is_read_without_a_warning_and_a_larger_one_is_refused(tmp_path: Path) -> None:
    code = "import sys; from objectives.datasets.images import FileImages; from pathlib import Path;"
    code += "print(FileImages(Path(sys.argv[1]), (sys.argv[2],)).read(0).size)"
    for side, words in ((9_600, "(9600, 9600)"), (13_500, "could be decompression bomb")):
        Image.new("1", (side, side)).save(tmp_path / f"{side}.png")
        command = [sys.executable, "-c", code, str(tmp_path), f"{side}.png"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert words in ran.stdout + ran.stderr
        assert "Warning" not in ran.stderr
