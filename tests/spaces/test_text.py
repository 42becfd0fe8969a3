"""Names and text from outside."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.text import decoded, escaped, is_utf8

ANY_CHARACTER = st.integers(0, 0x10FFFF).map(chr)  # surrogates too
NAMES = st.text(st.sampled_from("\\xu0fe9\n\x80\udc80\udcff\ud800\u202eé") | ANY_CHARACTER)

INVISIBLE = "\u200b\u200c\u200d\u2060\u2064\ufeff\xad\u034f\u180e\u3164\ufe0f"


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("Grünspecht", "Grünspecht"),
        ("نه‌گفتن", "نه‌گفتن"),  # with a zero-width non-joiner, which Persian needs
        ("👩\u200d🚀 ☺\ufe0f 1\ufe0f\u20e3 क्\u200dष", "👩\u200d🚀 ☺\ufe0f 1\ufe0f\u20e3 क्\u200dष"),
        *((f"cat{mark}", rf"cat\u{ord(mark):04x}") for mark in INVISIBLE),
        *((f"c{mark}at", rf"c\u{ord(mark):04x}at") for mark in INVISIBLE),
        *((f"{mark}猫", rf"\u{ord(mark):04x}猫") for mark in INVISIBLE),
        (r"DOMAIN\owl", r"DOMAIN\owl"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        (r"caf\xe9", r"caf\\xe9"),
        ("two\nlines", r"two\x0alines"),
        ("\x9b31m", r"\u009b31m"),
        (os.fsdecode(b"\x9b31m"), r"\x9b31m"),
        ("owl\u202egnp", r"owl\u202egnp"),
        ("\ud83d", r"\ud83d"),
        ("a\\\tb", r"a\\\x09b"),
    ],
)
def test_names_get_a_spelling_that_can_be_stored(name: str, spelling: str) -> None:
    assert escaped(name) == spelling


@given(NAMES, NAMES)
def test_different_names_stay_different(one: str, other: str) -> None:
    for name in (one, other):
        escaped(name).encode()
        assert not set(escaped(name)) & set("\0\n\r\x1b\u202e")
    assert (escaped(one) == escaped(other)) == (one == other)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_with_and_without_a_byte_order_mark(encoding: str) -> None:
    assert decoded("Möwe,猫\r\nx\ry".encode(encoding)) == "Möwe,猫\r\nx\ry"
    assert decoded("".encode(encoding)) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ab\nMöwe".encode("latin-1"), "line 2, column 2: byte 0xf6 is not UTF-8"),
        ("猫\rab\r\nö".encode() + b"\xff", "line 3, column 2: byte 0xff is not UTF-8"),
        ("ab".encode("utf-16") + b"c", "line 1, column 3: byte 0x63 is not UTF-16-LE"),
        (b"\0", "line 1, column 1: a NUL character"),
        (b"x\ny\0", "line 2, column 2: a NUL character"),
    ],
)
def test_other_bytes_are_refused_with_their_position(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoded(content)


@given(st.binary())
def test_any_bytes_are_text_or_refused(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert "\0" not in decoded(content)


@pytest.mark.parametrize(
    ("path", "is_text"), [("a", True), ("é", True), ("e\u0301", True), ("a\udcff", False), ("", True)]
)
def test_a_path_of_bytes_that_are_no_text_is_recognised(path: str, is_text: bool) -> None:
    assert (is_utf8(path), is_utf8(Path(path))) == (is_text, is_text)
