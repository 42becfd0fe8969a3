"""The gate before all routes: names of the server, pages of other sites, who calls, how often, and the log."""

import json
import logging
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.access import READS, bearer_token, cookie_values
from search.server.access.identity import Caller
from search.server.access.rates import Rates
from search.server.login import count_wrong, session_cookie, too_many
from search.server.metrics import observe
from search.server.pages.errors import error_response
from search.server.problems import ProblemError, problem_of
from search.server.refusals import refusal_problem
from search.server.service import Service
from spaces import SearchError
from spaces.text import one_line

log = logging.getLogger("search.server")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer that does not set them itself."""


PROBES = ("/healthz", "/readyz")
"""Paths that answer without a look at the tokens, and so also while the database does not answer."""


class Gate:
    """The outermost part of the application.

    A request that passes has `request.state.caller`, a `Caller` or None, and `request.state.request_id`.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        limits = service.settings.limits
        self._rates = Rates(limits.requests, limits.burst)
        self._cookie = session_cookie(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id = secrets.token_hex(8)
        state["caller"] = None

        replaced = False

        async def answer(message: Message) -> None:
            nonlocal status, replaced
            if replaced:
                return
            if _is_plain_error(message):
                request = Request(scope)
                problem = refusal_problem(request, message["status"], Headers(raw=message["headers"]))
                await error_response(request, problem)(scope, receive, answer)
                replaced = True
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if self._service.settings.tls is not None:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            try:
                state["caller"] = await self._admitted(scope)
            except (ProblemError, SearchError) as error:
                await error_response(Request(scope), problem_of(error))(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            observe(scope, status, seconds)
            self._log(scope, status, seconds, state)

    async def _admitted(self, scope: Scope) -> Caller | None:
        """Return who calls; None for an unknown caller, who may see public routes only. Raises ProblemError."""
        headers = Headers(scope=scope)
        self._check_site(scope["method"], headers)
        if scope["path"] in PROBES:
            self._check_rate(_address(scope))
            return None
        callers = self._service.callers
        if callers.is_due:
            await to_thread.run_sync(callers.read)
        token, address = bearer_token(headers.get("authorization", "")), _address(scope)
        caller = callers.by_session(cookie_values(headers.get("cookie", ""), self._cookie)) or callers.local()
        if token is not None:
            if not callers.open:
                caller = callers.by_token(token)
            if caller is None:
                count_wrong(self._service.wrong_tokens, address)
        self._check_rate(address if caller is None else f"token {caller.name}")
        if caller is not None and callers.note_use(caller):
            await to_thread.run_sync(callers.record_use, caller.name)
        return caller

    def _check_rate(self, caller: str) -> None:
        if (wait := self._rates.take(caller)) > 0:
            limit = self._service.settings.limits.requests
            raise too_many(f"this server takes {limit:g} requests a second from one caller", wait)

    def _check_site(self, method: str, headers: Headers) -> None:
        """Refuse requests to other names, and writes that a page of another site may have sent.

        Browsers send Origin or Sec-Fetch-Site with every write. A write without both comes from a program; one that
        bears a cookie comes from a browser, and needs Origin.
        """
        origin = headers.get("origin")
        if refused := self._service.settings.hosts.refusal(headers.get("host", ""), origin):
            raise ProblemError(403, "refused", refused)
        if method in READS or bearer_token(headers.get("authorization", "")) is not None:
            return
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise ProblemError(403, "refused", "a page of another site may not change anything here")
        if origin is None and cookie_values(headers.get("cookie", ""), self._cookie):
            raise ProblemError(
                403, "refused", "a request with a cookie that changes something needs the header Origin, got none"
            )

    def _log(self, scope: Scope, status: int, seconds: float, state: MutableMapping[str, Any]) -> None:
        caller: Caller | None = state["caller"]
        path = one_line(scope["path"])  # a path may have line ends in it
        log.info(
            "%s %s %d",
            scope["method"],
            path,
            status,
            extra={
                "request": {
                    "id": state["request_id"],
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "seconds": round(seconds, 4),
                    "caller": None if caller is None else caller.name,
                    "address": _address(scope),
                }
            },
        )


class JsonLines(logging.Formatter):
    """Formats each record as one line of JSON. Requests have their id, status and seconds as fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "request", {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Formats each record as one line for people. Requests have their milliseconds, caller and id at the end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging calls
        line = super().formatMessage(record)
        request: dict[str, Any] | None = getattr(record, "request", None)
        if request is None:
            return line
        return f"{line} {1000 * request['seconds']:.0f} ms {request['caller'] or '-'} {request['id']}"


def _is_plain_error(message: Message) -> bool:
    """Return whether an error begins that the web framework makes by itself: ours are never plain text."""
    return (
        message["type"] == "http.response.start"
        and message["status"] >= 400
        and Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")
    )


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"
