"""Downloads from a server on this machine; what published.py adds to them is tested with it."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from objectives.downloads import Content, Kind, check_placed, claim, download, part_of
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
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = fetched(server, tmp_path)
    assert part == part_of(tmp_path / "birds.tgz") == tmp_path / "birds.part.tgz"
    assert part.read_bytes() == BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["birds.part.tgz"]
    said = capsys.readouterr()
    assert said.err == f"birds: downloading 0 MB from {server.url}/a/birds.tgz\n"
    assert not said.out


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


def test_a_claim_is_held_by_one_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert capsys.readouterr().err == "birds: another process is making it ready; waiting\n"


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DatasetError, match=r"cannot keep dataset birds in .*file"),
        claim(KIND, "birds", tmp_path / "file"),
    ):
        pass
