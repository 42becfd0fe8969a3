"""The dashboard's server in a thread, as `serve` starts it, and requests to it under any name."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from dashboards.access import Access
from dashboards.listening import family_of
from dashboards.server import Reports, serve

Answer = tuple[int, dict[str, str], str]


@dataclass(frozen=True)
class Served:
    """A server on the loopback interface. name: what the Host header of a request says, if it does not say another."""

    port: int
    name: str

    def ask(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Answer:
        """Send one request over a connection of its own; return status, headers and content."""
        sent = {"Host": f"{self.name}:{self.port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace")

    @property
    def origin(self) -> str:
        return f"http://{self.name}:{self.port}"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def taken_port(host: str) -> Iterator[int]:
    """Listen on a port until the block ends. The test is skipped where the machine has no such address."""
    try:
        taken = socket.create_server((host, 0), family=family_of(host))
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with taken:
        yield taken.getsockname()[1]


@contextmanager
def served(storage: Any, access: Access, reports: Reports = lambda _: None) -> Iterator[Served]:
    """Serve until the process ends: `serve` has no end but Ctrl-C, and its threads are daemons."""
    listening, port = threading.Event(), free_port()
    arguments = (storage, "127.0.0.1", port, reports, lambda _: listening.set(), access)
    threading.Thread(target=serve, args=arguments, daemon=True).start()
    assert listening.wait(60)
    yield Served(port, min(access.names, default="127.0.0.1"))
