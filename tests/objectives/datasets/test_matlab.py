"""MATLAB files are read as scipy reads them. Damaged ones are refused, also those that end a process inside scipy."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from objectives.datasets.layouts import matlab
from objectives.datasets.layouts.matlab import matlab_pairs, matlab_variable
from spaces.errors import DatasetError
from tests.support.small_archives import FILES, cells, imagenet_devkit, structs

LAYOUTS = {name: FILES[name] for name in ("cars", "dogs", "flowers")} | {"imagenet": imagenet_devkit}

VARIABLES = {
    "records": structs(
        name=["00001.jpg", "", "Köln"],
        inner=[structs(a=[1.0, "z"]), cells(["x", np.uint8(3)]), np.zeros((0, 3))],
        complex=[np.array([[1.5, 2j]]), True, np.int64(-1)],
    ),
    "names": cells(["a", "", "Citroën", structs(k=["e"])]),
    "numbers": np.array([[1.0, 2.0, 3.0]]),
}

DAMAGE = """
import random, resource, sys
from pathlib import Path
from objectives.datasets.layouts.matlab import matlab_variable
from spaces.errors import DatasetError

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
path, whole, chance = Path(sys.argv[1]), Path(sys.argv[1]).read_bytes(), random.Random(0)
read = refused = 0
for _ in range(400):
    content = bytearray(whole)
    for _ in range(chance.choice([1, 1, 2, 3])):
        content[chance.randrange(124, len(content))] = chance.choice([0, 1, 14, 255, chance.randrange(256)])
    path.write_bytes(content[: chance.choice([None, None, None, chance.randrange(len(content))])])
    for name in sys.argv[2:]:
        try:
            matlab_variable(path, name)
            read += 1
        except DatasetError:
            refused += 1
print(read, refused)
"""


def same(value: object, expected: object) -> bool:
    """Return whether two values of MATLAB files are equal, with the types and shapes of all their parts."""
    return repr(value) == repr(expected)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_files_are_read_as_scipy_reads_them(tmp_path: Path, layout: str, compressed: bool) -> None:
    LAYOUTS[layout](tmp_path)
    paths = list(tmp_path.rglob("*.mat"))
    assert paths
    for path in paths:
        contents = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
        savemat(path, contents, do_compression=compressed)
        expected = loadmat(path, squeeze_me=True)
        for name in contents:
            assert same(matlab_variable(path, name), np.atleast_1d(expected[name]).ravel())


@pytest.mark.parametrize("compressed", [False, True])
def test_values_of_every_class(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "x.mat"
    savemat(path, VARIABLES, do_compression=compressed)
    expected = loadmat(path, squeeze_me=True)
    for name in VARIABLES:
        assert same(matlab_variable(path, name), expected[name])
    assert matlab_pairs(path, "records", ("name", "complex"))[2] == ("Köln", "-1")


def test_version_4(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"labels": np.array([[3, 1, 2]], np.uint8), "name": "kite"}, format="4")
    assert matlab_variable(path, "labels").tolist() == [3, 1, 2]
    assert matlab_variable(path, "name").tolist() == ["kite"]


def test_the_byte_order_of_other_processors(tmp_path: Path) -> None:
    parts = [
        (6, struct.pack(">II", 6, 0)),
        (5, struct.pack(">ii", 1, 3)),
        (1, b"eightlet"),
        (9, struct.pack(">3d", 3, 1, 2)),
    ]
    array = b"".join(struct.pack(">II", kind, len(part)) + part for kind, part in parts)
    path = tmp_path / "x.mat"
    path.write_bytes(b"MATLAB".ljust(124) + b"\1\0MI" + struct.pack(">II", 14, len(array)) + array)
    assert matlab_variable(path, "eightlet").tolist() == [3, 1, 2]


def test_a_variable_of_another_name(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", VARIABLES)
    with pytest.raises(DatasetError, match=r"x\.mat holds no variable 'labels'"):
        matlab_variable(tmp_path / "x.mat", "labels")
    with pytest.raises(DatasetError, match="the records of 'records' lack fname, class"):
        matlab_pairs(tmp_path / "x.mat", "records", ("fname", "class"))


@pytest.mark.parametrize("form", ["4", "5"])
def test_no_damage_ends_the_process(tmp_path: Path, form: str) -> None:
    """Each file has one to three changed bytes, or is cut."""
    variables = VARIABLES if form == "5" else {"numbers": VARIABLES["numbers"], "name": "kite", "more": np.eye(3)}
    savemat(tmp_path / "x.mat", variables, format=form)
    command = [sys.executable, "-W", "ignore", "-c", DAMAGE, str(tmp_path / "x.mat"), *variables]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    read, refused = map(int, ran.stdout.split())
    assert read > 50
    assert refused > 50


def replaced(path: Path, old: bytes, new: bytes) -> None:
    """Replace the last occurrence of some bytes in a file by as many others."""
    before, found, after = path.read_bytes().rpartition(old)
    assert found
    assert len(old) == len(new)
    path.write_bytes(before + new + after)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(struct.pack("<II", 16, 20), struct.pack("<II", 19, 20), id="a type that does not exist"),
        pytest.param(struct.pack("<IIii", 5, 8, 1, 20), struct.pack("<IIii", 5, 0, 1, 20), id="no dimensions"),
    ],
)
def test_damage_that_ends_a_process_inside_scipy(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"names": cells(["b" * 20])})
    replaced(path, old, new)
    with pytest.raises(DatasetError, match="it is damaged"):
        matlab_variable(path, "names")


def test_dimensions_that_would_fill_the_memory(tmp_path: Path) -> None:
    """scipy makes as many spaces as the dimensions of a text say, if it has no characters."""
    path = tmp_path / "x.mat"
    savemat(path, {"name": np.array([[]], "U1"), "names": cells([""])})
    replaced(path, struct.pack("<IIii", 5, 8, 0, 0), struct.pack("<IIii", 5, 8, 1, 2**31 - 1))
    with pytest.raises(DatasetError, match="it is damaged"):
        matlab_variable(path, "names")


def test_a_variable_that_decompresses_to_more_than_any_published_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"zeros": np.zeros(100_000, np.uint8)}, do_compression=True)
    assert len(matlab_variable(path, "zeros")) == 100_000
    monkeypatch.setattr(matlab, "_MOST_BYTES", 50_000)
    with pytest.raises(DatasetError, match="it is damaged"):
        matlab_variable(path, "zeros")
