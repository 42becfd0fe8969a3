"""Reads variables of MATLAB files. Damaged files are refused first, because they can end the process inside scipy."""

import io
import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from spaces.errors import DatasetError
from spaces.files import check_ends

_HEADER_BYTES = 128
_ARRAY, _COMPRESSED = 14, 15
_VALUES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18})
"""Types of elements that hold numbers or characters."""

_CELL, _STRUCT = 1, 2
_FLAT = frozenset({4, *range(6, 16)})
"""Classes of arrays of characters and of numbers."""

_MOST_BYTES = 2**28
"""The most bytes of a variable. The published ones have a few megabytes."""

_FLAG_BYTES = 8
_COMPLEX = 1 << 11
"""The flag of an array whose imaginary parts are an element of their own."""


def matlab_variable(path: Path, name: str) -> np.ndarray:
    """Read one variable of a MATLAB file (version 4 to 7.2), flattened to one dimension: numbers, text or records.

    Raises DatasetError if the file is damaged or has no such variable.
    """
    from scipy.io import loadmat

    check_ends(path)
    content = path.read_bytes()
    try:
        _check(content, name)
        variables = loadmat(io.BytesIO(content), squeeze_me=True, variable_names=[name])
    except Exception as error:  # a damaged file makes the parser raise nearly anything
        raise DatasetError(
            f"{path} cannot be read as a MATLAB file ({error}); take it from the published archive again"
        ) from error
    if name not in variables:
        raise DatasetError(f"{path} holds no variable {name!r}; take it from the published archive again")
    return np.atleast_1d(variables[name]).ravel()


def matlab_pairs(path: Path, name: str, fields: tuple[str, str]) -> list[tuple[str, str]]:
    """Read two fields, as text, of each record of a MATLAB struct array. Raises as `matlab_variable` does."""
    records = matlab_variable(path, name)
    missing = [field for field in fields if field not in (records.dtype.names or ())]
    if missing:
        raise DatasetError(f"{path}: the records of {name!r} lack {', '.join(missing)}; take it from the archive again")
    return [(str(record[fields[0]]), str(record[fields[1]])) for record in records]


def _check(content: bytes, name: str) -> None:
    """Raise ValueError if a variable of a file of version 5 to 7.2 is damaged in a way that scipy does not notice.

    scipy takes types and dimensions from such a file without a check. A type that does not exist and a text without
    dimensions end the process, and large dimensions fill the memory. Here each element must end where its length says,
    and each array must have the elements that its class needs (MathWorks, "MAT-File Format", chapter 1). Compressed
    variables have a checksum besides.
    """
    from scipy.io.matlab import matfile_version

    if matfile_version(io.BytesIO(content))[0] != 1:  # scipy's number of versions 5 to 7.2
        return
    order = "<" if content[_HEADER_BYTES - 2 : _HEADER_BYTES] == b"IM" else ">"
    try:
        for kind, inner in _elements(content[_HEADER_BYTES:], order):
            arrays = _elements(_decompressed(inner), order) if kind == _COMPRESSED else [(kind, inner)]
            for array_kind, array in arrays:
                (_, flags), *header = islice(_elements(array, order), 3)
                named = name.encode() in [part for _, part in header]
                if len(flags) != _FLAG_BYTES or (named and not _is_sound(array_kind, array, order)):
                    raise ValueError
    except (ValueError, ZeroDivisionError, struct.error, zlib.error):
        raise ValueError("it is damaged") from None


def _decompressed(content: bytes) -> bytes:
    """Decompress a variable. Raises ValueError if it is cut off, or of more than `_MOST_BYTES`."""
    stream = zlib.decompressobj()
    whole = stream.decompress(content, _MOST_BYTES)
    if not stream.eof:
        raise ValueError
    return whole


def _is_sound(kind: int, content: bytes, order: str) -> bool:
    """Return whether an element is an array that is empty, or has the elements that its class needs."""
    if kind != _ARRAY or not content:
        return kind == _ARRAY
    (_, flags), (_, dimensions), _, *parts = _elements(content, order)
    flag_bits, _ = struct.unpack(f"{order}II", flags)
    sizes = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    count = math.prod(sizes)
    array_class = flag_bits & 0xFF
    if array_class in _FLAT:
        has_room = bool(sizes) and count <= len(content)  # one byte or more for each number or character
        has_parts = len(parts) == (2 if flag_bits & _COMPLEX else 1)
        return has_room and has_parts and all(part_kind in _VALUES for part_kind, _ in parts)
    if array_class == _STRUCT:
        (_, longest), (_, names), *parts = parts
        count *= len(names) // struct.unpack(f"{order}i", longest)[0]
    return array_class in (_CELL, _STRUCT) and len(parts) == count and all(_is_sound(*part, order) for part in parts)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the content of each element. Raises ValueError if one ends outside `content`."""
    start = 0
    while start < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, start)
        start += 8
        short_size = kind >> 16  # not 0 if at most 4 bytes stand in place of the size
        if short_size:
            kind, size, start = kind & 0xFFFF, short_size, start - 4
        end = start + size
        if end > len(content) or short_size > 4:
            raise ValueError
        yield kind, content[start:end]
        if short_size:
            start += 4
        else:
            start = end if kind == _COMPRESSED else end + -size % 8
