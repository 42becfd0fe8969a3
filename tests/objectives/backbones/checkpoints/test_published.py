"""Downloads come from a server on this machine that can be told to fail, and are small checkpoints."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel
from huggingface_hub import constants

from objectives.backbones.checkpoints.adm import convert_state_dict
from objectives.backbones.checkpoints.adm_settings import AdmSettings
from objectives.backbones.checkpoints.published import PUBLISHED, Content, PublishedCheckpoint, folder_of
from objectives.sizes import size_in_words
from spaces import BackboneError, UnknownNameError
from tests.support import small_adm
from tests.support.processes import child_process

FLAGS = {
    "image_size": 16,
    "num_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": [1, 2],
    "attention_resolutions": [8],
    "num_head_channels": 16,
    "resblock_updown": True,
}
CHUNK = 1 << 16


@dataclass
class Remote:
    """The answers of the server. broken_off: bytes after which the connection drops, for each of the next answers.

    hold: bytes after which the next answer waits for `go_on`.
    """

    content: bytes
    status: int = 200
    ranges: bool = True
    broken_off: list[int] = field(default_factory=list)
    hold: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.requests.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        body = self.content[start:] if self.status == 200 else b"no such file"
        request.send_response(self.status if self.status != 200 else 206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        if start and self.status == 200:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.end_headers()
        if self.broken_off:
            body = body[: self.broken_off.pop(0)]
        if self.hold is not None:
            request.wfile.write(body[: self.hold])
            body, self.hold = body[self.hold :], None
            self.go_on.wait(60)
        request.wfile.write(body)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return small_adm.random_state(AdmSettings.of(FLAGS))


@pytest.fixture(scope="module")
def checkpoint(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def remote(checkpoint: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """The server of the published checkpoint "tiny"."""
    remote = Remote(checkpoint)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            remote.answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    remote.url = f"http://127.0.0.1:{server.server_port}/tiny.pt"
    content = Content(hashlib.sha256(checkpoint).hexdigest(), len(checkpoint))
    tiny = PublishedCheckpoint("a small network", remote.url, content, AdmSettings.of(FLAGS), "legacy")
    monkeypatch.setitem(PUBLISHED, "tiny", tiny)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)  # else all of it is one
    yield remote
    remote.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


def is_whole(folder: Path, state: dict[str, torch.Tensor]) -> bool:
    unet = UNet2DModel.from_pretrained(folder, low_cpu_mem_usage=False)
    expected = convert_state_dict(state, AdmSettings.of(FLAGS), "legacy")
    return all(torch.equal(tensor, expected[name]) for name, tensor in unet.state_dict().items())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_checkpoint_is_fetched_and_converted_once(
    remote: Remote, state: dict[str, torch.Tensor], tmp_path: Path, downloads_said: list[str]
) -> None:
    cache = tmp_path / "not/yet/there"
    assert folder_of("tiny", cache) == cache / "tiny"
    assert [line.split(" from ")[0] for line in downloads_said] == [
        f"tiny: downloading {size_in_words(len(remote.content))}",
        "tiny: converting tiny.part.pt",
    ]
    downloads_said.clear()
    assert is_whole(cache / "tiny", state)
    assert names(cache) == {"tiny"}
    assert folder_of("tiny", cache) == cache / "tiny"
    assert remote.requests == [None]
    assert not downloads_said


def test_the_download_can_be_kept(remote: Remote, tmp_path: Path) -> None:
    folder_of("tiny", tmp_path, keep_download=True)
    assert names(tmp_path) == {"tiny", "tiny.pt"}
    assert (tmp_path / "tiny.pt").read_bytes() == remote.content


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_from_the_bytes_that_are_there(
    remote: Remote, state: dict[str, torch.Tensor], tmp_path: Path, ranges: bool, downloads_said: list[str]
) -> None:
    remote.ranges = ranges
    (tmp_path / "tiny.part.pt").write_bytes(remote.content[:300_000])
    assert is_whole(folder_of("tiny", tmp_path), state)
    assert remote.requests == ["bytes=300000-"]
    assert "going on from 300.0 kB" in downloads_said[0]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_is_taken_up_again(
    remote: Remote, state: dict[str, torch.Tensor], tmp_path: Path, ranges: bool
) -> None:
    remote.ranges, remote.broken_off = ranges, [5 * CHUNK + 1000]
    assert is_whole(folder_of("tiny", tmp_path), state)
    assert remote.requests == [None, f"bytes={5 * CHUNK}-"]


def test_a_complete_download_is_not_asked_for_again(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "tiny.part.pt").write_bytes(remote.content)
    folder_of("tiny", tmp_path)
    assert not remote.requests
    assert names(tmp_path) == {"tiny"}


def test_more_bytes_than_there_can_be_are_dropped(
    remote: Remote, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    (tmp_path / "tiny.part.pt").write_bytes(remote.content + b"more")
    assert is_whole(folder_of("tiny", tmp_path), state)
    assert remote.requests == [None]


def test_another_file_than_the_published_is_removed_and_said(
    remote: Remote, checkpoint: bytes, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    remote.content = checkpoint[:-1] + bytes([checkpoint[-1] ^ 1])
    found = hashlib.sha256(remote.content).hexdigest()
    with pytest.raises(BackboneError, match=rf"is not the checkpoint of tiny: its sha256 is {found}, not .* removed"):
        folder_of("tiny", tmp_path)
    assert not names(tmp_path)
    remote.content = checkpoint
    assert is_whole(folder_of("tiny", tmp_path), state)


@pytest.mark.parametrize(
    ("length", "reason"), [(-1000, "size"), (1000, "the server sends more than the [0-9,]+ bytes")]
)
def test_a_file_of_another_length_is_not_taken(
    remote: Remote, checkpoint: bytes, tmp_path: Path, length: int, reason: str
) -> None:
    remote.content = checkpoint[:length] if length < 0 else checkpoint + bytes(length)
    with pytest.raises(BackboneError, match=rf"backbone tiny cannot be downloaded from http.*: .*{reason}"):
        folder_of("tiny", tmp_path)
    assert not (tmp_path / "tiny").exists()


def test_a_server_without_the_file_is_said_and_what_is_there_stays(remote: Remote, tmp_path: Path) -> None:
    remote.status = 404
    (tmp_path / "tiny.part.pt").write_bytes(remote.content[:1234])
    size = f"{len(remote.content):,}"
    with pytest.raises(
        BackboneError, match=rf"{remote.url}: .*404.*; the same command goes on from the 1,234 of {size} "
    ):
        folder_of("tiny", tmp_path)
    assert names(tmp_path) == {"tiny.part.pt"}
    assert (tmp_path / "tiny.part.pt").stat().st_size == 1234


def test_a_server_that_is_away_is_said(remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = replace(PUBLISHED["tiny"], url="http://127.0.0.1:9/tiny.pt")  # the port that discards, where nothing listens
    monkeypatch.setitem(PUBLISHED, "tiny", away)
    with pytest.raises(
        BackboneError, match=r"127\.0\.0\.1:9/tiny\.pt: .*refused.* or download it by hand and place it at"
    ):
        folder_of("tiny", tmp_path)


def test_without_a_digest_nothing_is_downloaded_but_what_is_placed_is_converted(
    remote: Remote, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, "tiny", replace(PUBLISHED["tiny"], content=None))
    with pytest.raises(BackboneError, match=r"no digest is known .* by hand .* `search backbones convert tiny\.pt …`"):
        folder_of("tiny", tmp_path)
    assert not remote.requests
    (tmp_path / "tiny.pt").write_bytes(remote.content)
    assert is_whole(folder_of("tiny", tmp_path), state)
    assert names(tmp_path) == {"tiny", "tiny.pt"}


def test_a_checkpoint_placed_by_hand_is_checked_taken_and_left(
    remote: Remote, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    placed = tmp_path / "tiny.pt"
    placed.write_bytes(remote.content[:-1])
    with pytest.raises(BackboneError, match=r"tiny\.pt is not the checkpoint of tiny: its sha256 is .* replace it"):
        folder_of("tiny", tmp_path)
    placed.write_bytes(remote.content)
    assert is_whole(folder_of("tiny", tmp_path), state)
    assert placed.read_bytes() == remote.content
    assert not remote.requests


def test_what_a_killed_conversion_left_is_cleared(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "tiny.4711.part").mkdir()
    (tmp_path / "tiny.4711.part/config.json").write_text("{")
    folder_of("tiny", tmp_path)
    assert names(tmp_path) == {"tiny"}


def test_a_cache_that_cannot_be_is_said(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackboneError, match=r"cannot keep backbone tiny in .*file"):
        folder_of("tiny", tmp_path / "file")


def test_unknown_names_are_refused_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown published checkpoint 'adm-65'; did you mean 'adm-64'"):
        folder_of("adm-65", tmp_path)


PROCESS = """
import json, sys
from pathlib import Path
from huggingface_hub import constants
from objectives.backbones.checkpoints.adm_settings import AdmSettings
from objectives.backbones.checkpoints.published import PUBLISHED, Content, PublishedCheckpoint, folder_of
url, sha256, size, chunk, flags, cache = sys.argv[1:]
constants.DOWNLOAD_CHUNK_SIZE = int(chunk)
content, settings = Content(sha256, int(size)), AdmSettings.of(json.loads(flags))
PUBLISHED["tiny"] = PublishedCheckpoint("a small network", url, content, settings, "legacy")
folder_of("tiny", Path(cache))
"""


@pytest.fixture
def process(remote: Remote, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that fetches the same checkpoint, from a server that stops after five chunks."""
    remote.hold = 5 * CHUNK + 1000
    content = PUBLISHED["tiny"].content
    assert content is not None
    arguments = [remote.url, content.sha256, str(content.size), str(CHUNK), json.dumps(FLAGS), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with child_process([sys.executable, "-c", PROCESS, *arguments], env=environment) as process:
        wait_until(lambda: bool(remote.requests) or process.poll() is not None)
        yield process


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_after_a_kill_the_next_process_goes_on(
    process: subprocess.Popen[bytes], remote: Remote, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    part = tmp_path / "tiny.part.pt"
    wait_until(lambda: part.stat().st_size >= 4 * CHUNK)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = part.stat().st_size
    remote.go_on.set()
    assert is_whole(folder_of("tiny", tmp_path), state)
    assert remote.requests == [None, f"bytes={there}-"]


@pytest.mark.slow
def test_processes_that_ask_at_the_same_time_make_it_once(
    process: subprocess.Popen[bytes],
    remote: Remote,
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    downloads_said: list[str],
) -> None:
    threading.Timer(0.5, remote.go_on.set).start()
    assert is_whole(folder_of("tiny", tmp_path), state)
    assert process.wait() == 0
    assert remote.requests == [None]
    assert downloads_said == ["tiny: another process is preparing it; waiting"]


def test_published_digests_and_sizes_are_of_the_form() -> None:
    contents = [checkpoint.content for checkpoint in PUBLISHED.values() if checkpoint.content is not None]
    assert contents
    assert all(len(bytes.fromhex(content.sha256)) == 32 and content.size > 10**9 for content in contents)
    assert all(checkpoint.url.startswith("https://") for checkpoint in PUBLISHED.values())
