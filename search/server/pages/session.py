"""The login form and its end, and the files that all pages share: all that is shown to somebody unknown."""

from typing import Annotated

from fastapi import Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from dashboards.access import local_path
from search.server.access.identity import public, role_router
from search.server.login import begin_session, end_session
from search.server.pages.rendering import ASSETS, assets, page
from search.server.problems import not_found

router = role_router(in_document=False)

LONGEST = 2000


@router.get("/login", dependencies=[public])
async def login_form(request: Request, next: Annotated[str, Query(max_length=LONGEST)] = "/") -> HTMLResponse:
    """Ask for a token."""
    return page(request, "login.html", next=local_path(next), error="")


@router.post("/login", dependencies=[public])
async def login(
    request: Request,
    token: Annotated[str, Form(max_length=LONGEST)] = "",
    next: Annotated[str, Form(max_length=LONGEST)] = "/",
) -> Response:
    """Exchange a token for a cookie, and lead to the page that was wanted."""
    response = RedirectResponse(local_path(next), 303)
    if begin_session(request, response, token):
        return response
    words = "This server does not know the token. Copy it whole; it begins with dfs_."
    return page(request, "login.html", status=401, next=local_path(next), error=words)


@router.post("/logout", dependencies=[public])
async def logout(request: Request) -> Response:
    """End the session of the browser."""
    response = RedirectResponse("/login", 303)
    end_session(request, response)
    return response


@router.get(ASSETS + "/{digest}/{name}", dependencies=[public])
async def asset(digest: Annotated[str, Path(max_length=64)], name: Annotated[str, Path(max_length=64)]) -> Response:
    """Return a file that all pages share. Its address changes with its content."""
    found = assets().get(name)
    if found is None or found.address != f"{ASSETS}/{digest}/{name}":
        raise not_found("there is no such file")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(found.content, media_type=found.media_type, headers=headers)


@router.get("/favicon.ico", dependencies=[public])
async def icon() -> RedirectResponse:
    """Lead to the icon. A browser asks for this address where an answer names no icon, as a report or JSON."""
    return RedirectResponse(assets()["icon.svg"].address, 307, {"Cache-Control": "public, max-age=3600"})
