"""The web server: Optuna Dashboard on a given storage, and the reports of its studies."""

import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from socketserver import ThreadingMixIn
from typing import Any, final
from urllib.parse import parse_qs, quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dashboards.access import READS, Access, local_path
from dashboards.listening import PORT, cannot_listen
from dashboards.page.page import POLICY
from spaces import SearchError
from spaces.text import one_line

REPORTS, LOGIN = "/reports/", "/login"

EVERYWHERE = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),  # a page of another site could let people click here unawares
    ("Referrer-Policy", "same-origin"),
)
PAGE = (
    *EVERYWHERE,
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
)
# In a sandbox, code that might run in a page has no origin, so the dashboard accepts no request from it.
SANDBOX = f"{POLICY}; frame-ancestors 'none'; sandbox allow-scripts allow-downloads"

LARGEST_FORM = 4096
"""Bytes of a login form that are read."""

LOGIN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Token – search dashboard</title>
<style>body {{ font: 16px system-ui, sans-serif; margin: 15vh auto; max-width: 30em; padding: 0 1em }}
input, button {{ font: inherit; padding: 0.4em }}
input {{ width: 100%; margin: 0.4em 0; box-sizing: border-box }}</style>
<p>{words}</p>
<form method="post" action="{login}">
<input type="hidden" name="next" value="{path}">
<label>Token <input type="password" name="token" autocomplete="off" required autofocus></label>
<button>Open</button>
</form>
<script nonce="{nonce}">
const send = () => {{
  const token = decodeURIComponent(location.hash.slice(1)), form = document.forms[0];
  if (!token) return;
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.token.value = token;
  form.submit();
}};
addEventListener("hashchange", send);
send();
</script>
"""
"""Asks for the token. A link may bear it behind #, which a browser does not send: it is in no log of any server."""

Reports = Callable[[str], str | None]
"""A study's name → its report as HTML; None if there is no such study."""


def report_link(study: str) -> str:
    """The path of a study's report on the server, for any name."""
    return REPORTS + quote(study, safe="", errors="replace")


def serve(
    storage: Any,
    host: str = "127.0.0.1",
    port: int = PORT,
    reports: Reports = lambda _: None,
    listening: Callable[[str], None] = lambda _: None,
    access: Access | None = None,
) -> None:
    """Serve Optuna Dashboard on an Optuna storage until interrupted.

    reports: of the studies. listening: called with the address, `http://NAME:PORT`, once a browser can open it.
    access: who may use the server; None for everybody on this machine.

    Optuna Dashboard needs no password and can delete studies, so the default is the loopback address. Raises UsageError
    for another address without `access`, and SearchError if it cannot listen, for example because the port is in use.
    """
    access = access or Access.of(host)
    from optuna_dashboard import wsgi

    application = Application(wsgi(storage), reports, access)
    try:
        server_class = _Server6 if ":" in host else _Server
        server = make_server(host, port, application, server_class=server_class, handler_class=_SilentHandler)
    except (OSError, OverflowError) as error:
        raise cannot_listen(host, port, error) from None
    with server, suppress(KeyboardInterrupt):
        name = min(access.names, default=f"[{host}]" if ":" in host else host)
        listening(f"http://{name}:{port}")
        server.serve_forever()


@final
@dataclass(frozen=True)
class Application:
    """The WSGI application: everything that it serves is behind `access`."""

    dashboard: Callable[[dict[str, Any], Any], Iterable[bytes]]
    reports: Reports
    access: Access = field(default_factory=Access)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")  # WSGI's encoding
        if refused := self.access.refusal(environ):
            return _page(environ, start_response, "403 Forbidden", refused)
        if self.access.token_digest is not None and path == LOGIN and environ["REQUEST_METHOD"] == "POST":
            return self._login(environ, start_response)
        if not self.access.knows(environ):
            words = "This dashboard needs the token that `search dashboard` was given, or printed at its start."
            return _ask_for_token(environ, start_response, words, _address(environ))
        if not path.startswith(REPORTS):
            return self.dashboard(environ, _with_headers(start_response))
        if environ["REQUEST_METHOD"] not in READS:
            refused = "Reports are read-only: use GET or HEAD."
            return _page(environ, start_response, "405 Method Not Allowed", refused, ("Allow", "GET, HEAD"))
        return self._report(path.removeprefix(REPORTS), environ, start_response)

    def _login(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Exchange the token for a cookie, and lead to the page that was wanted."""
        size = environ.get("CONTENT_LENGTH") or ""
        form = environ["wsgi.input"].read(min(int(size), LARGEST_FORM)) if size.isdecimal() and len(size) < 20 else b""
        fields = parse_qs(form.decode(errors="replace"))
        path = local_path(fields.get("next", ["/"])[0])
        if not self.access.is_token(fields.get("token", [""])[0].strip()):
            return _ask_for_token(environ, start_response, "This is not the token of this dashboard.", path)
        headers = [*PAGE, self.access.cookie(environ), ("Location", path), ("Content-Length", "0")]
        start_response("303 See Other", headers)
        return []

    def _report(self, study: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            report = self.reports(study)
        except SearchError as error:
            return _page(environ, start_response, "503 Service Unavailable", str(error))
        if report is None:
            return _page(environ, start_response, "404 Not Found", f"There is no study {study!r} in this database.")
        return _respond(environ, start_response, "200 OK", report)


def _address(environ: dict[str, Any]) -> str:
    """Return the path and the query of a request, as a browser sent them."""
    path = quote(environ.get("PATH_INFO", "").encode("latin-1")) or "/"
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _ask_for_token(environ: dict[str, Any], start_response: Any, words: str, path: str) -> Iterable[bytes]:
    """Answer with the page that asks for the token. path: of the page that is wanted."""
    nonce = secrets.token_urlsafe(16)
    page = LOGIN_PAGE.format(words=escape(words), login=LOGIN, path=escape(path), nonce=nonce)
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = ("WWW-Authenticate", 'Bearer realm="search dashboard"')
    return _respond(environ, start_response, "401 Unauthorized", page, headers, policy=policy)


def _with_headers(start_response: Any) -> Any:
    """Return a `start_response` that adds the headers of every answer."""

    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        return start_response(status, [*headers, *EVERYWHERE], *error)

    return start


def _page(
    environ: dict[str, Any], start_response: Any, status: str, words: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    page = f"<!doctype html><meta charset=utf-8><title>{status}</title><p>{escape(one_line(words))}\n"
    return _respond(environ, start_response, status, page, *headers)


def _respond(
    environ: dict[str, Any],
    start_response: Any,
    status: str,
    page: str,
    *headers: tuple[str, str],
    policy: str = SANDBOX,
) -> Iterable[bytes]:
    content = page.encode(errors="replace")
    always = (*PAGE, ("Content-Security-Policy", policy))
    start_response(status, [*always, *headers, ("Content-Length", str(len(content)))])
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
