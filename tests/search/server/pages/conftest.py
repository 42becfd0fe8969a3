"""Pages as a browser gets them."""

from collections.abc import Callable
from html.parser import HTMLParser

import httpx2
import pytest

from tests.support.api_server import ApiServer

Visit = Callable[..., httpx2.Response]


@pytest.fixture
def visit(served: ApiServer) -> Visit:
    """Ask for a page with the token of a role, as a browser does; it follows no redirect."""

    def ask(path: str, role: str | None = "admin", method: str = "GET", **options: object) -> httpx2.Response:
        with served.client(role, headers={"Accept": "text/html", "Origin": served.url}) as client:
            return client.request(method, path, **options)  # type: ignore[arg-type]

    return ask


class Elements(HTMLParser):
    """The elements of a page: (tag, attributes), and the text of its main heading."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of these tags."""
        return [attributes for tag, attributes in self.found if tag in tags]
