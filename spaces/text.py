"""Text from outside: bytes of files as text, and names in a spelling that every file, database and terminal takes."""

import codecs
import os
import re

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as the mark of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
    "|[\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u206f\u3164\uffa0]"  # invisible
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"  # invisible beside ASCII: joiners
    "|(?<![0-9#*]|[^\x00-\x7f])[\ufe00-\ufe0f]"  # invisible after ASCII: selectors of an emoji's style
)
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4})")
_LINE_END = re.compile(r"\r\n|\r|\n")


def escaped(name: str) -> str:
    r"""Spell a name so that it can be stored, printed and sent anywhere. Different names stay different.

    Bytes that are not UTF-8 (surrogates, as Python reads names of files) and ASCII control characters become \xNN.
    Other control characters, line ends, marks of writing direction and invisible characters become \uNNNN. Zero-width
    joiners inside words of scripts that need them, and inside emoji, stay. In such a name, and in one that already
    contains such an escape, a backslash becomes two. All other names stay as they are.
    """
    if name.isascii() and name.isprintable() and "\\" not in name:  # quickly, for nearly all names
        return name
    if not _UNSAFE.search(name) and not _ESCAPE.search(name):
        return name
    return _UNSAFE.sub(_escape, name.replace("\\", r"\\"))


def one_line(message: str) -> str:
    """Return a message in which every character that `escaped` replaces is replaced, and nothing else."""
    return _UNSAFE.sub(_escape, message)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def is_utf8(path: str | os.PathLike[str]) -> bool:
    """Return whether the bytes of a path are UTF-8, as the library requires that reads and writes tensors."""
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decoded(content: bytes) -> str:
    """Decode a text file: UTF-8, or UTF-16 or UTF-32 with a byte order mark. The mark is removed, line ends are kept.

    Raises ValueError, which names line and column from 1, for other bytes and for NUL, which no text contains.
    """
    mark, encoding = next(((m, e) for m, e in BYTE_ORDER_MARKS if content.startswith(m)), (b"", "utf-8"))
    content = content.removeprefix(mark)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding)
        raise ValueError(f"{_position(before)}: byte 0x{content[error.start]:02x} is not {encoding.upper()}") from None
    if "\0" in text:
        raise ValueError(f"{_position(text[: text.index(chr(0))])}: a NUL character, which text does not contain")
    return text


def _position(before: str) -> str:
    *lines, last = _LINE_END.split(before)
    return f"line {len(lines) + 1}, column {len(last) + 1}"


def file_name(text: str) -> str:
    """Return a text as the name of a file: hyphens in place of all but letters, digits, dots and underscores."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-").lstrip(".-")
