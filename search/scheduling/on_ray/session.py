"""A private Ray on this machine, or a connection to a cluster, for as long as a run needs it."""

import logging
import os
import secrets
import shutil
import signal
import site
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, final

import psutil

from search.scheduling.resources import Resources
from search.scheduling.signals import STOPS
from spaces import SearchError
from spaces.errors import first_line

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # the working directory of a `ray job` gives way to ours
    "RAY_worker_niceness": "0",  # else 15: beside other work, workers get a thirtieth of a core each
}
"""Variables that Ray reads when it starts. A person's own values win."""

PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_GCS_SERVER_PORT": "0"}
"""Variables of a private Ray. By the first it listens on this machine alone, on every system; by the second at any free
port, also where a person has set the port of a cluster."""

RAY = "ray"
"""Ray's own folder in that of a session. Everybody may write to Ray's, and nobody else may enter the one above."""

SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a socket, by the operating system."""

LONGEST_FOLDER = SOCKET_BYTES - len(f"/{RAY}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""Longest path, in bytes, of the folder of a session, in which Ray makes its sockets."""

OBJECT_STORE_BYTES = 256 * 2**20
"""Bytes of shared memory of a private Ray. Larger data goes to a file."""

LEAST_ADDRESS_SPACE = 3 * 2**30
"""Bytes of address space (`ulimit -v`) below which torch cannot be loaded, and Ray aborts the process."""

WATCH_SECONDS = 0.5
"""Seconds between two looks at whether Ray lives."""

CLUSTER_WATCH_SECONDS = 4.0
"""The same for a cluster, which is asked over the network."""

UNANSWERED = 3
"""Looks in a row at which a cluster does not answer, until it counts as lost."""

ROOM_SECONDS = 60
"""Longest wait for a cluster to have room for a worker."""

AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
"""Variables of a private Ray. Ray reads them once a process, at its import, so that each process has one token."""


@final
class RaySession:
    """Ray, which starts when it is first wanted and ends with the block.

    Environment variables that the session sets get their former values at the end, but for those of `AUTHENTICATION`:
    Ray keeps what it has read of them for as long as the process lives.
    """

    _authenticated: ClassVar[bool] = False
    """Whether Ray was imported in this process with authentication on."""

    def __init__(
        self,
        resources: Resources,
        folder: Path,
        on_lost: Callable[[str], None] = lambda reason: None,
        on_machines: Callable[[Sequence[Mapping[str, float]]], Resources] | None = None,
    ) -> None:
        """Prepare a session.

        folder: for temporary files; nobody else may enter it, since Ray lets everybody write to what it makes there.
        on_lost: called in a thread, with words, if Ray dies before the session ends. on_machines: returns the resources
        on a cluster, given what each of its machines has, by Ray's names.
        """
        self.resources = resources
        self.folder = folder
        self._on_machines = on_machines
        self._on_lost = on_lost
        self._ends = threading.Event()
        self._variables_before: dict[str, str | None] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ray")
        self._started: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Begin to start Ray in the background, unless that has begun.

        Raises SearchError at once where no cluster answers at the address, where this process runs Ray already, or
        where the memory of a process is limited too much.
        """
        if self._started is not None:
            return
        _check_address_space()
        if self.resources.address is not None:
            _check_answers(self.resources.address)
        _check_not_running()
        ours = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
        ours |= {} if self.resources.address else PRIVATE
        self._variables_before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours | self._authentication())
        self._started = self._thread.submit(_init, self.resources, self.folder)
        threading.Thread(target=self._watch, name="watch of Ray", daemon=True).start()

    def _authentication(self) -> dict[str, str]:
        """Return the variables that authenticate; none where Ray was imported before, which then knows no token.

        A private Ray always has a token of its own. That of a cluster is the person's, who may also do without.
        """
        if "ray" in sys.modules and not RaySession._authenticated:
            return {}
        RaySession._authenticated = True
        if self.resources.address is None:
            return AUTHENTICATION
        return {} if "RAY_AUTH_MODE" in os.environ else {"RAY_AUTH_MODE": "token"}

    def wait(self) -> Resources:
        """Return what the run may use, when Ray has started and has room for a worker.

        Raises SearchError where Ray cannot start, where a cluster cannot be joined, and where it has no room.
        """
        self.start()
        assert self._started is not None
        self._started.result()
        if self._on_machines is not None and self.resources.address is not None:
            self.resources, self._on_machines = self._on_machines(_machines()), None
        _check_room(self.resources)
        return self.resources

    def _watch(self) -> None:
        """Report once that Ray has died. Ray itself waits for a minute, and then aborts the process.

        While Ray starts it lets no other thread run; `search.running.process` watches from outside.
        """
        address, unanswered = self.resources.address, 0
        while not self._ends.wait(WATCH_SECONDS if address is None else CLUSTER_WATCH_SECONDS):
            fault = _death_of_process()
            if address is not None:
                try:
                    _check_answers(address)
                    unanswered = 0
                except SearchError as error:
                    unanswered += 1
                    fault = str(error) if unanswered == UNANSWERED else None
            if fault is not None and not self._ends.is_set():
                self._on_lost(fault)
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ends.set()
        if self._started is not None:
            self._started.exception()  # waits until Ray has started or failed to
            _shut_down()
        self._thread.shutdown(wait=True)  # last: Ray's processes are killed when the thread that started them ends
        for name, value in self._variables_before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _init(resources: Resources, folder: Path) -> None:
    """Start Ray or join it, in a thread of its own.

    Signals to end are blocked in this thread, and so in Ray's processes: a terminal, systemd, Slurm and `timeout` send
    them to all processes at once, and without Ray the run could not end in good order. Ray's processes end with the
    session or with this process.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    import ray

    # Else Ray stores the command line, which may hold a password, or bytes that are no text, so that Ray cannot start.
    ray._private.utils.get_entrypoint_name = lambda: "search"
    private = {
        "num_cpus": max(resources.workers * resources.cpus, 1),
        "include_dashboard": False,
        "_temp_dir": str(folder / RAY),
        "object_store_memory": OBJECT_STORE_BYTES,
        "_plasma_directory": str(_shared_memory() or folder),
    }
    try:
        with _needed_processes_alone(), nullcontext() if resources.address else _loopback_alone():
            ray.init(
                address=resources.address or "local",
                logging_level=logging.CRITICAL,  # a worker's failure is reported in one line
                log_to_driver=False,
                runtime_env=_worker_environment(folder),
                **({} if resources.address else private),
            )
    except Exception as error:  # Ray raises many kinds: of versions, sockets, processes, authentication
        what = "Ray cannot start"
        if resources.address:
            joins = f"of which this machine must be one, by `ray start --address={resources.address}` and its token"
            what = f"cannot join the Ray cluster at {resources.address}, {joins}"
        raise SearchError(f"{what}: {first_line(error)}") from error


