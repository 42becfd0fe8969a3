"""CIFAR's pickles as Python 2 wrote them, its binary version, and pickles that ask for more than arrays."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from objectives.datasets.catalog import DATASETS, load_dataset
from objectives.datasets.images import ArrayImages
from objectives.datasets.layouts import read_cifar10
from spaces.errors import DatasetError
from tests.support.small_archives import CIFAR_CLASSES, cifar, cifar_arrays, pickled


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("above", [False, True])
def test_both_versions_give_the_same_images(tmp_path: Path, name: str, binary: bool, above: bool) -> None:
    cifar(tmp_path, name, binary)
    (folder,) = tmp_path.iterdir()
    dataset = load_dataset(name, tmp_path if above else folder)
    batches = cifar_arrays(name)
    images = dataset.images
    assert isinstance(images, ArrayImages)
    assert dataset.classes == tuple(CIFAR_CLASSES[name])
    assert dataset.labels.tolist() == np.concatenate([labels for _, labels in batches]).tolist()
    assert dataset.is_test.tolist() == [False] * 3 * (len(batches) - 1) + [True] * 3
    np.testing.assert_array_equal(
        images.arrays.transpose(0, 3, 1, 2), np.concatenate([pixels for pixels, _ in batches])
    )
    np.testing.assert_array_equal(np.asarray(images.read(1)), batches[0][0][1].transpose(1, 2, 0))


def test_the_pickles_of_the_tests_are_those_of_python_2() -> None:
    content = pickled({"data": np.zeros((2, 3), np.uint8), "labels": [0, 1]})
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content
    assert b"U\x04data" in content  # SHORT_BINSTRING, which Python 3 never writes
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(pickled({"data": b"\xff"}))


class Harmful:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    cifar(tmp_path, "cifar10")
    content = pickle.dumps({"data": Harmful(tmp_path / "harm"), "labels": [0]}, protocol=2)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(DatasetError, match=r"data_batch_3 cannot be read \(it asks for posix.mkdir, which CIFAR's"):
        read_cifar10(tmp_path)
    assert not (tmp_path / "harm").exists()


def batch(pixels: np.ndarray, labels: object) -> bytes:
    return pickled({"data": pixels, "labels": labels})


PIXELS = np.zeros((3, 3072), np.uint8)


@pytest.mark.parametrize(
    "labels", [[[0], [1], [2]], np.array([[0], [1], [2]]), np.array([0, 1, 2], np.uint8), (0, 1, 2)]
)
def test_labels_in_a_column_or_an_array(tmp_path: Path, labels: object) -> None:
    cifar(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(batch(PIXELS, labels))
    assert read_cifar10(tmp_path).labels[-3:].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a", "b", "c"], ("a", "b", "c")),
        ([b"caf\xe9", b"two\nlines", "Möwe".encode()], (r"caf\xe9", r"two\x0alines", "Möwe")),
        (np.array(["a", "b", "c"]), ("a", "b", "c")),
    ],
)
def test_class_names_as_other_programs_pickle_them(tmp_path: Path, names: object, classes: tuple[str, ...]) -> None:
    cifar(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-py" / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))
    assert read_cifar10(tmp_path).classes == classes


@pytest.mark.parametrize("names", [[1, 2, 3], "abc", None, [["a"], ["b"]], [["a"], "b"], [None] * 3, {}])
def test_no_class_names(tmp_path: Path, names: object) -> None:
    cifar(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-py" / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))
    with pytest.raises(DatasetError, match=r"batches.meta (holds no list of class names|cannot be read)"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (batch(PIXELS, 3), r"got uint8 \(3, 3072\) with int64 \(\)"),
        (batch(PIXELS, [[0, 1, 2]]), r"with int64 \(1, 3\)"),
        (batch(PIXELS, [[0], 1, 2]), "test_batch cannot be read"),
        (batch(PIXELS, ["0", "1", "2"]), r"with \|S1"),
        (batch(PIXELS, [0.0, 1.0, 2.0]), "with float64"),
        (batch(PIXELS, None), "with object"),
        (batch(PIXELS, [10**30, 0, 1]), "with object"),
        (batch(PIXELS, [0, 1, 3]), "test_batch holds labels 0 to 3, expected 0 to 2; take it"),
        (batch(PIXELS, [0, 1, -1]), "test_batch holds labels -1 to 1, expected 0 to 2; take it"),
        (batch(PIXELS, [0, 1]), r"test_batch: expected 3072 bytes .* got uint8 \(3, 3072\) with int64 \(2,\)"),
        (batch(PIXELS[:, :9], [0, 1, 2]), r"got uint8 \(3, 9\)"),
        (batch(PIXELS.astype(np.float32), [0, 1, 2]), "got float32"),
        (pickled({"data": PIXELS}), r"test_batch cannot be read \(b'labels'\); take it from the published archive"),
        (pickled({"data": PIXELS})[:900], "test_batch cannot be read"),
        (b"", "test_batch cannot be read"),
    ],
    ids=[
        "number",
        "row",
        "ragged",
        "text",
        "fractions",
        "none",
        "huge",
        "high",
        "negative",
        "few labels",
        "narrow",
        "floats",
        "no labels",
        "cut",
        "empty",
    ],
)
def test_damaged_pickles(tmp_path: Path, content: bytes, message: str) -> None:
    cifar(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_cifar10(tmp_path)


def test_a_binary_batch_that_was_cut(tmp_path: Path) -> None:
    cifar(tmp_path, "cifar10", binary=True)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DatasetError, match=r"data_batch_2.bin has 9214 bytes, no multiple of 3073"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_files_are_named_with_their_source(tmp_path: Path, name: str) -> None:
    (tmp_path / "cifar-10-python.tar.gz").touch()
    message = r"Python version\) layout: .* missing; found in .*; unpack cifar-10-python.tar.gz there; .*~kriz/cifar"
    with pytest.raises(DatasetError, match=message):
        DATASETS[name].reader(tmp_path)


def test_two_classes_of_one_name(tmp_path: Path) -> None:
    cifar(tmp_path, "cifar10", binary=True)
    names = tmp_path / "cifar-10-batches-bin" / "batches.meta.txt"
    names.write_text(names.read_text() * 2)
    with pytest.raises(DatasetError, match=r"batches.meta.txt has two classes called airplane; give each"):
        read_cifar10(tmp_path)


def test_one_missing_binary_batch(tmp_path: Path) -> None:
    cifar(tmp_path, "cifar10", binary=True)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(DatasetError, match=r"binary version\) layout: .*; data_batch_4.bin missing; found in"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("key_type", [bytes, str])
@pytest.mark.parametrize("order", ["C", "F"])
def test_files_that_python_3_saved_again(
    tmp_path: Path, protocol: int, key_type: type, order: Literal["C", "F"]
) -> None:
    cifar(tmp_path, "cifar10")
    expected = read_cifar10(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    for file in (*folder.glob("*_batch*"), folder / "batches.meta"):
        read = pickle.loads(file.read_bytes(), encoding="bytes")
        again: dict[object, object] = {key if key_type is bytes else key.decode(): value for key, value in read.items()}
        for key, value in read.items():
            name = key if key_type is bytes else key.decode()
            if isinstance(value, np.ndarray):
                again[name] = np.asarray(value, order=order)
            elif key == b"labels":
                again[name] = [np.int64(label) for label in value]
        file.write_bytes(pickle.dumps(again, protocol=protocol))
    assert read_cifar10(tmp_path).fingerprint == expected.fingerprint
