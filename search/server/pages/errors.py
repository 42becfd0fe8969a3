"""Errors as pages, for whoever opened a page in a browser; other callers get JSON."""

from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from search.server.pages.rendering import caller_of, page
from search.server.problems import TITLES, ProblemError, problem_response, request_id
from spaces.text import one_line

PROGRAMS = ("/api/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""Beginnings of paths that programs ask for."""

UNAUTHORIZED = 401


def error_response(request: Request, error: ProblemError) -> Response:
    """Return an error as a page for a person, and as JSON for a program."""
    if wants_page(request):
        return error_page(request, error)
    return problem_response(request_id(request), error)


def wants_page(request: Request) -> bool:
    """Return whether a request comes from a person who looks at a page."""
    accepts = request.headers.get("accept", "")
    return "text/html" in accepts and not request.url.path.startswith(PROGRAMS)


def error_page(request: Request, error: ProblemError) -> Response:
    """Return the page of an error. Somebody unknown is led to the login, and from there to what was wanted."""
    if error.status == UNAUTHORIZED and caller_of(request) is None and request.url.path != "/login":
        wanted = request.url.path if request.method == "GET" else "/"
        query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
        return RedirectResponse(f"/login?next={quote(wanted + query, safe='')}", 303)
    response = page(
        request,
        "error.html",
        status=error.status,
        code=error.status,
        title=TITLES[error.kind],
        detail=one_line(error.detail),
        request_id=request_id(request) if error.status >= 500 else None,
        back="/",
        back_words="To the queue",
    )
    response.headers.update(error.headers)
    return response
