"""Hostile and damaged archives: each is refused in one line, and nothing appears outside the folder."""

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from objectives import archives
from objectives.archives import CHUNK, unpack

BLOCK = tarfile.BLOCKSIZE
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def packed(*members: Member, form: Literal[1, 2] = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive of any members, as a hostile program would write it."""
    parts = [
        info.tobuf(form, "utf-8", "surrogateescape") + content + bytes(-len(content) % BLOCK)
        for info, content in members
    ]
    return b"".join(parts) + bytes(2 * BLOCK)


def raw(name: bytes, size: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header with any twelve bytes as the size."""
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[:100], header[124:136], header[156:157] = name.ljust(100, b"\0"), size, kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def unpacked(content: bytes, tmp_path: Path, most_bytes: int = 2**20) -> list[str]:
    """Unpack into `tmp_path/out`, and return the paths of the files."""
    archive, folder = tmp_path / "archive.tar", tmp_path / "out"
    archive.write_bytes(content)
    folder.mkdir()
    unpack(archive, folder, most_bytes, lambda done: None)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


SYMLINK, HARDLINK = tarfile.SYMTYPE, tarfile.LNKTYPE
SECRET = "secret"
"""A file beside the folder, which no archive may read or change."""

LONG = "/".join(["d" * 240] * 18)
"""A path that is longer than Linux allows; CVE-2025-4517 and its relatives hide a link behind one."""

HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute": (packed(member("/tmp/out.jpg", b"x")), "leaves the folder"),
    "above": (packed(member("../secret", b"x")), "leaves the folder"),
    "above, deeper": (packed(member("a/b/../../../secret", b"x")), "leaves the folder"),
    "above, folder": (packed(member("a/../../new", kind=tarfile.DIRTYPE)), "leaves the folder"),
    "two points": (packed(member("..", b"x")), "leaves the folder"),
    "no name": (packed(member("./", b"x")), "file without a name"),
    "link": (packed(member("a", kind=SYMLINK, link="../secret")), "'a' is a symbolic link"),
    "link to a root": (packed(member("a", kind=SYMLINK, link="/")), "is a symbolic link"),
    "link inside": (packed(member("b", b"x"), member("a", kind=SYMLINK, link="b")), "is a symbolic link"),
    "through a link": (
        packed(member("a", kind=SYMLINK, link=".."), member("a/secret", b"x")),
        "is a symbolic link",
    ),
    "chain of links": (
        packed(
            member("a", kind=tarfile.DIRTYPE),
            member("a/b", kind=SYMLINK, link="."),
            member("c", kind=SYMLINK, link="a/b/b/../.."),
            member("c/secret", b"x"),
        ),
        "is a symbolic link",
    ),
    "long chain": (
        packed(member(LONG, kind=tarfile.DIRTYPE), member("a", kind=SYMLINK, link=f"{LONG}/../../..")),
        "more than 32 folders or 1,000 characters",
    ),
    "hard link": (packed(member("a", kind=HARDLINK, link="../secret")), "'a' is a hard link"),
    "hard link inside": (packed(member("b", b"x"), member("a", kind=HARDLINK, link="b")), "is a hard link"),
    "device": (packed(member("a", kind=tarfile.CHRTYPE)), "is a device"),
    "disk": (packed(member("a", kind=tarfile.BLKTYPE)), "is a device"),
    "pipe": (packed(member("a", kind=tarfile.FIFOTYPE)), "is a pipe"),
    "sparse": (raw(b"a", b"%011o\0" % 0, tarfile.GNUTYPE_SPARSE) + bytes(2 * BLOCK), "a sparse file"),
    "unknown": (packed(member("a", kind=b"Z")), "a member of unknown kind"),
    "twice": (packed(member("a", b"x"), member("a", b"y")), "it has 'a' twice"),
    "twice, otherwise": (packed(member("d/a", b"x"), member("./d//a", b"y")), "it has 'd/a' twice"),
    "file and folder": (packed(member("a", b"x"), member("a/b", b"y")), "a file and a folder of the name 'a'"),
    "folder and file": (packed(member("a", kind=tarfile.DIRTYPE), member("a", b"y")), "it has 'a' twice"),
    "long name": (packed(member("n" * 2000, b"x")), "more than 32 folders or 1,000 characters"),
    "long name, pax": (packed(member("n" * 2000, b"x"), form=tarfile.PAX_FORMAT), "or 1,000 characters"),
    "very long name": (packed(member("n" * 10**6, b"x")), "at most 65,536 are read"),
    "very long name, pax": (packed(member("n" * 10**6, b"x"), form=tarfile.PAX_FORMAT), "at most 65,536 are read"),
    "deep": (packed(member("d/" * 100 + "a", b"x")), "more than 32 folders"),
    "cut": (packed(member("a", b"x" * 9000))[:5000], "it is cut off in 'a'"),
    "larger than it is": (raw(b"a", b"%011o\0" % 10**6) + bytes(BLOCK), "it is cut off in 'a'"),
    "vast": (raw(b"a", b"7" * 11 + b"\0") + bytes(BLOCK), "it is cut off in 'a'"),
    "vaster": (raw(b"a", b"\x80" + b"\x7f" * 11) + bytes(BLOCK), "it is cut off in 'a'"),
    "size below 0": (raw(b"a", b"\xff" * 11 + b"\x00") + bytes(2 * BLOCK), "has a size below 0"),
    "long name of a size below 0": (
        raw(b"a", b"\xff" * 10 + b"\xf0\x00", tarfile.GNUTYPE_LONGNAME) + bytes(2 * BLOCK),
        "at most 65,536 are read",
    ),
    "damaged later": (packed(member("a", b"x"))[: 2 * BLOCK] + b"?" * BLOCK, "the header at byte 1,024 is damaged"),
    "cut in a header": (packed(member("a", b"x"))[: 2 * BLOCK] + b"b" * 99, "the header at byte 1,024 is damaged"),
    "long part": (packed(member("d/" + "n" * 256, b"x")), "a part of more than 255 bytes"),
    "long folder": (packed(member("é" * 128 + "/a", b"x")), "a part of more than 255 bytes"),
    "long bytes": (packed(member("\udce9" * 256, b"x")), "a part of more than 255 bytes"),
    "empty": (b"", "it is no tar archive"),
    "text": (b"words" * 300, "it is no tar archive"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["tar", "gzip"])
def test_hostile_archives_are_refused(compress: Callable[[bytes], bytes], case: str, tmp_path: Path) -> None:
    secret = tmp_path / SECRET
    secret.write_text("kept")
    content, message = HOSTILE[case]
    with pytest.raises(ValueError, match=message) as refusal:
        unpacked(compress(content), tmp_path)
    assert len(str(refusal.value)) < 300
    assert secret.read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {SECRET, "archive.tar", "out"}
    for path in (tmp_path / "out").rglob("*"):
        status = path.lstat()
        assert stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)


