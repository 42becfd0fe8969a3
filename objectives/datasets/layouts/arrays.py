"""Datasets that fit into memory: scikit-learn's digits, CIFAR-10 and CIFAR-100."""

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.datasets.layouts.layout import Layout
from objectives.datasets.layouts.tables import distinct_names, text_lines
from objectives.datasets.splits import carve_test
from spaces.errors import DatasetError
from spaces.files import check_ends

_PIXELS = 3 * 32 * 32  # of one image, channel by channel
Batch = tuple[np.ndarray, np.ndarray]  # uint8 (n, 3072), labels (n,)


@final
@dataclass(frozen=True)
class CifarForm:
    """One of the two published forms of CIFAR.

    train, test: the names of the batches of each split. names: the file of the class names.
    """

    layout: Layout
    train: tuple[str, ...]
    test: str
    names: str
    read_batch: Callable[[Path], Batch]
    read_names: Callable[[Path], tuple[str, ...]]


def read_digits() -> Dataset:
    """Read scikit-learn's 1,797 handwritten 8x8 digits.

    Values 0 to 16 are scaled to 0 to 255. A fixed stratified fifth is the test split.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    classes = tuple(str(name) for name in digits.target_names)
    labels = digits.target.astype(np.int64)
    images = ArrayImages(np.round(digits.images * (255 / 16)).astype(np.uint8))
    return Dataset("digits", classes, images, labels, carve_test(labels, classes))


def read_cifar10(root: Path) -> Dataset:
    """Read CIFAR-10, in the Python or the binary version, with its own test split (Krizhevsky 2009).

    root: cifar-10-batches-py, cifar-10-batches-bin or the folder above. Raises DatasetError if a part is missing or
    damaged, or a label is out of range.
    """
    return _read_cifar("cifar10", CIFAR10, root)


def read_cifar100(root: Path) -> Dataset:
    """Read CIFAR-100 with its 100 fine labels, as `read_cifar10` reads CIFAR-10.

    root: cifar-100-python, cifar-100-binary or the folder above. Raises DatasetError as `read_cifar10` does.
    """
    return _read_cifar("cifar100", CIFAR100, root)


def _read_cifar(name: str, forms: tuple[CifarForm, ...], root: Path) -> Dataset:
    form = max(forms, key=lambda form: form.layout.completeness(root))  # of equals the Python version
    parts = form.layout.locate(root)
    classes = form.read_names(parts[form.names])
    files = [parts[batch] for batch in (*form.train, form.test)]
    batches = [form.read_batch(file) for file in files]
    for file, (_, labels) in zip(files, batches, strict=True):
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise DatasetError(
                f"{file} holds labels {labels.min()} to {labels.max()}, expected 0 to {len(classes) - 1}; "
                "take it from the published archive again"
            )

    pixels = np.concatenate([batch for batch, _ in batches])
    labels = np.concatenate([labels for _, labels in batches]).astype(np.int64)
    return Dataset(
        name=name,
        classes=classes,
        images=ArrayImages(np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))),
        labels=labels,
        is_test=np.arange(len(labels)) >= len(labels) - len(batches[-1][1]),
    )


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays in plain containers, as in CIFAR's files, and refuses all that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("_codecs", "encode"):
            return _latin_1
        if (module, name) in _NUMPY:
            return _NUMPY[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR's files do not")


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """Return an array that `__setstate__` fills, as numpy's private `_reconstruct`, which old pickles name, does."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"it asks for an array of kind {kind}")
    return np.ndarray(shape, code.decode())


