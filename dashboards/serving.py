"""The web server: Optuna Dashboard on a storage that it is handed, and beside it the reports of its studies."""

import errno
import socket
import webbrowser
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from socketserver import ThreadingMixIn
from typing import Any, final
from urllib.parse import quote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dashboards.pages import POLICY
from spaces import SearchError

REPORTS = "/reports/"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", POLICY),
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
    open_browser: bool = False,
    reports: Reports = lambda _: None,
    study_id: int | None = None,
) -> None:
    """Serve Optuna Dashboard on an Optuna storage until interrupted.

    reports: of its studies. study_id: Optuna's, of the study at which the browser opens, None for the list.

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
    with server:
        if open_browser:
            at = "" if study_id is None else f"dashboard/studies/{study_id}"
            webbrowser.open(f"http://[{host}]:{port}/{at}" if ":" in host else f"http://{host}:{port}/{at}")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


@final
@dataclass(frozen=True)
class Application:
    """WSGI. only_this_machine: refuse requests that were made to another name, or by a page from elsewhere."""

    dashboard: Callable[[dict[str, Any], Any], Iterable[bytes]]
    reports: Reports
    only_this_machine: bool

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if self.only_this_machine and urlsplit(f"//{host}").hostname not in LOOPBACK:
            return _page(start_response, "403 Forbidden", f"This server is for this machine alone, not for {host}.")
        if origin is not None and urlsplit(origin).netloc != host:
            return _page(start_response, "403 Forbidden", f"A page of {origin} may not use this server.")
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")  # as WSGI has it
        if not path.startswith(REPORTS):
            return self.dashboard(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _page(start_response, "405 Method Not Allowed", "A report can be read, and nothing else.")
        return self._report(path.removeprefix(REPORTS), start_response)

    def _report(self, study: str, start_response: Any) -> Iterable[bytes]:
        try:
            report = self.reports(study)
        except SearchError as error:
            return _page(start_response, "503 Service Unavailable", str(error))
        if report is None:
            return _page(start_response, "404 Not Found", f"There is no study {study!r} in this database.")
        start_response("200 OK", [*HEADERS])
        return [report.encode()]


def _page(start_response: Any, status: str, words: str) -> Iterable[bytes]:
    start_response(status, [*HEADERS])
    return [f"<!doctype html><meta charset=utf-8><title>{status}</title><p>{escape(words)}\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """A browser keeps connections waiting; with one thread they would block each other."""

    daemon_threads = True
    allow_reuse_port = False


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
