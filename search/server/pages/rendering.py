"""Renders the pages: their templates, what every page shows, and the policy that lets it load from this server only."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader

from dashboards.formatting import percent
from dashboards.page.page import page_environment, style_sheet
from search.server.access.identity import Caller

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content Security Policy of every page: no script or style within a page, and nothing of another site."""

ASSETS = "/assets"


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the navigation. key: names it in templates."""

    key: str
    address: str
    words: str


LINKS = (
    Link("home", "/", "Queue"),
    Link("studies", "/studies", "Studies"),
    Link("submit", "/submit", "New search"),
    Link("classifiers", "/classifiers", "Classifiers"),
    Link("optuna", "/optuna/dashboard", "Optuna"),
    Link("docs", "/docs", "API"),
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that all pages share. address: it contains a digest, so that browsers may keep the file for ever."""

    name: str
    content: bytes
    media_type: str

    @property
    def address(self) -> str:
        return f"{ASSETS}/{sha256(self.content).hexdigest()[:12]}/{self.name}"


@cache
def assets() -> dict[str, Asset]:
    """Return the style, the script and the icon, by their names."""
    folder = files("search.server.pages").joinpath("static")
    style = f"{style_sheet()}\n{folder.joinpath('service.css').read_text()}"
    texts = {
        "style.css": (style, "text/css"),
        "script.js": (folder.joinpath("service.js").read_text(), "text/javascript"),
        "icon.svg": (folder.joinpath("icon.svg").read_text(), "image/svg+xml"),
    }
    return {name: Asset(name, text.encode(), media_type) for name, (text, media_type) in texts.items()}


@cache
def environment() -> Environment:
    """Return what fills the templates of pages. It escapes every name, and can use the macros of the reports."""
    filled = page_environment(PackageLoader("search.server.pages", "templates"))
    filled.globals.update(links=LINKS, assets=assets())
    filled.filters["percent"] = percent
    filled.filters["segment"] = lambda name: quote(str(name), safe="", errors="replace")
    return filled


def caller_of(request: Request) -> Caller | None:
    """Return who sent a request; None for somebody unknown."""
    caller: Caller | None = getattr(request.state, "caller", None)
    return caller


def render(template: str, **facts: Any) -> str:
    """Fill a template. Raises jinja2.UndefinedError where a fact is missing."""
    return environment().get_template(template).render(**facts)


def page(request: Request, template: str, current: str = "", status: int = 200, **facts: Any) -> HTMLResponse:
    """Return a whole page. current: the key of the link that leads to it."""
    content = render(template, caller=caller_of(request), current=current, **facts)
    return HTMLResponse(content.encode(errors="replace"), status, headers={"Content-Security-Policy": POLICY})
