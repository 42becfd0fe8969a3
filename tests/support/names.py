"""Names that somebody chose to do harm with, and checks that a surface shows them in one harmless spelling."""

import json
import re
import unicodedata
from typing import Any

from plotly.offline import get_plotlyjs

DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
INVISIBLE = frozenset("\xad\u200b\u2060\ufeff\u3164")
UNSAFE = [
    character
    for character in map(chr, range(0x10000))
    if unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in DIRECTIONS | INVISIBLE
]

EVIL = "=[red]x[/] `y` <b>&\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202egnp" + "".join(UNSAFE) + "\udcff\ud800"
"""A formula, rich's markup, Markdown, HTML, terminal commands, and every character that `unsafe_characters` finds."""

SPELLED = (r"\x1b]0;owned\x07\x1b[2J\x0d\x0a\u009b31m\u202egnp", r"\xff\ud800")
"""Parts of the spelling of `EVIL`, where a surface changes nothing else."""


def unsafe_characters(text: str, allowed: str = "\n") -> set[str]:
    """Return the characters of a text that a terminal obeys, that turn its direction, or that nobody sees."""
    surrogates = {character for character in text if unicodedata.category(character) == "Cs"}
    return ((set(text) & set(UNSAFE)) | surrogates) - set(allowed)


def check_page(page: str) -> None:
    """Check that a report page has no such character, neither in its text nor in its figures, and spells `EVIL`."""
    own = page.replace(get_plotlyjs(), "")
    assert unsafe_characters(own) == set()
    for drawing in re.findall(r'<script type="application/json">\n?(.*?)\n?</script>', own, re.DOTALL):
        check_values(json.loads(drawing))
    assert all(part in own for part in SPELLED)


def check_values(value: Any) -> None:
    """Check all texts of JSON-ready values. No text has lines, so a line end is no exception."""
    match value:
        case str():
            assert unsafe_characters(value, "") == set(), value
        case dict():
            check_values([*value, *value.values()])
        case list() | tuple():
            for item in value:
                check_values(item)
