"""Files of class folders: which are images, and how the others are counted and named."""

import os
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from objectives.datasets.catalog import load_dataset
from objectives.datasets.images import FileImages, decode
from objectives.datasets.layouts import read_csv, read_folder, read_imagenet
from objectives.datasets.layouts.image_files import LeftOut, images_below
from spaces.errors import DatasetError

Paint = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, paint: Paint) -> Path:
    """Classes a and b with 5 images each, all different."""
    for c in range(2):
        for k in range(5):
            paint(tmp_path / "images" / "ab"[c] / f"{k}.png", 10 * c + k)
    return tmp_path / "images"


def encoded(form: str, seed: int = 99) -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.jfif", "JPEG"),
        ("x.JPE", "JPEG"),
        ("x", "JPEG"),
        ("x", "PNG"),
        ("x.jpg", "WEBP"),
        ("x.heic", "PNG"),
        ("x.jpg_large", "JPEG"),
        ("x.png.bak", "PNG"),
        ("x.txt", "GIF"),
        ("x.avif", "AVIF"),
        ("x.jp2", "JPEG2000"),
        ("x.tga", "TGA"),
        ("x.pgm", "PPM"),
        ("x.ico", "ICO"),
        ("sub/x.jpg", "JPEG"),
        ("sub/deeper/x", "JPEG"),
    ],
)
def test_an_image_is_read_whatever_its_suffix(folder: Path, name: str, form: str) -> None:
    (folder / "a" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "a" / name).write_bytes(encoded(form))
    dataset = load_dataset("folder", folder)
    assert isinstance(dataset.images, FileImages)
    assert f"a/{name}" in dataset.images.paths
    assert np.bincount(dataset.labels).tolist() == [6, 5]
    assert dataset.left_out == ()


