"""A command on a pseudo-terminal of its own, and what it showed there."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOT_INHERITED = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")


@dataclass(frozen=True)
class Shown:
    """What a terminal showed. states: all lines so far, each time before some are drawn anew. redrawn: the most lines
    at once. lines: those that stay, with the scrollback. code: how it ended, below zero by a signal."""

    states: list[list[str]]
    redrawn: int
    lines: list[str]
    code: int

    @classmethod
    def of(cls, sent: str, code: int) -> "Shown":
        """Understands what rich sends: lines, which are erased before the cursor goes up, and colours."""
        lines, row = [""], 0
        states: list[list[str]] = []
        erased: list[int] = [0]
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", sent):
            if part == "\x1b[2K":
                if not erased[-1]:
                    states.append(list(lines))
                lines[row] = ""
                erased[-1] += 1
            elif part == "\x1b[1A":
                row -= 1
            elif part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part[0] not in "\r\x1b":
                lines[row] += part
                erased += [0] if erased[-1] else []
        return cls(states, max(erased), [line.rstrip() for line in lines if line.strip()], code)


def on_a_terminal(
    words: Sequence[str], columns: int, height: int, environment: Mapping[str, str], ctrl_c_at: str | None = None
) -> Shown:
    """Runs Python with these words. ctrl_c_at: what it shows when Ctrl-C is typed, a pattern."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (height, columns))
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    with subprocess.Popen(
        [sys.executable, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**inherited, "TERM": "xterm-256color", **environment},
        start_new_session=True,
    ) as run:
        os.close(theirs)
        sent = ""
        try:
            while read := os.read(ours, 65536):
                sent += read.decode(errors="replace")
                if ctrl_c_at is not None and re.search(ctrl_c_at, sent):
                    os.killpg(run.pid, signal.SIGINT)  # which is what a terminal makes of it
                    ctrl_c_at = None
        except OSError:  # so Linux says that nobody writes any more
            pass
        os.close(ours)
    return Shown.of(sent, run.returncode)


def like(lines: Sequence[str]) -> list[str]:
    """Without bars and clocks, which differ from run to run, and without how wide columns are."""
    return [re.sub(r"\s+", " ", re.sub(r"[━╸╺]+|\d:\d\d:\d\d", "", line)).strip() for line in lines]
