"""Odd datasets, drawn at random: class folders, lists of images, published tables and arrays, and space files.

Each generator writes one input below `root` and returns what to read and how many images it must account for. To add
one, such as for tables of Hugging Face, add it to GENERATORS.
"""

import io
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from tests.support.small_archives import CIFAR_CLASSES, FILES, cifar


@final
@dataclass(frozen=True)
class Input:
    """A dataset to check.

    dataset: its name in the catalog; None for a space file. root: the folder or file.
    files: the number of files that must be images, unreadable or left out; None if nobody knows.
    """

    dataset: str | None
    root: Path
    files: int | None = None


FORMATS = {
    "jpg": "JPEG",
    "png": "PNG",
    "gif": "GIF",
    "bmp": "BMP",
    "webp": "WEBP",
    "tif": "TIFF",
    "ppm": "PPM",
    "avif": "AVIF",
    "jp2": "JPEG2000",
    "ico": "ICO",
    "tga": "TGA",
    "psd": None,
}
MODES = ["RGB", "RGB", "L", "P", "RGBA", "1", "LA", "CMYK", "I;16", "I", "F", "YCbCr", "PA"]
OTHERS: list[bytes] = [
    b"",
    b"text\n",
    b"\0" * 200,
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60),
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(60),
    b"%PDF-1.7\n",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"\x89HDF\r\n\x1a\n" + bytes(100),
    b"GRIB\0\0\0\1",
    b"BUFR\0\0\0\4",
    b"\0\0\1\xb3" + b"\x10" * 50,
    b"\xd7\xcd\xc6\x9a" + bytes(60),
    b"P5 not numbers",
    b"P6\n99999999 99999999\n255\n",
    b"#define x_width 0\n",
    b"SIMPLE  =                    T",
    b"\x0a\x05\x01\x08" + bytes(124),
    b"8BPS\0\1" + bytes(40),
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n",
]
NAMES: list[bytes] = [
    b"caf\xe9",
    rb"caf\xe9",
    "Möwe".encode(),
    "Mo\u0308we".encode(),
    b"two\nlines",
    b"tab\t",
    b"\x1b[31mred",
    "\u202eowl".encode(),
    "猫 🐈\u200d⬛".encode(),
    b" space ",
    b"-rf",
    b"[b]",
    b"a" * 240,
    b"9" * 200,
    b"%s",
    b"a;b",
    b'"',
    b"..x",
    b"CON",
    b"\xc2\x85",
    b"\xed\xa0\x80",
]
SUFFIXES = ["jpg", "JPG", "jfif", "JPE", "", "txt", "jpeg~", "heic", "png", "avif", "data", "jpg.txt", "db", "\udcff"]


@cache
def encoded(form: str, mode: str, seed: int) -> bytes | None:
    """Encode a small image; None if the format has no such mode."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image, file = Image.fromarray(pixels), io.BytesIO()
    try:
        image.convert("L").convert(mode).save(file, form) if mode[0] in "IF" else image.convert(mode).save(file, form)
    except (OSError, ValueError, KeyError):
        return None
    return file.getvalue()


def content(chance: random.Random) -> bytes:
    """Draw the content of a file: mostly a sound image, or a damaged one, or something else."""
    if chance.random() < 0.15:
        return chance.choice(OTHERS)
    form, mode = chance.choice([form for form in FORMATS.values() if form]), chance.choice(MODES)
    image = encoded(form, mode, chance.randrange(30)) or encoded("PNG", "RGB", chance.randrange(30)) or b""
    return damaged(image, chance) if chance.random() < 0.3 else image


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Cut, flip, double or insert some bytes."""
    part = bytearray(whole)
    act = chance.random()
    if act < 0.2:
        return bytes(part[: chance.randrange(len(part) + 1)])
    if act < 0.3:
        return whole + whole
    if act < 0.4:
        where = chance.randrange(len(part) + 1)
        return whole[:where] + chance.randbytes(chance.choice([1, 8, 100])) + whole[where:]
    for _ in range(chance.choice([1, 1, 3, 20]) if part else 0):
        part[chance.randrange(min(len(part), chance.choice([40, 400, 10**6])))] = chance.randrange(256)
    return bytes(part)


