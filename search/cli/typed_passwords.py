"""Hides a database password that was typed, and says where it belongs instead.

Every user of a machine can read the command line of every process (`ps`), and a Ray cluster keeps that of a job.
"""

import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise

from spaces import UsageError

TYPED = "DIFFUSION_FEATURE_SEARCH_TYPED"
"""The environment variable that names the pipe with the words as they were typed. No other process inherits it."""

RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The environment variable that Ray sets where `ray job submit` runs a command."""

MOST_BYTES = 4096
"""Bytes that every pipe takes at once."""


SECRET = ("--notify", "--on-finish")
"""Flags whose whole values are hidden: they may hold a token."""


def hide_passwords() -> bool:
    """Return whether a database password was typed. If any secret was, hide it from the list of processes.

    For that, this process starts anew with a command line that does not show it.

    The new program has the same process id, and reads from a pipe what was typed. `sys.argv` holds the words as typed.
    """
    pipe = os.environ.pop(TYPED, None)
    if pipe is not None:
        with os.fdopen(int(pipe), encoding="ascii") as typed:
            words: dict[str, str] = json.load(typed)
        for place, word in words.items():
            sys.argv[int(place)] = word
        return _has_password(sys.argv)
    shown = [_hidden(before, word) for before, word in pairwise(["", *sys.argv])]
    if shown == sys.argv:
        return False
    content = json.dumps({place: word for place, word in enumerate(sys.argv) if word != shown[place]}).encode("ascii")
    before = sys.orig_argv[: -len(shown) + 1]
    if os.name == "posix" and [*before, *sys.argv[1:]] == sys.orig_argv and len(content) <= MOST_BYTES:
        end, start = os.pipe()
        os.write(start, content)
        os.set_inheritable(end, True)
        os.execve(sys.executable, [*before, *shown[1:]], {**os.environ, TYPED: str(end)})
    return _has_password(sys.argv)


def _shown(word: str) -> str:
    if "://" not in word:
        return word
    from search.database.secrets import without_secrets  # loads SQLAlchemy

    return without_secrets(word)


def _hidden(before: str, word: str) -> str:
    """Return a word as it may be shown. before: the word before it."""
    if not _is_secret(before, word):
        return _shown(word)
    return "***" if before in SECRET else f"{word.partition('=')[0]}=***"


def _is_secret(before: str, word: str) -> bool:
    """Return whether a word is, or holds, the value of a flag of `SECRET`. before: the word before it."""
    return before in SECRET or word.startswith(tuple(f"{flag}=" for flag in SECRET))


def _has_password(words: Sequence[str]) -> bool:
    """Return whether a URL of a database with a password is among the words."""
    pairs = pairwise(["", *words])
    return any(not _is_secret(before, word) and _shown(word) != word for before, word in pairs)


def check_passwords(words: Sequence[str]) -> None:
    """Raise UsageError where a URL with a password is the value of another option: its error would show it."""
    for before, word in pairwise(["", *words]):
        if _is_secret(before, word):
            continue
        if _shown(word) != word and before != "--storage" and not word.startswith("--storage="):
            name = f"after {before}" if before.startswith("--") else "as an argument"
            raise UsageError(f"only `storage` takes the URL of a database, got one {name}")


def advice() -> str:
    """Say what a typed password needs."""
    from search.database.secrets import PASSWORDS

    remedy = f"put it into {PASSWORDS}, and leave it out of --storage"
    if RAY_JOB in os.environ:
        return (
            "warning: Ray keeps the command line of this job, with the password, and shows it to all who may list the "
            f"cluster's jobs; change the password, {remedy}"
        )
    return f"note: the shell's history, and `ps` for a moment, show the password that was typed; {remedy}"
