"""Every page: its roles, its policy, its rules of accessibility, and errors in words."""

import re
from itertools import pairwise

import httpx2
import pytest

from search.server.pages.rendering import POLICY, assets
from tests.search.server.pages.conftest import Elements, Visit
from tests.support.api_server import ApiServer

PAGES = (
    "/",
    "/studies",
    "/submit",
    "/classifiers",
    "/jobs/1",
    "/jobs/2",
    "/submit?job=2",
    "/nowhere",
    "/jobs/999",
    "/docs",
)


@pytest.fixture(scope="module")
def pages(study: str) -> tuple[str, ...]:
    return (*PAGES, f"/studies/{study}")


def test_every_page_follows_the_rules_of_accessibility(visit: Visit, pages: tuple[str, ...]) -> None:
    for path in (*pages, "/login"):
        answer = visit(path)
        page, elements = answer.text, Elements(answer.text)
        assert answer.status_code == (404 if path in ("/nowhere", "/jobs/999") else 200), path
        assert page.startswith("<!doctype html>")
        assert elements.named("html") == [{"lang": "en"}]
        assert len(elements.named("h1")) == 1, path
        assert len(elements.named("main")) == 1
        assert re.search(r"<title>[^<]+ – feature search</title>", page)
        ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
        assert len(ids) == len(set(ids)), path
        labels = {attributes.get("for") for attributes in elements.named("label")}
        for attributes in elements.named("input", "select", "textarea"):
            assert attributes.get("type") == "hidden" or attributes["id"] in labels, (path, attributes)
        for attributes in elements.named("progress", "nav"):
            assert attributes["aria-label"]
        for _, attributes in elements.found:
            for name in ("aria-labelledby", "aria-describedby"):
                assert set((attributes.get(name) or "").split()) <= set(ids), (path, attributes)
            assert not [name for name in attributes if name == "style" or name.startswith("on")], path
        levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
        assert all(after <= before + 1 for before, after in pairwise(levels)), (path, levels)
        assert sum(attributes.get("aria-live") == "polite" for _, attributes in elements.found) >= 1


def test_a_page_loads_nothing_from_elsewhere(visit: Visit, pages: tuple[str, ...]) -> None:
    for path in pages:
        answer = visit(path)
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Cache-Control"] == "no-store"
        sources = [a.get("src") or a.get("href") or "" for a in Elements(answer.text).named("link", "script", "img")]
        assert sources
        assert all(source.startswith("/assets/") for source in sources)
    for asset in assets().values():
        answer = visit(asset.address, None)
        assert (answer.status_code, answer.content) == (200, asset.content)
        assert "immutable" in answer.headers["Cache-Control"]
        assert b"http://" not in asset.content.replace(b"http://www.w3.org", b"")
        assert b"https://" not in asset.content
    assert visit("/assets/000000000000/style.css", None).status_code == 404
    icon = visit("/favicon.ico", None)  # a browser asks for it where an answer names no icon
    assert (icon.status_code, icon.headers["Location"]) == (307, assets()["icon.svg"].address)


def test_somebody_unknown_is_led_to_the_login_and_back(served: ApiServer, visit: Visit) -> None:
    answer = visit("/studies?page=2", None)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Fstudies%3Fpage%3D2")
    page = visit(answer.headers["Location"], None)
    assert 'name="next" value="/studies?page=2"' in page.text
    wrong = visit("/login", None, "POST", data={"token": "dfs_wrong", "next": "/studies"})
    assert wrong.status_code == 401
    assert "does not know the token" in wrong.text
    right = visit("/login", None, "POST", data={"token": served.tokens["viewer"], "next": "//evil.example"})
    assert (right.status_code, right.headers["Location"]) == (303, "/")
    cookie = right.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    name, _, value = cookie.partition(";")[0].partition("=")
    with httpx2.Client(base_url=served.url, cookies={name: value}, headers={"Accept": "text/html"}) as browser:
        assert "viewer, viewer" in browser.get("/").text
        assert "/submit" not in browser.get("/").text
        assert browser.post("/logout").status_code == 403  # without Origin, as from a page of another site
        assert browser.post("/logout", headers={"Origin": served.url}).headers["Location"] == "/login"
        assert browser.get("/").status_code == 303


def test_what_a_role_may_not_do_is_said_in_words(visit: Visit, study: str) -> None:
    refused = visit("/submit", "viewer")
    assert refused.status_code == 403
    assert "this needs the role runner, and the token viewer has viewer" in refused.text
    for path in ("/jobs/3/cancel", "/jobs/3/priority", f"/studies/{study}/stop"):
        assert visit(path, "runner", "POST", data={"priority": "-1"}).status_code == 403, path
    assert 'id="cancel-3"' in visit("/jobs/3", "admin").text
    assert 'id="cancel-3"' not in visit("/jobs/3", "runner").text


def test_errors_are_pages_for_people_and_json_for_programs(served: ApiServer, visit: Visit) -> None:
    missing = visit("/studies/none")
    assert missing.status_code == 404
    assert missing.headers["Content-Type"].startswith("text/html")
    assert "there is no study &#39;none&#39;" in missing.text
    with served.client("viewer") as client:
        assert client.get("/studies/none").json()["type"] == "not-found"
    assert visit("/api/v1/studies/none").json()["status"] == 404
    assert visit("/jobs/1/resumed", method="POST").status_code == 422
    assert "there is nothing at &#39;/nowhere&#39;; /docs lists the routes, and / leads" in visit("/nowhere").text
    assert "&#39;/studies&#39; takes GET, got &#39;DELETE&#39;" in visit("/studies", method="DELETE").text


def test_jobs_are_controlled_by_forms(visit: Visit) -> None:
    paused = visit("/jobs/2/pause", "runner", "POST", data={"next": "/"})
    assert (paused.status_code, paused.headers["Location"]) == (303, "/")
    assert 'class="state paused"' in visit("/fragments/jobs/2").text
    assert visit("/jobs/2/resume", "runner", "POST").headers["Location"] == "/jobs/2"
    assert visit("/jobs/2/priority", "runner", "POST", data={"priority": "-5"}).status_code == 303
    assert 'value="-5"' in visit("/jobs/2", "runner").text
    assert visit("/jobs/2/priority", "runner", "POST", data={"priority": "5"}).status_code == 403
    wrong = visit("/jobs/2/priority", "runner", "POST", data={"priority": "high"})
    assert wrong.status_code == 422
    assert "expected a whole number from -1,000,000 to 1,000,000, got &#39;high&#39;" in wrong.text


def test_names_from_the_data_are_escaped(visit: Visit) -> None:
    odd = visit("/studies/%3Cscript%3Ealert(1)").text
    assert "<script>alert" not in odd
    assert "&lt;script&gt;alert(1)" in odd
    form = visit("/submit", "runner", "POST", data={"dataset": "digits", "name": '"><script>x</script>', "trials": "3"})
    assert form.status_code == 422
    assert "<script>x" not in form.text


def test_the_form_shows_errors_beside_fields(visit: Visit) -> None:
    data = {"dataset": "folder", "data_root": "data/none", "trials": "3", "heads": "linear", "seed": "0"}
    wrong = visit("/submit", "runner", "POST", data=data)
    assert wrong.status_code == 422
    assert re.search(r'id="data_root-problem"><code>data_root</code> .*does not exist on this server', wrong.text)
    assert '<a href="#data_root">Images</a>' in wrong.text


def test_the_command_of_a_worker_is_shown_where_none_is_alive(visit: Visit, served: ApiServer) -> None:
    assert f"search worker --home {served.settings.home.folder}" in visit("/").text
