"""Makes the application: the gate, the routes of the API, and the pages for people."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from search.server.api import catalog, classifiers, control, events, health, jobs, studies, study_jobs
from search.server.gate import Gate
from search.server.login import session_cookie
from search.server.optuna_mount import PREFIX, OptunaMount
from search.server.pages.errors import error_response
from search.server.pages.routers import ROUTERS
from search.server.problems import ProblemError, problem_of, request_id
from search.server.refusals import refusal_problem
from search.server.service import Service
from search.server.settings import API, Settings
from search.server.validation import validation_problem
from spaces import SearchError

THREADS = 16
"""Requests that wait for the database at once. The event loop itself never does."""

log = logging.getLogger("search.server")


def make_app(settings: Settings) -> FastAPI:
    """Make the application. It opens the study database. Raises StorageError where that cannot be used."""
    service = Service.open(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        service.close()

    app = FastAPI(
        title="Diffusion feature search",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.service = service
    app.include_router(health.router)
    for router in (module.router for module in (catalog, jobs, events, studies, study_jobs, control, classifiers)):
        app.include_router(router, prefix=API)
    for router in ROUTERS:
        app.include_router(router)
    app.mount(PREFIX, OptunaMount(service.store.optuna))
    app.openapi = lambda: _document(app, settings)  # type: ignore[method-assign]
    _answer_errors(app)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.limits.body)
    app.add_middleware(Gate, service=service)  # the last one that is added is the outermost
    return app


def _document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document, with both ways in which a caller says who it is."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        document.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "A token of `search token create`."},
            "session": {"type": "apiKey", "in": "cookie", "name": session_cookie(settings)},
        }
        app.openapi_schema = document
    return app.openapi_schema


def _answer_errors(app: FastAPI) -> None:
    """Let every error be answered in one form, and none with the text of an exception that is not ours."""

    @app.exception_handler(ProblemError)
    @app.exception_handler(SearchError)
    async def problem(request: Request, error: ProblemError | SearchError) -> Response:
        return error_response(request, problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        return error_response(request, validation_problem(error, request.headers, request.scope.get("route")))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return error_response(request, refusal_problem(request, error.status_code, Headers(error.headers), error))

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        log.error("request %s failed", request_id(request), exc_info=error)
        detail = "the server has failed; its log says why, under the id of this request"
        return error_response(request, ProblemError(500, "internal", detail))