def name(chance: random.Random, plain: str) -> str:
    return os.fsdecode(chance.choice(NAMES)) if chance.random() < 0.15 else plain


def class_folders(root: Path, chance: random.Random) -> Input:
    """Write class folders with odd names, files, links and subfolders."""
    root /= name(chance, "images")
    parts = chance.choice([[root], [root], [root / "train", root / "test"], [root / "train"]])
    classes = [name(chance, f"class {c}") for c in range(chance.choice([2, 2, 2, 3, 1]))]
    for part in parts:
        for inner in classes:
            (part / inner).mkdir(parents=True, exist_ok=True)
            for k in range(chance.choice([2, 5, 5, 12, 0 if chance.random() < 0.3 else 5])):
                suffix = chance.choice(SUFFIXES) if chance.random() < 0.3 else "png"
                file = part / inner / name(chance, f"{k}")
                file = file.with_name(f"{file.name}.{suffix}"[:200])
                file.write_bytes(content(chance))
    for _ in range(chance.choice([0, 0, 1, 2, 5])):
        _disturb(root, chance)
    return Input("folder", root, len(list(_visible(root, []))))


def _disturb(root: Path, chance: random.Random) -> None:
    """Add one thing to class folders that people and programs leave there."""
    folders = [root, *(path for path in sorted(root.rglob("*")) if path.is_dir() and not path.is_symlink())]
    files = [path for path in sorted(root.rglob("*")) if path.is_file()] or [root]
    place, file = chance.choice(folders), chance.choice(files)
    names = [
        ".hidden.png",
        "Thumbs.db",
        ".DS_Store",
        "desktop.ini",
        "x.png",
        "README",
        "x",
        "test",
        "train",
        "val",
        "sub",
    ]
    target = place / name(chance, chance.choice(names))
    copied = chance.choice(folders)
    if os.path.lexists(target) or target.is_relative_to(copied):
        return
    acts: list[Callable[[], object]] = [
        lambda: target.write_bytes(content(chance)),
        target.mkdir,
        lambda: shutil.copytree(copied, target, symlinks=True),
        (place / "__MACOSX").mkdir,
        lambda: target.symlink_to(chance.choice([Path("nowhere"), target, file, place, root, chance.choice(folders)])),
        lambda: target.hardlink_to(file),
        lambda: shutil.copyfile(file, target),
        lambda: os.mkfifo(target),
        lambda: file.rename(target),
    ]
    try:
        chance.choice(acts)()
    except OSError:
        return


def _visible(folder: Path, around: list[Path]) -> list[Path]:
    """List the files that a reader must account for; a link to a folder around it counts as one."""
    found = []
    for path in folder.iterdir():
        hidden = path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini", "__macosx")
        if hidden:
            continue
        if not path.is_dir() or any(path.samefile(above) for above in [folder, *around]):
            found.append(path)
        else:
            found += _visible(path, [folder, *around])
    return found


