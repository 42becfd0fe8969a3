"""A private Ray on this machine, or a connection to a cluster, for as long as a run needs it."""

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self, final

from search.scheduling.resources import Resources
from spaces import SearchError

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # else idle threads spin: beside other work, small fits take 20 to 90 times as long
}
"""Variables that Ray and torch read when they start. A person's own values win."""

AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
"""Variables of a private Ray. Ray reads them once a process, at its import, so that each process has one token."""


@final
class RaySession:
    """Ray, which starts when it is first wanted and ends with the block. Its temporary folder is removed at the end.

    Environment variables that the session sets are removed at the end too, but for those of `AUTHENTICATION`: Ray keeps
    what it has read of them for as long as the process lives.
    """

    _authenticated: ClassVar[bool] = False
    """Whether Ray was imported in this process with authentication on."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self._folder: Path | None = None
        self._variables: list[str] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ray")
        self._started: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Begin to start Ray in the background, unless that has begun.

        Raises SearchError at once where no cluster answers at the address.
        """
        if self._started is not None:
            return
        if self.resources.address is not None:
            _check_answers(self.resources.address)
        self._folder = Path(tempfile.mkdtemp(prefix="search-ray-"))
        for name, value in (ENVIRONMENT | self._authentication()).items():
            if name not in os.environ:
                os.environ[name] = value
                self._variables += [name] if name in ENVIRONMENT else []
        self._started = self._thread.submit(_init, self.resources, self._folder)

    def _authentication(self) -> dict[str, str]:
        """Return the variables that authenticate; none where Ray was imported before, which then knows no token."""
        if "ray" in sys.modules and not RaySession._authenticated:
            return {}
        RaySession._authenticated = True
        return {"RAY_AUTH_MODE": "token"} if self.resources.address is not None else AUTHENTICATION

    def wait(self) -> None:
        """Return when Ray has started. Raises SearchError where a cluster cannot be joined."""
        self.start()
        assert self._started is not None
        self._started.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._started is not None:
            self._started.exception()  # waits until Ray has started or failed to
            import ray

            ray.shutdown()
        self._thread.shutdown(wait=True)  # last: Ray's processes are killed when the thread that started them ends
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        for name in self._variables:
            os.environ.pop(name, None)


def _init(resources: Resources, folder: Path) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    private = {
        "num_cpus": max(resources.workers * resources.cpus, 1),
        "include_dashboard": False,
        "_temp_dir": str(folder),
    }
    try:
        ray.init(
            address=resources.address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if resources.address else private),
        )
    except (ConnectionError, AuthenticationError) as error:
        reason = str(error).splitlines()[0]
        raise SearchError(f"cannot join the Ray cluster at {resources.address}: {reason}") from error


def _check_answers(address: str) -> None:
    """Raise SearchError where nothing answers. Ray itself would wait for minutes and then abort the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SearchError(f"no Ray cluster answers at {address} (HOST:PORT of `ray start --head`): {error}") from error
