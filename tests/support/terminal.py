"""Run a command on a pseudo-terminal of its own, and keep what the terminal showed."""

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
    """The content that a terminal showed.

    states: all lines, each time before some of them are drawn again.
    redrawn: the largest number of lines that were drawn again at once.
    lines: the lines that stay at the end, with the scrollback.
    code: the exit code; negative if a signal ended the command.
    """

    states: list[list[str]]
    redrawn: int
    lines: list[str]
    code: int

    @classmethod
    def of(cls, sent: str, code: int) -> "Shown":
        """Interpret what rich sends: lines, which are erased before the cursor goes up, and colours."""
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


def run_on_terminal(
    words: Sequence[str], columns: int, height: int, environment: Mapping[str, str], ctrl_c_at: str | None = None
) -> Shown:
    """Run Python with these arguments. Type Ctrl-C when the output matches the pattern `ctrl_c_at`."""
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
                    os.killpg(run.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
                    ctrl_c_at = None
        except OSError:  # on Linux: the command has ended
            pass
        os.close(ours)
    return Shown.of(sent, run.returncode)


def without_clocks(lines: Sequence[str]) -> list[str]:
    """Remove bars and clocks, which differ from run to run, and the padding of columns."""
    return [re.sub(r"\s+", " ", re.sub(r"[━╸╺]+|\d:\d\d:\d\d", "", line)).strip() for line in lines]