def csv_file(root: Path, chance: random.Random) -> Input:
    """Write a CSV file that lists images, and damage its text."""
    paths = []
    for k in range(chance.choice([8, 20, 20, 0])):
        path = root / "img" / f"{name(chance, str(k))}.{chance.choice(['png', 'png', *SUFFIXES])}"[-200:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(chance))
        paths.append(path.relative_to(root).as_posix())
    (root / "img").mkdir(parents=True, exist_ok=True)
    labels = [
        chance.choice(["kite", "owl", *LABELS]) if chance.random() < 0.05 else f"{i % 2}" for i in range(len(paths))
    ]
    splits = [chance.choice(["train", "train", "val", "test", "Test "]) for _ in paths]
    if chance.random() < 0.1 and paths:
        splits[-1] = chance.choice(["", "dev", "None"])
    if chance.random() < 0.3 and len(paths) > 1:
        link = root / "img" / "link.png"
        link.symlink_to(chance.choice([root / paths[0], Path("nowhere"), root / "img"]))
        paths[-1] = chance.choice(
            [paths[0], f"./{paths[0]}", f"img/../{paths[0]}", "img/link.png", "", ".", "a\0b", "img"]
        )
    with_split = chance.random() < 0.6
    rows = [("path", "label", *(["split"] if with_split else []))]
    rows += [(p, x, *([s] if with_split else [])) for p, x, s in zip(paths, labels, splits, strict=True)]
    quoted = [",".join(f'"{cell}"' if set(cell) & set(',"\n\r') else cell for cell in row) for row in rows]
    text = "".join(line + chance.choice(["\n", "\n", "\n", "\r\n", "\r"]) for line in quoted)
    encoding = chance.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16", "utf-16-le"])
    whole = text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
    (root / "x.csv").write_bytes(damaged(whole, chance) if chance.random() < 0.2 else whole)
    return Input("csv", chance.choice([root, root / "x.csv"]))


LABELS = [
    "",
    " ",
    "9" * 5000,
    "inf",
    "nan",
    "1e400",
    "-0",
    "-1",
    "Mo\u0308we",
    "two\nlines",
    '"',
    "a,b",
    "\u202eowl",
    "\x1b[m",
]


def published(root: Path, chance: random.Random) -> Input:
    """Write a published dataset, and damage one of its files."""
    dataset = chance.choice(sorted({*FILES, *CIFAR_CLASSES} - {"folder", "csv", "imagenet-50", "imagenet-100"}))
    root.mkdir()
    if dataset in CIFAR_CLASSES:
        cifar(root, dataset, chance.random() < 0.5)
    else:
        FILES[dataset](root)
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    tables = [path for path in files if path.suffix.lower() not in (".jpg", ".jpeg", ".png")] or files
    for _ in range(chance.choice([1, 1, 2])):
        file = chance.choice(chance.choice([files, tables]))
        act = chance.random()
        if not file.exists():
            continue
        if act < 0.7:
            file.write_bytes(damaged(file.read_bytes(), chance))
        elif act < 0.8:
            file.unlink()
        elif act < 0.9:
            file.write_bytes(chance.choice(OTHERS))
        else:
            file.rename(file.with_name(name(chance, "other") + file.suffix))
    return Input(dataset, root)


SPACE = '# Größe\nblocks = [1, 2]\ntimesteps = [10, 50]\nheads = ["linear"]\npools = [1]\n'
VALUES = [
    "[]",
    "3",
    '"x"',
    "[true]",
    "[1.5]",
    "[-1]",
    "[" + "9" * 5000 + "]",
    "[[1]]",
    "{a = 1}",
    "nan",
    "[inf]",
    "[" * 5000,
]
VALUES += ["1979-05-27", "[0x" + "f" * 5000 + "]", '["\\ud800"]', '["linear", "linear"]']


def space_file(root: Path, chance: random.Random) -> Input:
    """Write a TOML file of a space, and damage it."""
    root.mkdir()
    text = SPACE
    if chance.random() < 0.6:
        line = chance.choice(text.splitlines()[1:])
        key = chance.choice([line.partition(" ")[0], "taps", "draws", "depth", '"a b"'])
        text = text.replace(line, f"{key} = {chance.choice(VALUES)}")
    text = text.replace("\n", chance.choice(["\n", "\r\n", "\r"]))
    whole = text.encode(chance.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"]), "replace")
    (root / "space.toml").write_bytes(damaged(whole, chance) if chance.random() < 0.5 else whole)
    return Input(None, root / "space.toml")


GENERATORS: dict[str, Callable[[Path, random.Random], Input]] = {
    "class folders": class_folders,
    "csv file": csv_file,
    "published": published,
    "space file": space_file,
}
