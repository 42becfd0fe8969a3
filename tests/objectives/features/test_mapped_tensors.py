import os
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from objectives.features import mapped_tensors as scratch
from objectives.features.mapped_tensors import MEMORY_SHARE, free_memory, large_empty
from spaces import CacheError

SHAPE = (1000, 7, 3, 3)


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One on which nearly everything is large."""
    monkeypatch.setattr(scratch, "free_memory", lambda: 1000)


def mapped(tensor: torch.Tensor) -> str:
    """The file, in the system's words, in whose mapping a tensor lies; empty where it lies in plain memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split("-"))
        if low <= tensor.data_ptr() < high:
            return " ".join(line.split()[5:])
    raise AssertionError("a tensor lies somewhere")


def test_what_fits_lies_in_memory(tmp_path: Path) -> None:
    assert large_empty(SHAPE, tmp_path / "absent").shape == SHAPE
    assert not (tmp_path / "absent").exists()


@pytest.mark.usefixtures("small_machine")
def test_what_is_large_lies_in_a_file_that_has_no_name(tmp_path: Path) -> None:
    tensor = large_empty(SHAPE, tmp_path / "scratch")
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == (SHAPE, torch.float32, True)
    assert mapped(tensor).startswith(str(tmp_path / "scratch"))
    assert mapped(tensor).endswith("(deleted)")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not mapped(torch.empty(SHAPE)).startswith(str(tmp_path))


@pytest.mark.usefixtures("small_machine")
def test_values_survive_and_two_do_not_meet(tmp_path: Path) -> None:
    expected = [torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    tensors = [large_empty(SHAPE, tmp_path).copy_(values) for values in expected]
    os.sync()
    assert all(torch.equal(tensor, values) for tensor, values in zip(tensors, expected, strict=True))
    tensors[0][17] += 1
    assert torch.equal(tensors[0][17], expected[0][17] + 1)
    assert torch.equal(tensors[1], expected[1])


@pytest.mark.usefixtures("small_machine")
def test_a_disk_without_room_is_an_error_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    free = psutil.disk_usage(str(tmp_path)).free
    with pytest.raises(CacheError, match=r"the disk of .* is full; free some space"):
        large_empty((free // 4 + 2**40,), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_refused_is_an_error_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the files of a process, whose memory is limited too, stands for a quota."""
    code = f"""
import resource, psutil
from pathlib import Path
from objectives.features.mapped_tensors import large_empty
from spaces import CacheError
taken = psutil.Process().memory_info().data
for limit, size in ((resource.RLIMIT_FSIZE, 2**16), (resource.RLIMIT_DATA, taken + 2**23)):
    resource.setrlimit(limit, (size, resource.RLIM_INFINITY))
try:
    large_empty((2**22,), Path({str(tmp_path)!r}))
except CacheError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True)
    assert done.stdout == f"cannot write to {tmp_path}: [Errno 27] File too large\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_machine")
def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="cannot write to"):
        large_empty(SHAPE, tmp_path / "file" / "scratch")


def test_a_limit_of_the_process_counts_as_the_memory_there_is() -> None:
    """The test uses a process of its own, because the limit would hold for all further tests."""
    code = f"""
import resource, psutil
from objectives.features.mapped_tensors import free_memory
room = 3 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + room, {resource.RLIM_INFINITY}))
assert 0 <= free_memory() <= room, free_memory()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert free_memory() > 2**20
    assert 0 < MEMORY_SHARE < 1
