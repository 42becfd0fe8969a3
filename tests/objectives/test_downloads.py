"""Downloads from a server on this machine; what published.py adds to them is tested with it."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from objectives.downloads import Content, Kind, check_placed, claim, download, listener, part_of, reporting_to
from spaces.errors import DatasetError
from tests.support.file_server import FileServer, serve_files

BYTES = np.random.default_rng(0).bytes(300_000)
CONTENT = Content(hashlib.sha256(BYTES).hexdigest(), len(BYTES))
KIND = Kind("dataset", "archive", DatasetError)
CHUNK = 1 << 16


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)  # else all of it is one
    with serve_files() as server:
        server.files["/a/birds.tgz"] = BYTES
        yield server


def fetched(server: FileServer, folder: Path) -> Path:
    return download(KIND, "birds", f"{server.url}/a/birds.tgz", CONTENT, folder / "birds.tgz")


def test_a_file_is_fetched_beside_the_place_for_it(
    server: FileServer, tmp_path: Path, downloads_said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    part = fetched(server, tmp_path)
    assert part == part_of(tmp_path / "birds.tgz") == tmp_path / "birds.part.tgz"
    assert part.read_bytes() == BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["birds.part.tgz"]
    assert downloads_said == [f"birds: downloading 300.0 kB from {server.url}/a/birds.tgz"]
    assert capfd.readouterr() == ("", "")  # who listens prints


def test_a_server_that_sends_more_than_was_published_is_left(server: FileServer, tmp_path: Path) -> None:
    server.files["/a/birds.tgz"] = BYTES * 20
    with pytest.raises(DatasetError, match=r"birds cannot be downloaded from .*more"):
        fetched(server, tmp_path)
    part = part_of(tmp_path / "birds.tgz")
    assert not part.exists() or part.stat().st_size < 2 * len(BYTES)
    server.files["/a/birds.tgz"] = BYTES
    assert fetched(server, tmp_path).read_bytes() == BYTES


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        (BYTES[:70_000], ["bytes=70000-"]),
        (BYTES, []),
        (BYTES + b"more", [None]),
    ],
    ids=["some", "all", "too many"],
)
def test_bytes_that_are_there_are_not_fetched_again(
    server: FileServer, tmp_path: Path, there: bytes, asked: list[str | None]
) -> None:
    (tmp_path / "birds.part.tgz").write_bytes(there)
    assert fetched(server, tmp_path).read_bytes() == BYTES
    assert [header for _, header in server.requests] == asked


@dataclass
class Heard:
    """A listener that keeps what it is told."""

    lines: list[str] = field(default_factory=list)
    bytes: list[tuple[str, int, int]] = field(default_factory=list)

    def begins(self, line: str) -> None:
        self.lines.append(line)

    def progresses(self, name: str, done: int, total: int) -> None:
        self.bytes.append((name, done, total))


def test_a_listener_is_told_of_every_chunk_with_what_was_there_before(
    server: FileServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "birds.part.tgz").write_bytes(BYTES[:70_000])
    with reporting_to(heard := Heard()):
        fetched(server, tmp_path)
    assert heard.lines == [f"birds: downloading 300.0 kB from {server.url}/a/birds.tgz, going on from 70.0 kB"]
    ends = [*range(70_000 + CHUNK, 300_000, CHUNK), 300_000]
    assert heard.bytes == [("birds.tgz", done, 300_000) for done in ends]
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_progress_starts_again_if_the_server_sends_the_whole_file(server: FileServer, tmp_path: Path) -> None:
    server.ignores_ranges = True
    (tmp_path / "birds.part.tgz").write_bytes(BYTES[:70_000])
    with reporting_to(heard := Heard()):
        assert fetched(server, tmp_path).read_bytes() == BYTES
    assert [header for _, header in server.requests] == ["bytes=70000-"]
    assert [done for _, done, _ in heard.bytes] == [*range(CHUNK, 300_000, CHUNK), 300_000]


def test_listeners_nest_and_the_outer_one_returns_even_after_an_error(tmp_path: Path) -> None:
    default = listener()
    outer, inner = Heard(), Heard()
    with reporting_to(outer):
        with suppress(KeyError), reporting_to(inner):
            listener().begins("within")
            raise KeyError
        listener().begins("after")
    assert (inner.lines, outer.lines) == (["within"], ["after"])
    assert listener() is default


def test_the_hub_s_downloader_takes_what_we_give_it() -> None:
    """`http_get` is not documented. Where it changes, `objectives.downloads.download` must change with it."""
    from huggingface_hub.file_download import http_get

    given = {"resume_size", "headers", "expected_size", "displayed_filename", "tqdm_class"}
    missing = given - signature(http_get).parameters.keys()
    assert not missing, f"http_get of huggingface_hub {version('huggingface_hub')} takes no {missing} any more"


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [2 * CHUNK + 1000]
    assert fetched(server, tmp_path).read_bytes() == BYTES
    assert [header for _, header in server.requests] == [None, f"bytes={2 * CHUNK}-"]


def test_a_server_that_compresses_is_asked_not_to(server: FileServer, tmp_path: Path) -> None:
    server.compresses = True
    (tmp_path / "birds.part.tgz").write_bytes(BYTES[:1000])
    assert fetched(server, tmp_path).read_bytes() == BYTES


def test_what_another_file_gave_is_removed_and_said(server: FileServer, tmp_path: Path) -> None:
    changed = server.files["/a/birds.tgz"] = BYTES[:-1] + bytes([BYTES[-1] ^ 1])
    found = hashlib.sha256(changed).hexdigest()
    with pytest.raises(DatasetError, match=f"is not the archive of birds: its sha256 is {found}, not {CONTENT.sha256}"):
        fetched(server, tmp_path)
    assert not list(tmp_path.iterdir())
    server.files["/a/birds.tgz"] = BYTES
    assert fetched(server, tmp_path).read_bytes() == BYTES


def test_a_refusal_is_said_and_what_is_there_stays(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / "birds.part.tgz"
    part.write_bytes(BYTES[:1234])
    server.status = 403
    with pytest.raises(DatasetError, match=r"dataset birds cannot .*: .*403.* goes on from the 1,234 of 300,000 bytes"):
        fetched(server, tmp_path)
    assert part.read_bytes() == BYTES[:1234]
    server.status = 200
    assert fetched(server, tmp_path).read_bytes() == BYTES


def test_a_placed_file_is_held_to_the_digest(tmp_path: Path) -> None:
    placed = tmp_path / "birds.tgz"
    placed.write_bytes(BYTES)
    check_placed(KIND, "birds", CONTENT, placed)
    placed.write_bytes(BYTES[:-1])
    with pytest.raises(DatasetError, match=r"birds\.tgz is not the archive of birds: .* replace it, or remove it"):
        check_placed(KIND, "birds", CONTENT, placed)


def test_a_claim_is_held_by_one_at_a_time(tmp_path: Path, downloads_said: list[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with claim(KIND, "birds", tmp_path / "new"):
            order.append("second")

    with claim(KIND, "birds", tmp_path / "new"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    assert downloads_said == ["birds: another process is preparing it; waiting"]


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DatasetError, match=r"cannot keep dataset birds in .*file"),
        claim(KIND, "birds", tmp_path / "file"),
    ):
        pass
