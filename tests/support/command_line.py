"""The command line: what a command left behind, and a command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str


Search = Callable[..., Ran]
"""The command line, run in the test's own process: the fixture `search`."""


def search_process(folder: Path, home: Path, *words: str) -> Ran:
    """Run `search` in a process of its own, with `folder` as its working directory."""
    command = [sys.executable, "-m", "search", *words]
    environment = {**os.environ, "SEARCH_HOME": str(home)}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)
    return Ran(ran.returncode, ran.stdout, ran.stderr)
