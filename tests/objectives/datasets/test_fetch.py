"""The published sources are tables here; what is fetched by them comes from a server on this machine."""

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from objectives.datasets.catalog import DATASETS
from objectives.datasets.fetch import BY_HAND, PART_OF, SOURCES, PublishedFile, fetch, how_to_get
from objectives.downloads import Content, reporting_to
from spaces.errors import DatasetError, UnknownNameError
from tests.support import small_archives
from tests.support.file_server import FileServer, serve_files


def archive(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A .tgz of these files by name, in this order, then of symbolic links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return buffer.getvalue()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files() as server:
        yield server


Publish = Callable[[dict[str, bytes]], None]


@pytest.fixture
def publish(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """`publish({"x.tgz": bytes})` makes these the published files of the dataset "small"."""

    def change(files: dict[str, bytes]) -> None:
        server.files |= {f"/{name}": content for name, content in files.items()}
        published = tuple(
            PublishedFile(f"{server.url}/{name}", Content(hashlib.sha256(content).hexdigest(), len(content)))
            for name, content in files.items()
        )
        monkeypatch.setitem(SOURCES, "small", published)

    return change


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def requested_paths(server: FileServer) -> list[str]:
    return [path for path, _ in server.requests]


SMALL = {"jpg/1.jpg": b"one", "jpg/2.jpg": b"two"}
LISTS = {"train_list.mat": b"1"}


def test_archives_are_unpacked_and_other_files_placed_once(
    server: FileServer,
    publish: Publish,
    tmp_path: Path,
    downloads_said: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    publish({"images.tgz": archive(SMALL), "lists.tar": archive(LISTS), "setid.mat": b"ids"})
    folder = tmp_path / "not/yet"
    assert fetch("small", folder) == folder / "small"
    assert tree(folder) == {
        "small/jpg/1.jpg": b"one",
        "small/jpg/2.jpg": b"two",
        "small/train_list.mat": b"1",
        "small/setid.mat": b"ids",
    }
    assert [line.split(" ")[1] for line in downloads_said] == ["downloading"] * 3 + ["unpacking"] * 2
    downloads_said.clear()

    assert fetch("small", folder) == folder / "small"
    assert requested_paths(server) == ["/images.tgz", "/lists.tar", "/setid.mat"]
    assert not downloads_said
    assert capfd.readouterr() == ("", "")


PACKED = {
    "cub": {"CUB_200_2011.tgz": ["CUB_200_2011"]},
    "aircraft": {"fgvc-aircraft-2013b.tar.gz": ["fgvc-aircraft-2013b"]},
    "flowers": {"102flowers.tgz": ["jpg"], "imagelabels.mat": [], "setid.mat": []},
    "dogs": {"images.tar": ["Images"], "lists.tar": ["lists/train_list.mat", "lists/test_list.mat"]},
    "cifar10": {"cifar-10-python.tar.gz": ["cifar-10-batches-py"]},
    "cifar100": {"cifar-100-python.tar.gz": ["cifar-100-python"]},
}
"""The top-level entries of the layout that each published file contains."""


def pack(root: Path, file: str, parts: list[str]) -> bytes:
    if not parts:
        return (root / file).read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if file.endswith("gz") else "w") as tar:
        for part in parts:
            tar.add(root / part, Path(part).name)
    return buffer.getvalue()


@pytest.mark.parametrize("name", SOURCES)
def test_fetched_datasets_are_readable(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = tmp_path / "as published"
    small_archives.cifar(root, name) if name.startswith("cifar") else small_archives.FILES[name](root)
    published = []
    for file in SOURCES[name]:
        content = pack(root, file.file_name, PACKED[name][file.file_name])
        server.files[f"/{file.file_name}"] = content
        digest = Content(hashlib.sha256(content).hexdigest(), len(content))
        published.append(replace(file, url=f"{server.url}/{file.file_name}", content=digest))
    monkeypatch.setitem(SOURCES, name, tuple(published))
    fetched = DATASETS[name].reader(fetch(name, tmp_path / "data"))
    expected = DATASETS[name].reader(root)
    assert len(fetched) > 0
    assert fetched.fingerprint == expected.fingerprint


@dataclass
class Bytes:
    """A listener that keeps the bytes of each report."""

    done: list[int] = field(default_factory=list)

    def begins(self, line: str) -> None:
        pass

    def progresses(self, name: str, done: int, total: int) -> None:
        self.done.append(done)


def test_the_end_of_unpacking_is_reported_once_although_gzip_reads_ahead(publish: Publish, tmp_path: Path) -> None:
    packed = archive(SMALL)
    (tmp_path / "images.tgz").write_bytes(packed)
    publish({"images.tgz": packed})
    with reporting_to(heard := Bytes()):
        fetch("small", tmp_path)
    assert len(heard.done) == len(SMALL) + 1
    assert [done for done in heard.done if done >= len(packed)] == [len(packed)] == heard.done[-1:]


def test_kept_downloads_are_used_again(server: FileServer, publish: Publish, tmp_path: Path) -> None:
    publish({"images.tgz": archive(SMALL)})
    fetch("small", tmp_path, keep_downloads=True)
    assert (tmp_path / "images.tgz").read_bytes() == archive(SMALL)
    (tmp_path / "small").rename(tmp_path / "moved")
    fetch("small", tmp_path)
    assert tree(tmp_path / "small") == tree(tmp_path / "moved") == SMALL
    assert (tmp_path / "images.tgz").is_file()
    assert requested_paths(server) == ["/images.tgz"]


def test_an_interrupted_download_continues_and_a_complete_one_is_not_repeated(
    server: FileServer, publish: Publish, tmp_path: Path
) -> None:
    whole, broken = archive(SMALL), archive(LISTS)
    publish({"a.tgz": whole, "b.tgz": broken})
    del server.files["/b.tgz"]
    with pytest.raises(DatasetError, match=r"dataset small cannot be downloaded from .*b\.tgz: .*404"):
        fetch("small", tmp_path)
    assert (tmp_path / "a.part.tgz").read_bytes() == whole
    assert not (tmp_path / "small").exists()
    server.files["/b.tgz"] = broken
    (tmp_path / "b.part.tgz").write_bytes(broken[:20])
    fetch("small", tmp_path)
    assert tree(tmp_path) == {f"small/{name}": content for name, content in (SMALL | LISTS).items()}
    assert server.requests[2:] == [("/b.tgz", "bytes=20-")]


def test_a_file_that_differs_from_the_published_one_is_refused(
    server: FileServer, publish: Publish, tmp_path: Path
) -> None:
    publish({"images.tgz": archive(SMALL)})
    server.files["/images.tgz"] = server.files["/images.tgz"][:-1] + b"\xff"
    with pytest.raises(DatasetError, match=r"is not the published file of small: its sha256"):
        fetch("small", tmp_path)
    assert not tree(tmp_path)
    (tmp_path / "images.tgz").write_bytes(b"placed by hand")
    with pytest.raises(DatasetError, match=r"images\.tgz is not the published file of small: .*replace it"):
        fetch("small", tmp_path)
    assert tree(tmp_path) == {"images.tgz": b"placed by hand"}


@pytest.mark.parametrize(
    ("files", "links"),
    [
        ({"in.jpg": b"in", "../out.jpg": b"out"}, {}),
        ({"in.jpg": b"in", "jpg/../../out.jpg": b"out"}, {}),
        ({"in.jpg": b"in"}, {"out": "../.."}),
        ({"in.jpg": b"in"}, {"out": "/etc"}),
    ],
    ids=["above", "above, later", "link above", "link to a root"],
)
def test_nothing_is_unpacked_outside_the_folder(
    publish: Publish, tmp_path: Path, files: dict[str, bytes], links: dict[str, str]
) -> None:
    bad = archive(files, links)
    publish({"bad.tgz": bad})
    with pytest.raises(DatasetError, match=r"dataset small cannot be unpacked to .*small: .*; the downloads stay"):
        fetch("small", tmp_path / "data")
    assert tree(tmp_path) == {"data/bad.part.tgz": bad}
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"bad.part.tgz", "small.lock"}


@pytest.mark.parametrize(
    "damaged",
    [b"no archive", archive(SMALL)[:60], archive({"1": bytes(range(256)) * 99})[:-200]],
    ids=["text", "its first bytes", "its last lacking"],  # made of the content they would change by the second
)
def test_an_archive_that_cannot_be_read_leaves_no_half_dataset(
    publish: Publish, tmp_path: Path, damaged: bytes
) -> None:
    publish({"bad.tgz": damaged})
    with pytest.raises(DatasetError, match="dataset small cannot be unpacked"):
        fetch("small", tmp_path)
    assert tree(tmp_path) == {"bad.part.tgz": damaged}


def test_leftovers_of_a_killed_unpacking_are_removed(publish: Publish, tmp_path: Path) -> None:
    publish({"images.tgz": archive(SMALL)})
    (tmp_path / "small.4711.part").mkdir()
    (tmp_path / "small.4711.part/half.jpg").touch()
    fetch("small", tmp_path)
    assert tree(tmp_path) == {f"small/{name}": content for name, content in SMALL.items()}


def test_a_full_disk_is_an_error_before_the_download(
    server: FileServer, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish({"images.tgz": archive(SMALL)})
    (file,) = SOURCES["small"]
    vast = replace(file, content=replace(file.content, size=10**18))
    monkeypatch.setitem(SOURCES, "small", (vast,))
    with pytest.raises(DatasetError, match=r"needs about 2,200\.0 PB more in .* are free; make room"):
        fetch("small", tmp_path)
    assert not server.requests


@pytest.mark.parametrize("name", [*BY_HAND, "imagenet-50", "imagenet-100"])
def test_datasets_to_get_by_hand_are_explained(name: str, tmp_path: Path) -> None:
    what = PART_OF.get(name, name)
    with pytest.raises(
        DatasetError, match=rf"{what} cannot be fetched for you: .*https://.*`search datasets check {what}` "
    ):
        fetch(name, tmp_path)
    assert how_to_get(name) == "by hand"
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_dataset_fetches_the_whole_dataset(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish({"images.tgz": archive(SMALL)})
    monkeypatch.setitem(PART_OF, "small-family", "small")
    assert fetch("small-family", tmp_path) == tmp_path / "small"


def test_unknown_names_are_refused_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown published dataset 'flower'; did you mean 'flowers'"):
        fetch("flower", tmp_path)
    assert how_to_get("folder") == ""


def test_the_tables_are_of_the_form() -> None:
    files = [(name, file) for name, published in SOURCES.items() for file in published]
    for name, file in files:
        assert len(bytes.fromhex(file.content.sha256)) == 32, name
        assert file.content.size > 0
        assert re.fullmatch(r"https?://\S+/[\w.-]+", file.url)
        assert file.is_archive == (not file.file_name.endswith(".mat"))
    digests = [file.content.sha256 for _, file in files]
    assert len(set(digests)) == len(digests)
    assert not SOURCES.keys() & BY_HAND.keys()
    assert set(PART_OF.values()) <= SOURCES.keys() | BY_HAND.keys()
    assert how_to_get("cub") == "1.2 GB"


def test_every_published_dataset_is_fetched_or_explained() -> None:
    published = {name for name, entry in DATASETS.items() if entry.page is not None}
    assert published == SOURCES.keys() | BY_HAND.keys() | PART_OF.keys()
