"""Says in our words why the web framework refused a request before, or instead of, one of our routes."""

import re
import sys
from http import HTTPMethod, HTTPStatus

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.routing import Match

from search.server.problems import STATUS_KINDS, ProblemError
from spaces.errors import shown

FORM_WORDS = {
    "Missing boundary": "the header Content-Type must name the boundary between the parts of the form, got {header}; "
    "`curl -F` writes both",
    "The Content-Disposition": "each part of the form must have a name in its header Content-Disposition, got one "
    "without; `curl -F NAME=VALUE` writes it",
    "Too many files": "the form must have at most {number:,} files, got more",
    "Too many fields": "the form must have at most {number:,} fields, got more",
    "Part exceeded": "a field of the form must have at most {number:,} KiB, got more",
    "Field exceeded": "a field of the form must have at most {number:,} KiB, got more",
}
"""Beginning of a message of the web framework → ours. number: the one in that message. header: Content-Type."""


def refusal_problem(
    request: Request, status: int, headers: Headers, error: HTTPException | None = None
) -> ProblemError:
    """Return the answer to a request that the web framework refuses.

    headers: of its own answer. error: what it raised; None where it has sent its own answer.
    """
    kind = STATUS_KINDS.get(status, "internal" if status >= 500 else "usage")
    kept = {name: headers[name] for name in ("Allow", "Content-Range") if name in headers}
    if "Allow" in kept:
        kept["Allow"] = _methods(request) or kept["Allow"]
    return ProblemError(status, kind, _words(request, status, Headers(kept), error), kept)


def _methods(request: Request) -> str:
    """Return all methods of a path: each may have a route of its own, of which the web framework names only one."""
    routes = request.scope["app"].router.routes
    return ", ".join(
        method
        for method in HTTPMethod
        if any(route.matches({**request.scope, "method": method.value})[0] is Match.FULL for route in routes)
    )


def _words(request: Request, status: int, headers: Headers, error: HTTPException | None) -> str:
    path, method = shown(request.url.path), shown(request.method)
    match status:
        case 400 if error is not None:
            return _body_words(request, error.__cause__ or error.__context__)
        case 400 | 416 if "Range" in request.headers:
            size = headers.get("Content-Range", "").rpartition("/")[2]
            whole = f", and the file has {int(size):,} bytes" if size.isdecimal() else ""
            given = shown(request.headers["Range"])
            return f"the header Range must be bytes=FIRST-LAST{whole}, got {given}; leave it out for the whole file"
        case 404:
            return f"there is nothing at {path}; /docs lists the routes, and / leads to the pages"
        case 405 if "Allow" in headers:
            return f"{path} takes {headers['Allow']}, got {method}"
        case 413:
            limit: int = request.scope[MAX_BODY_SIZE_SCOPE_KEY]
            return f"the body of this request must have at most {limit:,} bytes, got more"
        case _:
            return f"the server does not answer {method} at {path}: {HTTPStatus(status).phrase}"


def _body_words(request: Request, error: BaseException | None) -> str:
    """Say why a body cannot be read. error: of the parser."""
    match error:
        case MultiPartException():
            return _form_words(request, error)
        case UnicodeDecodeError():
            byte = error.object[error.start]
            return f"the body must be JSON in UTF-8, got the byte 0x{byte:02x} at position {error.start:,}"
        case RecursionError():
            return "the body must be JSON of a few levels, got lists or objects within each other hundreds of times"
        case ValueError() if "digits" in str(error):
            return f"a whole number in the body must have at most {sys.get_int_max_str_digits():,} digits, got more"
        case _:
            return "the body cannot be read; /docs shows what this route takes"


def _form_words(request: Request, error: MultiPartException) -> str:
    number, header = re.search(r"\d+", error.message), shown(request.headers.get("Content-Type"))
    for beginning, words in FORM_WORDS.items():
        if error.message.startswith(beginning):
            return words.format(number=int(number[0]) if number else 0, header=header)
    position = getattr(error.__cause__, "offset", -1)
    where = f" at byte {position:,}" if position >= 0 else ""
    return (
        "the body must be a form of multipart/form-data with the boundary that the header Content-Type names, got "
        f"something else{where}; `curl -F` writes such a form"
    )
