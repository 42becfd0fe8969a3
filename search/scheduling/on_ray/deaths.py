"""Says in words why a worker process died, from what Ray and the kernel say. It does not know Ray."""

import re
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from typing import final

MOST_CHARACTERS = 300
"""Longest reason, in characters, why a process died. Ray's own text goes on with advice."""

KILLED_BY_RAY = "killed due to the node running low on memory"
"""Ray's words for a worker that it killed because its machine was out of memory."""

NODE_DIED = "its node has died"
UNAVAILABLE = "The actor is temporarily unavailable"
SOCKET_CLOSED = "connection error code"
"""Ray's words for a process that ended without a word, as by signal 9. It does not know the signal."""

KERNEL_COUNTS = Path("/proc/vmstat")
"""The kernel's counts since its start, among them "oom_kill": processes killed because memory was short."""


@final
class Deaths:
    """Why worker processes die, from now on.

    logs: the folder of the logs of Ray's processes; None where they are processes of other machines.
    """

    def __init__(self, logs: Path | None) -> None:
        self._logs = logs
        self._kernel_kills = kernel_kills()

    def reason(self, error: str) -> str:
        """Return in one line, for a person, why a worker process died. error: the text of Ray's error."""
        lines = [line.strip() for line in error.splitlines() if line.strip() and not line.startswith("Failure # ")]
        facts = dict(line.split(": ", 1) for line in lines if re.match(r"(ip|pid): ", line))
        at = f" on {facts['ip']}" if "ip" in facts and self._logs is None else ""
        if NODE_DIED in error:
            return f"the machine of its worker was lost{at.replace(' on', ':')}"
        if UNAVAILABLE in error:
            return "the connection to its worker process was lost"
        if KILLED_BY_RAY in error:
            used = re.search(r"was ([\d.]+)GB used / ([\d.]+)GB limit", error)
            size = f": {used[1]} of {used[2]} GB are used" if used else ""
            return f"its worker process was killed by Ray, because the machine was out of memory{size}"
        if SOCKET_CLOSED in error:
            return f"its worker process {self._violent_end(facts.get('pid', ''))}{at}"
        return f"its worker process died{at}: {_told_by_ray(lines)}"

    def _violent_end(self, pid: str) -> str:
        if self._logs is None:
            return "was killed or crashed"
        if crash := self._crash(self._logs, pid):
            return f"crashed ({crash})"
        before, self._kernel_kills = self._kernel_kills, kernel_kills()
        return f"was killed by signal 9{', when the system was out of memory' if self._kernel_kills > before else ''}"

    @staticmethod
    def _crash(logs: Path, pid: str) -> str | None:
        """Return the signal, such as SIGSEGV, that Ray's handler has logged for a process; None for signal 9."""
        for log in logs.glob(f"worker-*-{pid}.err"):
            with suppress(OSError):
                if crash := re.search(r"^\*\*\* (SIG[A-Z]+) received", log.read_text("utf-8", "replace"), re.MULTILINE):
                    return crash[1]
        return None


def kernel_kills() -> int:
    """Return how many processes the kernel of this machine has killed for want of memory; 0 where it does not say."""
    with suppress(OSError):
        if count := re.search(r"^oom_kill (\d+)$", KERNEL_COUNTS.read_text("ascii", "replace"), re.MULTILINE):
            return int(count[1])
    return 0


def _told_by_ray(lines: list[str]) -> str:
    """Return the line of Ray's error text that says what happened."""
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    details = [line.partition("Worker exit detail: ")[2] for line in lines if "Worker exit detail: " in line]
    return shorten([*errors[-1:], *details, *lines, "unknown"][0], MOST_CHARACTERS, placeholder=" …")