def test_a_link_that_somebody_puts_into_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out/b").symlink_to(tmp_path / "elsewhere/new")
    for name, message in (("a/file", "a file and a folder"), ("b", "twice")):
        (tmp_path / "archive.tar").write_bytes(packed(member(name, b"x")))
        with pytest.raises(ValueError, match=message):
            unpack(tmp_path / "archive.tar", tmp_path / "out", 2**20, lambda done: None)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.timeout(20)
def test_bombs_are_stopped_at_the_limit(tmp_path: Path) -> None:
    zeros = bytes(2**24)
    bombs = {
        "one file": packed(member("a", zeros)),
        "many files": packed(*(member(f"{number}", b"x") for number in range(5000))),
        "padding": packed(member("a", b"x")) + zeros,
        "folders": packed(*(member(f"{number}", kind=tarfile.DIRTYPE) for number in range(5000))),
    }
    for name, bomb in bombs.items():
        (tmp_path / name).mkdir()
        with pytest.raises(ValueError, match="it unpacks to more than 1,048,576 bytes"):
            unpacked(gzip.compress(bomb, 1), tmp_path / name)
        size = sum(path.stat().st_size for path in (tmp_path / name / "out").rglob("*") if path.is_file())
        assert size <= 2**20


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    content = packed(*(member(f"{number}", b"x") for number in range(4)))
    with pytest.raises(ValueError, match="it has more than 3 members"):
        unpacked(content, tmp_path)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_programs_write_is_unpacked(form: int, tmp_path: Path) -> None:
    contents = {
        "a.jpg": b"",
        "d/b.jpg": b"x" * BLOCK,
        "d/e/Zaunkönig é.jpg": os.urandom(3 * CHUNK + 1),
        "f/" + "long" * 30 + "/c.jpg": b"c",
        "f/..c": b"not above",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as tar:
        for folder in ("./", "./d", "d"):
            tar.addfile(member(folder, kind=tarfile.DIRTYPE)[0])
        for name, content in contents.items():
            info = member(name, content)[0]
            info.mode, info.uid = 0o4777, 12345
            tar.addfile(info, io.BytesIO(content))
    assert unpacked(buffer.getvalue(), tmp_path) == sorted(contents)
    for name, content in contents.items():
        file = tmp_path / "out" / name
        assert file.read_bytes() == content
        assert not file.stat().st_mode & 0o7111, "neither a program, nor of its owner's rights"


def test_every_cut_and_every_flipped_bit_of_gzip_is_noticed(tmp_path: Path) -> None:
    whole = gzip.compress(packed(member("a", os.urandom(50)), member("b", b"y" * 900)), mtime=0)
    expected = {"a", "b"}
    for number in range(8 * len(whole) + 1):
        (tmp_path / f"{number}").mkdir()
        changed = bytearray(whole)
        if number < 8 * len(whole):
            changed[number // 8] ^= 1 << number % 8
        try:
            names = unpacked(bytes(changed), tmp_path / f"{number}")
        except (ValueError, OSError, EOFError):
            continue
        assert set(names) == expected
        assert (tmp_path / f"{number}/out/b").read_bytes() == b"y" * 900
