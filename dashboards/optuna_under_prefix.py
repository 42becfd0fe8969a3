"""Optuna Dashboard below a path of another server. It has no option for that, so three places are changed."""

import gzip
from collections.abc import Callable, Iterable
from typing import Any, final

from spaces import SearchError

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

SCRIPT = "/static/bundle.js"
PLACES = (
    ('url_prefix:"/dashboard"', 'url_prefix:"{prefix}/dashboard"'),
    ('(null!=e?e:"")}}handleResponse(e)', '(null!=e?e:"{prefix}")}}handleResponse(e)'),
    ("`/csv/${{", "`{prefix}/csv/${{"),
)
"""The places of the script that name a path of its server, as patterns of `str.format`."""


def optuna_under(storage: Any, prefix: str) -> "Wsgi":
    """Return Optuna Dashboard on an Optuna storage as a WSGI application below a path, such as /optuna.

    Raises SearchError where the installed version has another script than this program knows.
    """
    from optuna_dashboard import wsgi

    inner = wsgi(storage)
    return Mounted(inner, prefix, gzip.compress(_script(inner, prefix), 6))


@final
class Mounted:
    """The dashboard, whose page and script name paths below the prefix. script: as gzip."""

    def __init__(self, inner: Wsgi, prefix: str, script: bytes) -> None:
        self._inner, self._prefix, self._script = inner, prefix, script

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in ("", "/"):
            start_response("302 Found", [("Location", f"{self._prefix}/dashboard"), ("Content-Length", "0")])
            return []
        if path == SCRIPT:
            return self._send_script(environ, start_response)
        if path == "/dashboard" or path.startswith("/dashboard/"):
            status, headers, body = answer(self._inner, environ)
            body = body.replace(b'"/static/', f'"{self._prefix}/static/'.encode())
            kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "etag")]
            start_response(status, [*kept, ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        return self._inner(environ, start_response)

    def _send_script(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        zipped = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
        body = self._script if zipped else gzip.decompress(self._script)
        headers = [("Content-Type", "text/javascript; charset=utf-8"), ("Cache-Control", "private, max-age=3600")]
        headers += [("Vary", "Accept-Encoding"), *([("Content-Encoding", "gzip")] if zipped else [])]
        start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _script(inner: Wsgi, prefix: str) -> bytes:
    """Return the script of the page with paths below the prefix."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": SCRIPT, "HTTP_ACCEPT_ENCODING": "identity"}
    text = answer(inner, environ)[2].decode()
    for place, changed in PLACES:
        found = place.format()
        if found not in text:
            raise SearchError(
                "the installed version of Optuna Dashboard cannot be shown below a path; `search dashboard` shows it"
            )
        text = text.replace(found, changed.format(prefix=prefix))
    return text.encode()


def answer(application: Wsgi, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return the status, the headers and the content that a WSGI application answers with."""
    started: list[Any] = []
    parts = application(environ, lambda status, headers, *_: started.extend([status, headers]))
    try:
        return started[0], started[1], b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
