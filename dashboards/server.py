"""The web server: Optuna Dashboard on a storage that it is handed, and beside it the reports of its studies."""

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
from spaces import SearchError

REPORTS = "/reports/"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
"""A Host header that names it. Any port: behind an SSH tunnel the browser's is not the server's."""

HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    # In a sandbox, whatever might come to run in a page is of no origin, so that the dashboard does not listen to it.
    ("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'; sandbox allow-scripts allow-downloads"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)

Reports = Callable[[str], str | None]
"""A study's name → its report as HTML, None where there is no such study."""


def report_link(study: str) -> str:
    """Where the server has a study's report: a path, whatever the name is."""
    return REPORTS + quote(study, safe="")


def serve(
    storage: Any,
    host: str = "127.0.0.1",
    port: int = 8080,
    reports: Reports = lambda _: None,
    listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve Optuna Dashboard on an Optuna storage until interrupted.

    reports: of its studies. listening: is told the address, `http://HOST:PORT`, as soon as a browser finds it there.

    It asks nobody for a password and can delete studies, hence the loopback address unless told otherwise; there it
    answers to names of this machine alone, so that no web page can reach it under a name of its own. Raises SearchError
    where it cannot listen, e.g. on a port in use.
    """
    from optuna_dashboard import wsgi

    application = Application(wsgi(storage), reports, only_this_machine=host in LOOPBACK)
    try:
        server_class = _Server6 if ":" in host else _Server
        server = make_server(host, port, application, server_class=server_class, handler_class=_SilentHandler)
    except (OSError, OverflowError) as error:
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "the port is in use" if in_use else getattr(error, "strerror", None) or error
        raise SearchError(
            f"cannot listen on {host} port {port}: {reason}; name another with --host or --port"
        ) from None
    with server, suppress(KeyboardInterrupt):
        listening(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        server.serve_forever()


@final
@dataclass(frozen=True)
class Application:
    """WSGI. only_this_machine: refuse requests that were made to another name, or by a page from elsewhere."""

    dashboard: Callable[[dict[str, Any], Any], Iterable[bytes]]
    reports: Reports
    only_this_machine: bool

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if refused := self._refused(environ):
            return _page(environ, start_response, "403 Forbidden", refused)
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")  # as WSGI has it
        if not path.startswith(REPORTS):
            return self.dashboard(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            refused = "A report can be read, and nothing else."
            return _page(environ, start_response, "405 Method Not Allowed", refused, ("Allow", "GET, HEAD"))
        return self._report(path.removeprefix(REPORTS), environ, start_response)

    def _refused(self, environ: dict[str, Any]) -> str | None:
        """Why, in words."""
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if self.only_this_machine and not THIS_MACHINE.fullmatch(host):
            return f"This server is for its own machine alone, as localhost, and not for {host or 'no name'}."
        if origin is not None and origin.partition("://")[2] != host:
            return f"A page of {origin} may not use this server."
        return None

    def _report(self, study: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            report = self.reports(study)
        except SearchError as error:
            return _page(environ, start_response, "503 Service Unavailable", str(error))
        if report is None:
            return _page(environ, start_response, "404 Not Found", f"There is no study {study!r} in this database.")
        return _answer(environ, start_response, "200 OK", report)


def _page(
    environ: dict[str, Any], start_response: Any, status: str, words: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    page = f"<!doctype html><meta charset=utf-8><title>{status}</title><p>{escape(words)}\n"
    return _answer(environ, start_response, status, page, *headers)


def _answer(
    environ: dict[str, Any], start_response: Any, status: str, page: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    content = page.encode(errors="replace")
    start_response(status, [*HEADERS, *headers, ("Content-Length", str(len(content)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]


class _Server(ThreadingMixIn, WSGIServer):
    """A browser keeps connections waiting; with one thread they would block each other."""

    daemon_threads = True
    allow_reuse_port = False


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
