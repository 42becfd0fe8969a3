"""Optuna Dashboard below /optuna: viewers read, and only an admin may write."""

from typing import Any

from a2wsgi import WSGIMiddleware
from anyio import to_thread
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from dashboards.access import READS
from dashboards.optuna_under_prefix import optuna_under
from search.server.access.identity import check_role
from search.server.pages.errors import error_response
from search.server.problems import ProblemError, problem_of
from spaces import SearchError

PREFIX = "/optuna"

THREADS = 4


class OptunaMount:
    """The dashboard behind the roles. It is made by the first request, since its script is large."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._app: WSGIMiddleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_role(Request(scope), "viewer" if scope["method"] in READS else "admin")
            if self._app is None:
                dashboard = await to_thread.run_sync(optuna_under, self._storage, PREFIX)
                self._app = WSGIMiddleware(dashboard, workers=THREADS)  # type: ignore[arg-type]
        except (ProblemError, SearchError) as error:
            await error_response(Request(scope), problem_of(error))(scope, receive, send)
        else:
            await self._app(scope, receive, send)  # type: ignore[arg-type]