@contextmanager
def _needed_processes_alone() -> Iterator[None]:
    """Let a Ray that starts here go without its autoscaler, its log monitor and the rest of its dashboard.

    Nothing here uses them. They take as long to start as the rest of Ray, and no public option leaves them out.
    """
    from ray._private.node import Node

    originals = {name: getattr(Node, name) for name in ("start_monitor", "start_log_monitor", "start_api_server")}
    Node.start_monitor = Node.start_log_monitor = lambda node: None
    Node.start_api_server = lambda node, **options: setattr(node, "_webui_url", "")
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(Node, name, original)


@contextmanager
def _loopback_alone() -> Iterator[None]:
    """Let a Ray that starts here listen on the loopback interface alone, also where it was imported before."""
    from ray._private import ray_constants

    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _shut_down() -> None:
    """End Ray with all processes that it started here. SIGKILL ends them, since SIGTERM is blocked in them."""
    import ray

    node = ray._private.worker._global_node
    descendants: list[psutil.Process] = []
    for started in [started for kind in (node.all_processes.values() if node else ()) for started in kind]:
        started.process.terminate = started.process.kill  # else Ray waits a second after each SIGTERM
        with suppress(psutil.NoSuchProcess):
            descendants += psutil.Process(started.process.pid).children(recursive=True)
    ray.shutdown()
    for process in descendants:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _death_of_process() -> str | None:
    """Say in words which of the processes that Ray started here has died; None if none has, or Ray still starts."""
    node = getattr(sys.modules.get("ray._private.worker"), "_global_node", None)
    for kind, processes in node.all_processes.items() if node else ():
        for started in processes:
            if (code := started.process.poll()) is not None:
                how = f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended, code {code}"
                return f"a process of Ray ({kind}) {how}"
    return None


def _check_room(resources: Resources) -> None:
    """Raise SearchError where no machine has room for a worker within ROOM_SECONDS."""
    import ray
    from ray.util import placement_group, remove_placement_group

    need = resources.of_worker
    group = placement_group([need])
    if not group.wait(ROOM_SECONDS):
        machines = Counter(map(_amounts, _machines()))
        raise SearchError(
            f"no machine had room for a worker within {ROOM_SECONDS} s: a worker takes {_amounts(need)}; the cluster's "
            f"machines have {', '.join(f'{count} × ({amounts})' for amounts, count in machines.items())}, of which "
            f"{_amounts(ray.available_resources())} are free; ask for less with `gpus_per_trial`, or for more "
            "`workers`, among which the cores are divided"
        )
    remove_placement_group(group)


def _machines() -> list[Mapping[str, float]]:
    """Return what each machine of the cluster has, by Ray's names."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _amounts(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU + {resources.get('GPU', 0):g} GPU"


def _worker_environment(folder: Path) -> dict[str, Any]:
    """Return Ray's environment of a worker, which imports our packages from the folder that this process uses.

    Workers have an empty working directory of their own. Else Ray puts the working directory of this process before
    all libraries on their import path.
    """
    (working_directory := folder / "empty").mkdir()
    code = str(Path(__file__).parents[3])
    is_installed = code in (*site.getsitepackages(), site.getusersitepackages())  # then workers find it by themselves
    return {"working_dir": str(working_directory), "env_vars": {} if is_installed else {"PYTHONPATH": code}}


def _shared_memory() -> Path | None:
    """Return the folder of shared memory; None where there is none, or no room in it, as in many containers."""
    folder = Path("/dev/shm")
    has_room = os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free >= OBJECT_STORE_BYTES
    return folder if has_room else None


def _check_address_space() -> None:
    """Raise SearchError where the address space of a process is limited too much."""
    if os.name != "posix":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise SearchError(
            f"a process may have {limit / 2**30:.1f} GiB of address space (`ulimit -v`), and a run needs at least "
            f"{LEAST_ADDRESS_SPACE / 2**30:.0f} GiB; raise the limit, or limit the memory with a control group"
        )


def _check_not_running() -> None:
    """Raise SearchError where the user runs Ray in this process, which the end of the session would shut down."""
    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            raise SearchError("Ray runs in this process already; call `ray.shutdown()` first, or start a new process")


def _check_answers(address: str) -> None:
    """Raise SearchError where nothing answers. Ray itself would wait for minutes and then abort the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SearchError(f"no Ray cluster answers at {address} (HOST:PORT of `ray start --head`): {error}") from error
