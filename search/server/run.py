"""Runs the application until it is interrupted."""

import errno
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from search.server.app import make_app
from search.server.gate import JsonLines, TextLines
from search.server.service import Service
from search.server.settings import LogFormat, Settings
from spaces import SearchError, UsageError

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


def open_socket(settings: Settings) -> socket.socket:
    """Return a socket that listens. Raises SearchError in words."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY); else each may wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
        return listener
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "the port is in use" if in_use else getattr(error, "strerror", None) or error
        raise SearchError(
            f"cannot listen on {settings.host} port {settings.port}: {reason}; choose another `host` or `port`"
        ) from None


def set_up_log(log_format: LogFormat) -> None:
    """Let the server log to standard error: a line for each request, its id and the name of its token."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    for name, level in (("search", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
