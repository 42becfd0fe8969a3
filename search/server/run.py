"""Runs the application until it is interrupted."""

import logging
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dashboards.listening import cannot_listen, family_of
from search.server.app import make_app
from search.server.gate import SECURITY_HEADERS, JsonLines, TextLines
from search.server.problems import ProblemError, problem_response
from search.server.service import Service
from search.server.settings import LogFormat, Settings
from spaces import UsageError
from spaces.errors import LONGEST
from spaces.text import one_line

log = logging.getLogger("search.server")

GRACE_SECONDS = 3
"""How long requests may take to end once the server is asked to end. Event streams end at once."""


def serve(settings: Settings, listening: Callable[[str], None] = lambda _: None) -> None:
    """Serve until interrupted.

    listening: called with the address, `http://NAME:PORT`, once a client can connect. Raises UsageError where others
    can connect and there is no token yet, SearchError where the server cannot listen, and StorageError where the study
    database cannot be used.
    """
    set_up_log(settings.log_format)
    server = make_server(settings)
    with open_socket(settings) as listener, suppress(KeyboardInterrupt):
        name = min(settings.hosts.names, default=f"[{settings.host}]" if ":" in settings.host else settings.host)
        listening(f"{settings.scheme}://{name}:{settings.port}")
        server.run(sockets=[listener])


def make_server(settings: Settings) -> uvicorn.Server:
    """Return a server that is ready to run. Raises as `serve` does."""
    app = make_app(settings)
    service: Service = app.state.service
    service.callers.read()
    if settings.demands_tokens and service.callers.is_empty:
        service.close()
        raise UsageError(
            f"`host` {settings.host} lets others connect, and there is no token yet; make one with "
            "`search token create NAME --role admin`"
        )
    config = uvicorn.Config(
        app,
        http=HttpConnection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=settings.tls[0] if settings.tls else None,
        ssl_keyfile=settings.tls[1] if settings.tls else None,
    )
    return uvicorn.Server(config)


class HttpConnection(H11Protocol):
    """A connection to a client. What is no HTTP request reaches no route, and is answered here, in our words."""

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request, and close the connection. msg: the words of uvicorn, which are left out."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_not_http(sys.exception()))
        self.transport.close()


def _not_http(error: BaseException | None) -> bytes:
    """Return the answer to what is no HTTP request. error: of its parser."""
    request_id = secrets.token_hex(8)
    reason = f": {error}"[:LONGEST] if error is not None and str(error) else ""
    log.warning("request %s is no HTTP%s", request_id, one_line(reason))
    detail = f"a request must follow HTTP/1.1, got one that does not{reason}"
    answer = problem_response(request_id, ProblemError(400, "unreadable", detail, {"X-Request-Id": request_id}))
    answer.headers.update(SECURITY_HEADERS | {"Connection": "close"})
    head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    return b"HTTP/1.1 400 Bad Request\r\n%s\r\n%s" % (head, answer.body)


def open_socket(settings: Settings) -> socket.socket:
    """Return a socket that listens. Raises SearchError in words."""
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY); else each may wait 40 ms.
    listener = socket.socket(family_of(settings.host), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
        return listener
    except (OSError, OverflowError) as error:
        listener.close()
        raise cannot_listen(settings.host, settings.port, error) from None


def set_up_log(log_format: LogFormat) -> None:
    """Let the server log to standard error: a line for each request, its id and the name of its token."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    for name, level in (("search", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
