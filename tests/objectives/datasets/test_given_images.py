"""Images that a caller hands over are read alike, whatever holds them; what is no image is refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from objectives.datasets.given_images import image_source
from objectives.datasets.images import ArrayImages, FileImages, ImageSource
from spaces import DatasetError

RGB = np.random.default_rng(0).integers(0, 256, (3, 20, 12, 3), np.uint8)
GREY = RGB[..., 0]


def contents(source: ImageSource) -> list[tuple[str, bytes]]:
    return [(source.digest(i), source.read(i).tobytes()) for i in range(len(source))]


@pytest.mark.parametrize(
    ("images", "as_batch"),
    [
        (RGB, RGB),
        (GREY, GREY),
        (list(RGB), RGB),
        (tuple(GREY), GREY),
        ([Image.fromarray(pixels) for pixels in RGB], RGB),
        ([Image.fromarray(pixels) for pixels in GREY], GREY),
        ([RGB[0], Image.fromarray(RGB[1]), RGB[2]], RGB),
        (RGB[0], RGB[:1]),
        (GREY[0], GREY[:1]),
        (Image.fromarray(RGB[0]), RGB[:1]),
        ([], RGB[:0]),
    ],
    ids=lambda images: type(images).__name__,
)
def test_pixels_are_the_same_images_in_an_array_a_list_and_pictures(images: Any, as_batch: np.ndarray) -> None:
    assert contents(image_source(images)) == contents(ArrayImages(as_batch))


def test_files_are_read_alone_in_lists_and_beside_pixels(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.fromarray(RGB[0]).save(path)
    (file,) = contents(FileImages(tmp_path, ("one.png",)))
    for images in (path, str(path), [path], np.array([str(path)]), [path, RGB[1]]):
        source = image_source(images)
        assert contents(source)[0] == file
        assert source.name(0) == str(path)
    assert contents(image_source([path, RGB[1]]).keep([1])) == contents(ArrayImages(RGB[1:2]))


def test_a_picture_is_turned_upright_and_set_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert image_source([clear]).read(0).getpixel((0, 0)) == (255, 255, 255)
    turned = Image.new("RGB", (4, 8))
    turned.getexif()[0x112] = 6
    assert image_source([turned]).read(0).size == (8, 4)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (RGB / 255, r"got float64 \(20, 12, 3\); scale it to 0 to 255, then give array\.round\(\)\.ast"),
        ([RGB[0].astype(np.int64)], r"got int64 \(20, 12, 3\) for image 0; scale it to 0 to 255"),
        (RGB.transpose(0, 3, 1, 2), r"for channels first, give array\.transpose\(1, 2, 0\)"),
        ([GREY[0][..., None]], r"\(20, 12, 1\) for image 0; give array\[:, :, 0\]"),
        (np.zeros((20, 12, 4), np.uint8)[None], r"\(20, 12, 4\); give Image\.fromarray"),
        (np.zeros((2, 0, 5, 3), np.uint8), r"got uint8 \(0, 5, 3\)"),
        (np.zeros(5, np.uint8), r"got uint8 \(5,\) for image 0"),
        ([RGB[0], None], "got None for image 1"),
        ([Path("a.png"), 3], "got 3 for image 1"),
        (torch.zeros(3, 8, 8), "got a torch.Tensor, which numpy.asarray may turn into an array"),
        ([torch.zeros(3, 8, 8)], "got a torch.Tensor, which numpy.asarray may turn into an array for image 0"),
        ({"a": 1}, "or a list of these; got a dict"),
        (b"bytes", "got b'bytes'"),
        (None, "got None"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_image_is_refused_in_one_line(images: Any, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as raised:
        image_source(images)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(RGB[0]).save(path)
    path.write_bytes(path.read_bytes()[:300])
    with Image.open(path) as picture, pytest.raises(DatasetError, match="image 1 cannot be read"):
        image_source([RGB[1], picture]).digest(1)