@pytest.mark.parametrize(
    ("name", "content", "phrase"),
    [
        ("a/notes.txt", b"blurred", "1 file, not an image: a/notes.txt"),
        (
            "a/x.heic",
            b"\0\0\0\x18ftypheic\0\0\0\0",
            r"1 file, in an image format that Pillow cannot read \(convert to JPEG or PNG\): a/x.heic",
        ),
        ("a/x.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "1 file, in an image format that Pillow"),
        (
            "a/x.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "1 file, in an image format .*convert to JPEG or PNG",
        ),
        ("a/x.NEF", encoded("TIFF"), "1 file, in an image format .*convert to JPEG or PNG"),  # its preview
        ("a/x.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "1 file, not an image: a/x.h5"),
        ("a/x.mpg", b"\0\0\1\xb3" + b"\x10" * 100, "1 file, not an image: a/x.mpg"),
        ("a/sub/x.xml", b"<a/>", "1 file, not an image: a/sub/x.xml"),
        ("a/empty", b"", "1 file, empty: a/empty"),
        ("README.md", b"read", "1 file, outside the class folders: README.md"),
        ("x.png", b"read", "1 file, outside the class folders: x.png"),
        (os.fsdecode(b"a/caf\xe9.txt"), b"x", r"1 file, not an image: a/caf\\xe9.txt"),
    ],
)
def test_other_files_are_counted_and_named(folder: Path, name: str, content: bytes, phrase: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    dataset = read_folder(folder)
    assert len(dataset) == 10
    assert len(dataset.left_out) == 1
    with pytest.raises(AssertionError, match=phrase):
        raise AssertionError(dataset.left_out[0])


def test_empty_class_folders_are_counted_and_named(folder: Path) -> None:
    (folder / "owl").mkdir()
    (folder / "gull").mkdir()
    (folder / "gull" / ".DS_Store").touch()
    dataset = read_folder(folder)
    assert (len(dataset), dataset.classes) == (10, ("a", "b"))
    assert dataset.left_out == ("2 class folders, without a file (add images or remove the folder): gull, owl",)


def test_a_class_of_unread_images_is_refused_with_their_number(folder: Path) -> None:
    (folder / "owl").mkdir()
    for k in range(5):
        (folder / "owl" / f"{k}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    with pytest.raises(
        DatasetError, match=r"Pillow can read in .*owl; .*; 5 files, .*convert to JPEG or PNG.*; add images"
    ):
        read_folder(folder)


def test_many_files_are_counted_and_some_named(folder: Path) -> None:
    for k in range(1200):
        (folder / "a" / f"{k}.txt").write_text("x")
    assert read_folder(folder).left_out == ("1,200 files, not an image: a/0.txt, a/1.txt, a/2.txt and 1197 more",)


@pytest.mark.parametrize(
    "name", ["a/.hidden.png", "a/Thumbs.db", "a/desktop.ini", "__MACOSX/a/._0.png", ".DS_Store", "a/@eaDir/0.jpg"]
)
def test_files_of_operating_systems_are_passed_over(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"\0\5\x16\7")
    dataset = read_folder(folder)
    assert (len(dataset), dataset.left_out) == (10, ())


def test_links_are_followed_and_counted(folder: Path, tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "pool" / "9.png", 77)
    (folder / "a" / "pool").symlink_to(tmp_path / "pool")
    (folder / "a" / "gone").symlink_to("nowhere")
    (folder / "a" / "round").symlink_to("round")
    (folder / "a" / "pool" / "around").symlink_to(folder / "a")
    (folder / "b" / "again.png").symlink_to("0.png")
    os.mkfifo(folder / "b" / "pipe.png")
    dataset = read_folder(folder)
    assert np.bincount(dataset.labels).tolist() == [6, 5]
    assert dataset.left_out == (
        "2 files, a link to nothing: a/gone, a/round",
        "1 file, a link to a folder around it: a/pool/around",
        "1 file, a device, a pipe or a socket: b/pipe.png",
        "1 file, the same file as another image of its class: b/again.png",
    )


def test_a_link_to_nothing_that_is_called_as_an_image_is_an_image_that_cannot_be_read(folder: Path) -> None:
    (folder / "a" / "gone.jpg").symlink_to("nowhere")
    with pytest.raises(DatasetError, match=r"gone.jpg cannot be read: No such file or directory; 1 of 11 images"):
        load_dataset("folder", folder)
    assert load_dataset("folder", folder, skip_unreadable=True).skipped == (str(folder / "a/gone.jpg"),)


def test_links_in_a_ring_are_left_out_for_classify_too(tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "x" / "1.png")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    left_out = LeftOut(tmp_path)
    assert images_below(tmp_path, left_out) == [tmp_path / "x/1.png"]
    assert left_out.phrases() == ("1 file, a link to a folder around it: x/up",)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_in_two_classes_or_splits_is_refused(
    tmp_path: Path, paint: Paint, link: Callable[[Path, Path], None]
) -> None:
    for c in range(2):
        for k in range(3):
            paint(tmp_path / "train" / "ab"[c] / f"{k}.png", 10 * c + k)
            paint(tmp_path / "test" / "ab"[c] / f"{k}.png", 100 + 10 * c + k)
    link(tmp_path / "train/a/0.png", tmp_path / "test/a/x.png")
    message = "train/a/0.png and test/a/x.png are the same file, as a training image of class 'a' and as a test image"
    with pytest.raises(DatasetError, match=message):
        read_folder(tmp_path)
    (tmp_path / "test/a/x.png").rename(tmp_path / "train/b/x.png")
    if link is os.link:
        with pytest.raises(DatasetError, match="of class 'a' and as a training image of class 'b'; an image has one"):
            read_folder(tmp_path)


def table(folder: Path, *lines: str) -> Path:
    path = folder / "x.csv"
    path.write_text("\n".join(["path,label,split", *lines, "b/0.png,b,train", "b/1.png,b,test", ""]))
    return path


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("a/0.png", "a/0.png", "a/0.png is listed twice .for dataset"),
        ("a/0.png", "./a/0.png", "listed twice .as a/0.png and ./a/0.png"),
        ("a/0.png", "a//0.png", "listed twice .as a/0.png and a//0.png"),
        ("a/0.png", "a/./0.png", "listed twice"),
        (
            "a/0.png",
            "a/link.png",
            "a/0.png and a/link.png are the same file, as a training image of class 'a' and as a",
        ),
        ("a/0.png", "linked/0.png", "are the same file"),
        ("gone.png", "./gone.png", "listed twice"),
    ],
)
def test_one_image_in_two_splits_of_a_table_is_refused(folder: Path, one: str, other: str, message: str) -> None:
    (folder / "a/link.png").symlink_to("0.png")
    (folder / "linked").symlink_to("a")
    with pytest.raises(DatasetError, match=message):
        read_csv(table(folder, f"{one},a,train", f"{other},a,test"))


def test_a_link_in_the_same_class_and_split_of_a_table_counts_once(folder: Path) -> None:
    (folder / "a/link.png").symlink_to("0.png")
    dataset = read_csv(table(folder, "a/0.png,a,train", "a/link.png,a,train", "a/1.png,a,test"))
    assert len(dataset) == 4
    assert dataset.left_out == ("1 file, the same file as another image of its class: a/link.png",)


def test_a_table_that_lists_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "a/pipe.png")
    with pytest.raises(DatasetError, match=r"pipe.png is a pipe, a socket or a device"):
        read_csv(table(folder, "a/pipe.png,a,train"))


