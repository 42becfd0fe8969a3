"""Requests that the server passes on to Optuna Dashboard or refuses, and the reports beside it."""

from collections.abc import Iterable
from typing import Any

import pytest

from dashboards.access import Access, AllowedHosts
from dashboards.server import EVERYWHERE, Application, report_link, serve
from spaces import StorageError, UsageError

Answer = tuple[str, dict[str, str], str]


def dashboard(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [f"dashboard {environ['PATH_INFO']}".encode()]


def reports(study: str) -> str | None:
    if study == "broken":
        raise StorageError("the study database sqlite:///x cannot be used: it is locked")
    return {"birds": "<h1>birds</h1>", "ä /<b>": "<h1>odd</h1>"}.get(study)


OTHERS = Access(AllowedHosts(frozenset({"birds.example"}), loopback=False))


def asked(path: str, access: Access | None = None, method: str = "GET", **headers: str) -> Answer:
    told: list[Any] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "HTTP_HOST": "127.0.0.1:8080"}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    body = Application(dashboard, reports, access or Access())(environ, lambda *answer: told.append(answer))
    ((status, pairs),) = told
    return status, dict(pairs), b"".join(body).decode()


def wsgi(path: str) -> str:
    """Decode a path as a server does."""
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:9000", "[::1]:8080", "localhost", "LocalHost.", "127.0.0.2:80"]
)
def test_names_of_this_machine_are_let_through(host: str) -> None:
    assert asked("/api/studies", host=host) == ("200 OK", dict(EVERYWHERE), "dashboard /api/studies")
    assert asked("/api/studies", OTHERS, host=host)[0] == "403 Forbidden"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:8080", "127.0.0.1.evil.example", "", "10.0.0.1", "[::1", "localhost:80@evil.example"),
        *("localhost.evil.example", "localhost,evil.example", "localhost:", "localhost:80:80", "[::1]x", "0.0.0.0"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/studies", "/static/bundle.js", "/reports/birds", "/login"])
def test_other_names_are_refused_on_every_route(host: str, path: str) -> None:
    for access, accepted in ((Access(), "localhost"), (OTHERS, "birds.example")):
        status, _, page = asked(path, access, host=host)
        assert status == "403 Forbidden"
        assert f"requests to {accepted} only" in page


@pytest.mark.parametrize("host", ["birds.example", "birds.example:8080", "BIRDS.example.:80"])
def test_a_name_that_was_allowed_is_let_through(host: str) -> None:
    assert asked("/api/studies", OTHERS, host=host)[0] == "200 OK"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://{}", "200 OK"),
        ("https://{}", "200 OK"),  # a proxy may encrypt
        ("http://evil.example", "403 Forbidden"),
        ("http://{}.evil.example", "403 Forbidden"),
        ("http://{}@evil.example", "403 Forbidden"),
        ("null", "403 Forbidden"),
        ("", "403 Forbidden"),
    ],
)
@pytest.mark.parametrize(("access", "host"), [(Access(), "127.0.0.1:8080"), (OTHERS, "birds.example")])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PUT"])
def test_pages_of_others_may_not_use_it(method: str, access: Access, host: str, origin: str, status: str) -> None:
    found, _, _ = asked("/api/studies/1", access, method=method, host=host, origin=origin.format(host))
    assert found == status


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT", "PATCH"])
def test_a_write_from_nowhere_is_refused(method: str) -> None:
    status, _, page = asked("/api/studies/1", method=method)
    assert status == "403 Forbidden"
    assert "needs the header Origin: http://127.0.0.1:8080" in page


@pytest.mark.parametrize(("study", "page"), [("birds", "<h1>birds</h1>"), ("ä /<b>", "<h1>odd</h1>")])
def test_a_report_is_where_its_link_says(study: str, page: str) -> None:
    status, headers, body = asked(wsgi(report_link(study)))
    assert (status, body) == ("200 OK", page)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "sandbox allow-scripts" in headers["Content-Security-Policy"]  # of no origin, so the dashboard is deaf to it
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert asked(wsgi(report_link(study)), method="HEAD") == (status, headers, "")


@pytest.mark.parametrize(
    ("path", "method", "status", "words"),
    [
        ("/reports/<script>", "GET", "404 Not Found", "no study &#x27;&lt;script&gt;&#x27; in this database"),
        ("/reports/../etc/passwd", "GET", "404 Not Found", "no study"),
        ("/reports/birds", "POST", "405 Method Not Allowed", "use GET or HEAD"),
        ("/reports/broken", "GET", "503 Service Unavailable", "cannot be used: it is locked"),
    ],
)
def test_what_is_no_report_is_said_in_words(path: str, method: str, status: str, words: str) -> None:
    found, headers, page = asked(path, method=method, origin="http://127.0.0.1:8080")
    assert found == status
    assert words in page
    assert headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_address_which_would_mean_all_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="`host` must name an address"):
        serve(None, host)
