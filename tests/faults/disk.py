"""The disk of a run is full: its database, its cache and Ray's folder cannot grow."""

import re
import shutil
import subprocess

from tests.faults.row import Case, NotTriedError, Row, demand

COMMAND = ("run", "--dataset", "digits", "--trials", "8", "--heads", "linear", "--blocks", "3,8,16", "--pools", "1")

TWICE = """
mount -t tmpfs -o size=$1m tmpfs "$2" || exit 77
cd "$2" && shift 2
"$@"
echo "the full disk ended it with $?" >&2
mount -o remount,size=4g tmpfs . || exit 77
exec "$@"
"""
"""Runs a command on a small disk of its own, and again when the disk is larger."""


def fill_disk(case: Case) -> None:
    """Run with a disk that is full at a random moment, and again when there is room."""
    if shutil.which("unshare") is None:
        raise NotTriedError("`unshare` is not installed")
    megabytes = case.random.choice([2, 4, 6, 8, 12, 16, 24, 32, 48, 64])
    before = ["unshare", "-m", "sh", "-c", TWICE, "sh", str(megabytes), str(case.folder)]
    try:
        ended = case.finished(*COMMAND, before=before, seconds=600)
    except subprocess.TimeoutExpired as error:
        demand(False, f"with {megabytes} MB it hangs: {error.stderr!r}")
        raise
    if ended.returncode == 77 or "unshare:" in ended.stderr:
        raise NotTriedError("this user may not mount a file system of its own")
    first, _, then = ended.stderr.partition("the full disk ended it with ")
    [status] = map(int, re.findall(r"^\d+", then) or ["-1"])
    demand(status in (0, 1), f"with {megabytes} MB it ended with {status}: {first[-900:]}")
    demand("Traceback" not in first, f"with {megabytes} MB: {first[-1500:]}")
    demand(status == 0 or bool(re.search("space|disk|room", first)), f"with {megabytes} MB it says: {first[-900:]}")
    demand(ended.returncode == 0, f"then it ended with {ended.returncode}: {then[-900:]}")


ROWS = [
    Row("full disk of database, cache and Ray: ends in words, and goes on when there is room", fill_disk, ["sqlite"]),
]
