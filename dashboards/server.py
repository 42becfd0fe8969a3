"""The web server: Optuna Dashboard on a given storage, and the reports of its studies."""

import errno
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from socketserver import ThreadingMixIn
from typing import Any, final
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dashboards.page.page import POLICY
from spaces import SearchError, UsageError

REPORTS = "/reports/"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
"""A Host header that names this machine. Any port: through an SSH tunnel, browser and server use different ones."""

HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    # In a sandbox, code that might run in a page has no origin, so the dashboard accepts no request from it.
    ("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'; sandbox allow-scripts allow-downloads"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)

Reports = Callable[[str], str | None]
"""A study's name → its report as HTML; None if there is no such study."""


def report_link(study: str) -> str:
    """The path of a study's report on the server, for any name."""
    return REPORTS + quote(study, safe="")


def serve(
    storage: Any,
    host: str = "127.0.0.1",
    port: int = 8080,
    reports: Reports = lambda _: None,
    listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve Optuna Dashboard on an Optuna storage until interrupted.

    reports: of the studies. listening: called with the address, `http://HOST:PORT`, once a browser can open it.

    Optuna Dashboard needs no password and can delete studies, so the default is the loopback address. There the server
    accepts only names of this machine, so that no web page can reach it under a name of its own. Raises UsageError for
    an empty address, which would mean every address of this machine, and SearchError if it cannot listen, for example
    because the port is in use.
    """
    from optuna_dashboard import wsgi

    if not host.strip():
        raise UsageError(
            "`host` must name an address such as 127.0.0.1, or 0.0.0.0 for every address of this machine, got none"
        )
    application = Application(wsgi(storage), reports, only_this_machine=host in LOOPBACK)
    try:
        server_class = _Server6 if ":" in host else _Server
        server = make_server(host, port, application, server_class=server_class, handler_class=_SilentHandler)
    except (OSError, OverflowError) as error:
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "the port is in use" if in_use else getattr(error, "strerror", None) or error
        raise SearchError(f"cannot listen on {host} port {port}: {reason}; choose another `host` or `port`") from None
    with server, suppress(KeyboardInterrupt):
        listening(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        server.serve_forever()


@final
@dataclass(frozen=True)
class Application:
    """The WSGI application. only_this_machine: refuse requests to another host name, or from a page of another site."""

    dashboard: Callable[[dict[str, Any], Any], Iterable[bytes]]
    reports: Reports
    only_this_machine: bool

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if refused := self._refused(environ):
            return _page(environ, start_response, "403 Forbidden", refused)
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")  # WSGI's encoding
        if not path.startswith(REPORTS):
            return self.dashboard(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            refused = "Reports are read-only: use GET or HEAD."
            return _page(environ, start_response, "405 Method Not Allowed", refused, ("Allow", "GET, HEAD"))
        return self._report(path.removeprefix(REPORTS), environ, start_response)

    def _refused(self, environ: dict[str, Any]) -> str | None:
        """Say why a request is refused, in words; None if it is accepted."""
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if self.only_this_machine and not THIS_MACHINE.fullmatch(host):
            return f"This server accepts requests to localhost only, got {host or 'no host name'}."
        if origin is not None and origin.partition("://")[2] != host:
            return f"Requests from pages of {origin} are not accepted."
        return None

    def _report(self, study: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            report = self.reports(study)
        except SearchError as error:
            return _page(environ, start_response, "503 Service Unavailable", str(error))
        if report is None:
            return _page(environ, start_response, "404 Not Found", f"There is no study {study!r} in this database.")
        return _respond(environ, start_response, "200 OK", report)


def _page(
    environ: dict[str, Any], start_response: Any, status: str, words: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    page = f"<!doctype html><meta charset=utf-8><title>{status}</title><p>{escape(words)}\n"
    return _respond(environ, start_response, status, page, *headers)


def _respond(
    environ: dict[str, Any], start_response: Any, status: str, page: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    content = page.encode(errors="replace")
    start_response(status, [*HEADERS, *headers, ("Content-Length", str(len(content)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]


class _Server(ThreadingMixIn, WSGIServer):
    """Uses a thread for each connection: a browser keeps connections open, and in one thread they would block."""

    daemon_threads = True
    allow_reuse_port = False


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
