"""The folder of a run for temporary files, and the removal of what killed runs have left."""

import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from search.scheduling.on_ray.session import LONGEST_FOLDER
from spaces import SearchError

PREFIX = "search-"

LONGEST_PARENT = LONGEST_FOLDER - len(f"/{PREFIX}12345678")
"""Longest path, in bytes, of the folder in which that of a run is made."""

OTHER_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - `mkdtemp` makes a folder of its own there
"""Folders to take where the path of that for temporary files is too long."""

OWNER = "owner.json"
"""The file that says which process uses the folder."""

END_SECONDS = 5.0
"""Longest wait for processes to end that are killed."""


@contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder that nobody else can enter, and remove it at the end. Before, remove those of dead runs.

    Its path is short enough for Ray's sockets. Raises SearchError where no such folder can be made.
    """
    remove_remains()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_short_folder()))
    try:
        owner = {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}
        (folder / OWNER).write_text(json.dumps(owner), "utf-8")
        yield folder
    finally:
        _remove(folder)


def remove_remains() -> None:
    """End the processes and remove the folders of runs that were killed: of this user, on this machine.

    Some of Ray's processes outlive its driver for minutes.
    """
    for parent in {*_folders_for_temporary_files()}:
        for folder in Path(parent).glob(f"{PREFIX}*"):
            with suppress(OSError):
                if _is_ours(folder) and _is_dead(folder):
                    _end_processes(folder)
                    _remove(folder)


def _short_folder() -> str:
    """Return the folder for temporary files, or another where its path is too long for Ray's sockets."""
    folders = _folders_for_temporary_files()
    for folder in folders:
        if len(os.fsencode(folder)) <= LONGEST_PARENT and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise SearchError(
        f"Ray needs a writable folder for its sockets whose path has at most {LONGEST_PARENT} bytes, and none of "
        f"{', '.join(folders)} is one; set TMPDIR to one"
    )


def _folders_for_temporary_files() -> list[str]:
    try:
        return [tempfile.gettempdir(), *OTHER_FOLDERS]
    except FileNotFoundError as error:
        raise SearchError("a run needs a writable folder for temporary files; set TMPDIR to one") from error


def _started(pid: int) -> float | None:
    """Return when a process of this machine began, in a unit of the system; None if it has ended.

    On Linux this is the time since the boot, which stays as it is when the clock is set.
    """
    if Path("/proc/self/stat").exists():
        try:
            state, *values = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if state == b"Z" else float(values[18])
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _machine() -> str:
    """Return what tells apart machines and containers, which may share a folder but number their own processes."""
    namespace = Path("/proc/self/ns/pid")
    return " ".join([socket.gethostname(), *([str(namespace.readlink())] if namespace.is_symlink() else [])])


def _is_ours(folder: Path) -> bool:
    """Return whether this user made the folder. Everybody can make one in /tmp."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def _is_dead(folder: Path) -> bool:
    """Return whether the folder is of a process that ran on this machine and does not run any more."""
    try:
        owner = json.loads((folder / OWNER).read_text("utf-8"))
        is_ours = owner["machine"] == _machine() and isinstance(owner["pid"], int)
        return is_ours and owner["started"] != _started(owner["pid"])
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _end_processes(folder: Path) -> None:
    """Kill this user's processes that write to a file in the folder. All processes of Ray write their logs there."""
    ended = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            files = [] if process.pid == os.getpid() else process.open_files()
            if any(Path(file.path).is_relative_to(folder) and getattr(file, "mode", "w") != "r" for file in files):
                process.kill()
                ended.append(process)
    psutil.wait_procs(ended, END_SECONDS)


def _remove(folder: Path) -> None:
    """Remove the folder; the file that says whose it is last, so that what cannot be removed now is tried again."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != OWNER:
            path.unlink()
    if [path.name for path in folder.iterdir()] in ([], [OWNER]):
        shutil.rmtree(folder, ignore_errors=True)
