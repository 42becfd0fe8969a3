import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from objectives.features.cache.shards import (
    AHEAD,
    FLOAT16,
    FLOAT32,
    UINT8,
    Column,
    Shard,
    ShardWriter,
    explaining_full_disk,
    image_keys,
    read_each,
    shard_bytes,
)
from spaces import CacheError
from tests.support.shards import keys

HALF = Column(FLOAT16, (7, 2, 2))


def rows(count: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(count, *HALF.shape, generator=torch.Generator().manual_seed(seed))


def written(folder: Path, values: dict[str, torch.Tensor], columns: dict[str, Column], batch: int = 3) -> Shard:
    count = len(next(iter(values.values())))
    with ShardWriter(folder / "x.part", keys(count), columns) as writer:
        for start in range(0, count, batch):
            writer.append({name: column[start : start + batch] for name, column in values.items()})
        writer.commit(folder / "x.safetensors", 1.5)
    shard = Shard.open(folder / "x.safetensors")
    assert shard is not None
    return shard


def test_keys_are_the_digests_bytes() -> None:
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(50)]
    assert image_keys(digests).tobytes().hex() == "".join(digests)


@given(count=st.integers(1, 20), batch=st.integers(1, 20), seed=st.integers(0, 99))
def test_what_is_written_in_any_batches_is_read(
    tmp_path_factory: pytest.TempPathFactory, count: int, batch: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("shard")
    pixels = torch.randint(0, 255, (count, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    columns = {"a": HALF, "pixels": Column(UINT8, (3, 4, 4)), "b": Column(FLOAT32, (7, 2, 2))}
    shard = written(folder, {"a": rows(count), "pixels": pixels, "b": rows(count)}, columns, batch)
    assert (shard.images, shard.columns, shard.seconds) == (count, frozenset(("a", "pixels", "b")), 1.5)
    assert shard.sound()
    for name, expected in {"a": rows(count).half(), "pixels": pixels, "b": rows(count)}.items():
        read = shard.read(name)
        assert read is not None
        assert np.array_equal(read, expected.numpy())
    stored = shard.keys()
    assert stored is not None
    assert (stored == keys(count)).all()
    assert torch.equal(load_file(shard.path)["b"], rows(count))  # a safetensors file like any other
    assert shard.path.stat().st_size - shard_bytes(count, columns) < 1000


@pytest.mark.parametrize("value", [1e6, -1e6, float("nan"), float("inf")])
@pytest.mark.parametrize("row", [0, 4, 9])
def test_what_exceeds_half_precision_is_kept_whole(tmp_path: Path, value: float, row: int) -> None:
    large = rows(10)
    large[row, 0, 0, 0] = value
    shard = written(tmp_path, {"a": rows(10), "b": large}, {"a": HALF, "b": HALF}, batch=4)
    a, b = shard.read("a"), shard.read("b")
    assert a is not None
    assert b is not None
    assert (a.dtype, b.dtype) == (FLOAT16, FLOAT32)
    assert np.array_equal(a, rows(10).half().numpy())
    torch.testing.assert_close(torch.from_numpy(b), large, atol=2e-3, rtol=2e-3, equal_nan=True)
    assert shard.sound()


def test_a_shard_with_rows_lacking_gets_no_name(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "x.part", keys(5), {"a": HALF}) as writer:
        writer.append({"a": rows(4)})
        with pytest.raises(ValueError, match="a shard of 5 images lacks rows of a"):
            writer.commit(tmp_path / "x.safetensors", 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_in_the_making_takes_its_place_from_the_start(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "x.part", keys(100), {"a": HALF}) as writer:
        assert writer.part.stat().st_size >= shard_bytes(100, {"a": HALF})
    assert not writer.part.exists()


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed_or_changes_no_value(
    tmp_path_factory: pytest.TempPathFactory, position: float, bit: int
) -> None:
    shard = written(tmp_path_factory.mktemp("shard"), {"a": rows(5), "b": rows(5)}, {"a": HALF, "b": HALF})
    content = bytearray(shard.path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    shard.path.write_bytes(content)
    opened = Shard.open(shard.path)
    read = [None, None] if opened is None else [opened.read("a"), opened.read("b")]
    assert all(values is None or np.array_equal(values, rows(5).half().numpy()) for values in read)
    if any(values is None for values in read):
        assert not shard.path.exists()


def test_every_flipped_bit_of_a_header_is_noticed_or_changes_no_value(tmp_path: Path) -> None:
    shard = written(tmp_path, {"a": rows(5)}, {"a": HALF})
    whole, expected = shard.path.read_bytes(), rows(5).half().numpy()
    for bit in range(8 * (8 + int.from_bytes(whole[:8], "little"))):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        shard.path.write_bytes(changed)
        opened = Shard.open(shard.path)
        values, images = (None, None) if opened is None else (opened.read("a"), opened.keys())
        assert values is None or np.array_equal(values, expected)
        assert images is None or np.array_equal(images, keys(5))


def changed_header(path: Path, name: str, **entries: object) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header[name] = header[name] | entries
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


ABSURD_SHAPES: list[object] = [
    *([], [5], [-5, -7, 2, 2], [5, 28], [5.0, 7, 2, 2], ["5", 7, 2, 2], [10**400, 0], [[5]], None, 5, "5722", {}),
    *([140, 1], [True, 140], [0, 7, 2, 2], [-1, 7, 2, 2]),
]


@pytest.mark.parametrize("column", ["a", "images"])
def test_absurd_headers_are_damage(tmp_path: Path, column: str) -> None:
    shard = written(tmp_path, {"a": rows(5)}, {"a": HALF})
    whole = shard.path.read_bytes()
    changes: list[dict[str, object]] = [{"shape": shape} for shape in ABSURD_SHAPES]
    types: list[object] = ["F64", "", None, [], "U8" if column == "a" else "F16"]
    changes += [{"dtype": kind} for kind in types]
    changes += [{"data_offsets": offsets} for offsets in (None, [], [0], [0, 1e400], [-1, 0], ["0", "1"], [0, 10**400])]
    for change in changes:
        shard.path.write_bytes(whole)
        changed_header(shard.path, column, **change)
        opened = Shard.open(shard.path)
        if opened is not None:  # its shape may hold as many numbers
            opened.read(column)
            opened.keys()
    nested = b"[" * 100_000
    for content in (
        nested,
        len(nested).to_bytes(8, "little") + nested,
        b"\xff" * 8 + nested,
        (2**63).to_bytes(8, "little"),
    ):
        shard.path.write_bytes(content)
        assert Shard.open(shard.path) is None
        assert not shard.path.exists()


def test_what_is_no_file_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name, words in (("folder", "Is a directory"), ("pipe", "it is a pipe, a socket or a device, not a file")):
        with pytest.raises(CacheError, match=rf"cannot read .*{name}\.safetensors: {words}; remove it"):
            Shard.open(tmp_path / f"{name}.safetensors")


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_noticed(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    shard = written(tmp_path_factory.mktemp("shard"), {"a": rows(5)}, {"a": HALF})
    content = shard.path.read_bytes()
    shard.path.write_bytes(content[: int(share * len(content))])
    assert shard.read("a") is None
    assert Shard.open(shard.path) is None
    assert not shard.path.exists()


def test_many_shards_are_read_in_order_and_one_that_is_gone_gives_nothing(tmp_path: Path) -> None:
    shards = []
    for number in range(3 * AHEAD):
        (tmp_path / str(number)).mkdir()
        shards.append(written(tmp_path / str(number), {"a": rows(4, seed=number)}, {"a": HALF}))
    for gone in (1, AHEAD + 2):
        shards[gone].path.unlink()
    for number, values in enumerate(read_each((shard, "a") for shard in shards)):
        if number in (1, AHEAD + 2):
            assert values is None
        else:
            assert values is not None
            assert np.array_equal(values, rows(4, seed=number).half().numpy())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_reading_given_up_half_way_leaves_no_file_open(tmp_path: Path) -> None:
    shard = written(tmp_path, {"a": rows(4)}, {"a": HALF})
    before = len(list(Path("/proc/self/fd").iterdir()))
    reading = read_each([(shard, "a")] * 5)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_damage_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard = written(tmp_path, {"a": rows(5)}, {"a": HALF})
    shard.path.write_bytes(b"no tensor at all")
    with caplog.at_level(logging.WARNING):
        assert not shard.sound()
    assert "is damaged; it is removed and made again" in caplog.text
    assert not shard.sound()
    assert len(caplog.records) == 1  # one that is gone is nobody's fault


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="cannot write to"):
        ShardWriter(tmp_path / "absent" / "x.part", keys(2), {"a": HALF})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_an_error_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(CacheError, match="is full; free some space"),
        explaining_full_disk(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