def _array_from(
    content: bytes, kind: np.dtype, shape: tuple[int, ...], order: str, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return an array of these bytes, as numpy's private `_frombuffer`, which pickles of protocol 5 name, does."""
    array = np.frombuffer(content, kind)
    if axes is not None:
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _number_from(kind: np.dtype, content: bytes) -> np.generic:
    """Return a number of these bytes, as numpy's private `scalar`, which pickles of single numbers name, does."""
    number: np.generic = np.frombuffer(content, kind)[0]
    return number


def _latin_1(text: str, encoding: str) -> bytes:
    """Return the bytes that Python 3 writes as text of this encoding into pickles of protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for text in {encoding}")
    return text.encode("latin-1")


_NUMPY = {
    (f"numpy.{core}.{module}", name): function
    for core in ("core", "_core")
    for module, name, function in (
        ("multiarray", "_reconstruct", _empty_array),
        ("multiarray", "scalar", _number_from),
        ("numeric", "_frombuffer", _array_from),
    )
}


def _unpickled(path: Path, *keys: bytes) -> list[np.ndarray]:
    check_ends(path)
    file = io.BytesIO(path.read_bytes())
    try:
        content = _ArraysOnly(file, encoding="bytes").load()
        written = (key.decode() if key.decode() in content else key for key in keys)  # by Python 3, or by Python 2
        return [np.asarray(content[key]) for key in written]
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DatasetError(f"{path} cannot be read ({error}); take it from the published archive again") from error


def _pickled_batch(label_key: bytes) -> Callable[[Path], Batch]:
    def read(path: Path) -> Batch:
        pixels, labels = _unpickled(path, b"data", label_key)
        return _checked(path, pixels, labels)

    return read


def _pickled_names(key: bytes) -> Callable[[Path], tuple[str, ...]]:
    def read(path: Path) -> tuple[str, ...]:
        (names,) = _unpickled(path, key)
        if names.ndim != 1 or names.dtype.kind not in "SU":
            raise DatasetError(f"{path} holds no list of class names; take it from the published archive again")
        texts = (name if isinstance(name, str) else name.decode(errors="surrogateescape") for name in names.tolist())
        return distinct_names(path, texts)

    return read


def _binary_batch(label_bytes: int) -> Callable[[Path], Batch]:
    """Make a reader of records that consist of label bytes, of which the last is the finest label, and pixels."""

    def read(path: Path) -> Batch:
        check_ends(path)
        content = np.fromfile(path, np.uint8)
        if len(content) % (label_bytes + _PIXELS):
            raise DatasetError(
                f"{path} has {len(content)} bytes, no multiple of {label_bytes + _PIXELS}; "
                "take it from the published archive again"
            )
        records = content.reshape(-1, label_bytes + _PIXELS)
        return _checked(path, records[:, label_bytes:], records[:, label_bytes - 1])

    return read


def _checked(path: Path, pixels: np.ndarray, labels: np.ndarray) -> Batch:
    if labels.ndim == 2 and labels.shape[1] == 1:  # a column, as Keras has it
        labels = labels[:, 0]
    sound = labels.ndim == 1 and labels.dtype.kind in "iu" and pixels.dtype == np.uint8
    if not sound or pixels.shape != (len(labels), _PIXELS):
        raise DatasetError(
            f"{path}: expected {_PIXELS} bytes and a whole-number label for each image, got {pixels.dtype} "
            f"{pixels.shape} with {labels.dtype} {labels.shape}; take it from the published archive again"
        )
    return pixels, labels


def _text_names(path: Path) -> tuple[str, ...]:
    return distinct_names(path, (line for _, line in text_lines(path)))


def _form(title: str, folder: str, train: tuple[str, ...], test: str, names: str) -> dict[str, Any]:
    parts = {file: (file,) for file in (*train, test, names)}
    layout = Layout(title, "https://www.cs.toronto.edu/~kriz/cifar.html", (folder,), parts)
    return {"layout": layout, "train": train, "test": test, "names": names}


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
CIFAR10 = (
    CifarForm(
        **_form("CIFAR-10 (Python version)", "cifar-10-batches-py", _BATCHES, "test_batch", "batches.meta"),
        read_batch=_pickled_batch(b"labels"),
        read_names=_pickled_names(b"label_names"),
    ),
    CifarForm(
        **_form(
            "CIFAR-10 (binary version)",
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in _BATCHES),
            "test_batch.bin",
            "batches.meta.txt",
        ),
        read_batch=_binary_batch(1),
        read_names=_text_names,
    ),
)
CIFAR100 = (
    CifarForm(
        **_form("CIFAR-100 (Python version)", "cifar-100-python", ("train",), "test", "meta"),
        read_batch=_pickled_batch(b"fine_labels"),
        read_names=_pickled_names(b"fine_label_names"),
    ),
    CifarForm(
        **_form("CIFAR-100 (binary version)", "cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt"),
        read_batch=_binary_batch(2),
        read_names=_text_names,
    ),
)