def test_names_with_any_bytes(tmp_path: Path, paint: Paint) -> None:
    root = tmp_path / os.fsdecode(b"im\xe9")
    names = [b"caf\xe9", rb"caf\xe9", b"two\nlines", "Mo\u0308we".encode(), "\u202eowl".encode()]
    for c, name in enumerate(names):
        for k in range(5):
            path = root / os.fsdecode(name) / os.fsdecode(b"%d\xff\n.png" % k)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(paint(tmp_path / "x.png", 10 * c + k), path)
    dataset = load_dataset("folder", root)
    assert dataset.classes == ("Möwe", r"caf\\xe9", r"caf\xe9", r"two\x0alines", r"\u202eowl")
    assert dataset.images.name(0) == str(tmp_path) + r"/im\xe9/Mo" + "\u0308" + r"we/0\xff\x0a.png"
    for i in range(len(dataset)):
        dataset.images.name(i).encode()
    assert dataset.images.read(0).size == (20, 16)


def test_one_class_in_both_forms_of_unicode(tmp_path: Path, paint: Paint) -> None:
    for part in ("train", "test"):
        for c, name in enumerate(("M\u00f6we", "owl")):
            spelling = name if part == "train" else name.replace("\u00f6", "o\u0308")
            for k in range(3):
                paint(tmp_path / part / spelling / f"{k}.png", 100 * (part == "test") + 10 * c + k)
    dataset = read_folder(tmp_path)
    assert dataset.classes == ("M\u00f6we", "owl")
    assert np.bincount(dataset.labels[dataset.is_test]).tolist() == [3, 3]


def test_imagenet_counts_too(tmp_path: Path, paint: Paint) -> None:
    for part in ("train", "val"):
        for wnid in ("n00000001", "n00000002"):
            paint(tmp_path / part / wnid / "1.JPEG", hash((part, wnid)) % 1000)
    (tmp_path / "train/n00000001/2.JPG_").write_bytes(encoded("JPEG"))
    (tmp_path / "train/n00000001/boxes.txt").write_text("0 0 9 9")
    dataset = read_imagenet(tmp_path)
    assert len(dataset) == 5
    assert dataset.left_out == ("1 file, not an image: train/n00000001/boxes.txt",)


def test_a_header_that_asks_for_absurd_memory_is_damaged(tmp_path: Path) -> None:
    signature = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
    box = b"\x00\x00\x00\x01jp2h" + (2**62).to_bytes(8, "big")  # JPEG 2000's box of 2^62 bytes
    (tmp_path / "huge.jp2").write_bytes(signature + box + b"ihdr" * 8)
    with pytest.raises(DatasetError, match=r"huge\.jp2 cannot be read: it is damaged: its header asks for more memory"):
        decode(tmp_path / "huge.jp2", "huge.jp2")
