"""Errors as JSON, in the form of RFC 9457: the same words as on the command line, with options between backticks."""

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from search.database.connection.outages import OutageError
from spaces import (
    BackboneError,
    CacheError,
    ClassifierError,
    DatasetError,
    SearchError,
    UnknownNameError,
    UsageError,
)
from spaces.text import one_line

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Why a request was not carried out."""

    type: str
    """The kind of error, such as `usage` or `not-found`."""
    title: str
    status: int
    detail: str
    """One line: the rule, what came, and what would do."""
    request_id: str | None = None


class ProblemError(Exception):
    """An answer other than the one that was asked for."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers = status, kind, detail, headers or {}


TITLES = {
    "unauthorized": "A token is needed",
    "forbidden": "Not allowed",
    "refused": "The request is refused",
    "not-found": "Not found",
    "method-not-allowed": "Method not allowed",
    "conflict": "Not possible now",
    "unreadable": "The request cannot be read",
    "content-type": "Wrong Content-Type",
    "too-large": "Too large",
    "too-many": "Too many requests",
    "usage": "The request cannot be carried out",
    "unknown-name": "Unknown name",
    "unavailable": "Not available now",
    "internal": "The server has failed",
}

STATUS_KINDS = {
    400: "unreadable",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "content-type",
    401: "unauthorized",
    403: "forbidden",
}


def not_found(detail: str) -> ProblemError:
    return ProblemError(404, "not-found", detail)


def problem_of(error: SearchError | ProblemError) -> ProblemError:
    """Return the answer that says an error of ours: 422 for what a caller can mend, 409 for what is not possible now.

    503 where the database does not answer.
    """
    match error:
        case ProblemError():
            return error
        case UnknownNameError():
            return ProblemError(422, "unknown-name", str(error))
        case UsageError() | DatasetError() | BackboneError() | ClassifierError() | CacheError():
            return ProblemError(422, "usage", str(error))
        case OutageError():
            return ProblemError(503, "unavailable", str(error), {"Retry-After": "5"})
        case _:
            return ProblemError(409, "conflict", str(error))


def problem_response(request_id: str | None, error: ProblemError) -> JSONResponse:
    """Return the JSON of an error."""
    content: dict[str, Any] = {
        "type": error.kind,
        "title": TITLES[error.kind],
        "status": error.status,
        "detail": one_line(error.detail),
        "request_id": request_id,
    }
    return JSONResponse(content, error.status, headers=error.headers, media_type=MEDIA_TYPE)


def request_id(request: Request) -> str | None:
    """Return the id of a request, which is also in its answer and in the log."""
    value: str | None = getattr(request.state, "request_id", None)
    return value


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": words, "content": {MEDIA_TYPE: {}}}
    for status, words in {
        400: "The request cannot be read",
        401: "No token, or one that is not known",
        403: "The role of the token does not allow this, or the request comes from a page of another site",
        404: "There is no such thing",
        409: "Not possible in this state",
        413: "The request is too large",
        415: "The body is of another Content-Type than the route takes",
        422: "The request cannot be carried out as it is",
        429: "Too many requests",
        503: "The database does not answer, or the server is busy",
    }.items()
}
"""The errors of every route, for the OpenAPI document."""
