"""Who may use the dashboard: a real server with Optuna Dashboard's own routes, and a real client."""

import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import optuna
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from dashboards.access import Access, is_loopback, needs_token, new_token
from dashboards.server import serve
from spaces import UsageError
from tests.support.served import Served, served

TOKEN = "correct-horse-battery"
ROUTES = (
    "/",
    "/dashboard",
    "/api/studies",
    "/api/meta",
    "/static/bundle.js",
    "/reports/birds",
    "/reports/none",
    "/x",
    "/login",
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[optuna.storages.RDBStorage]:
    path: Path = tmp_path_factory.mktemp("served") / "study.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    for name in ("birds", "cars", "fish", "owls"):
        optuna.create_study(study_name=name, storage=storage)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture(scope="module")
def behind_token(storage: optuna.storages.RDBStorage) -> Iterator[Served]:
    with served(storage, Access.of("0.0.0.0", ["birds.example"], TOKEN), {"birds": "the report"}.get) as server:
        yield server


@pytest.fixture(scope="module")
def local(storage: optuna.storages.RDBStorage) -> Iterator[Served]:
    with served(storage, Access.of("127.0.0.1"), {"birds": "the report"}.get) as server:
        yield server


def names(storage: optuna.storages.RDBStorage) -> set[str]:
    return {study.study_name for study in storage.get_all_studies()}


def study_id(storage: optuna.storages.RDBStorage, name: str) -> int:
    return storage.get_study_id_from_name(name)


def sign_in(server: Served, token: str = TOKEN, path: str = "/dashboard") -> tuple[int, dict[str, str], str]:
    form = f"next={path}&token={token}"
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    return server.ask("/login", "POST", form, Origin=server.origin, **kind)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_nothing_is_answered_without_the_token(behind_token: Served, path: str, method: str) -> None:
    status, headers, page = behind_token.ask(path, method, Origin=behind_token.origin)
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="search dashboard"')
    assert "Set-Cookie" not in headers
    assert "the report" not in page
    assert '<input type="password" name="token"' in page


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer " + TOKEN[:-1]},
        {"Authorization": "Bearer " + TOKEN + "x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic " + TOKEN},
        {"Authorization": "Bearer " + "\xff" * 30},
        {"Cookie": "search-dashboard-{port}="},
        {"Cookie": "search-dashboard-{port}=" + TOKEN},
        {"Cookie": "search-dashboard-{port}=\xe4"},
        {"Cookie": "\x7f=;;="},
        {"Cookie": "token=" + TOKEN},
    ],
)
def test_what_is_not_the_token_is_refused(behind_token: Served, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=behind_token.port) for name, value in headers.items()}
    assert behind_token.ask("/api/studies", **sent)[0] == 401
    assert behind_token.ask(f"/api/studies?token={TOKEN}", **sent)[0] == 401  # it would be in logs


def test_a_browser_gets_a_cookie_for_the_token_and_comes_to_the_page_it_wanted(behind_token: Served) -> None:
    assert (
        'name="next" value="/dashboard/studies/1?a=%22b%22&amp;c=&#x27;"'
        in behind_token.ask("/dashboard/studies/1?a=%22b%22&c='")[2]
    )
    status, headers, page = sign_in(behind_token, path="%2Freports%2Fbirds%3Fa")
    assert (status, headers["Location"], page) == (303, "/reports/birds?a", "")
    assert headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Path=/")
    assert TOKEN not in str(headers)
    (cookie,) = SimpleCookie(headers["Set-Cookie"]).values()
    sent = {"Cookie": f'other={{"a": [1, "b"]}}; =; {cookie.key}=old; {cookie.key}={cookie.value}'}
    assert behind_token.ask("/reports/birds", **sent)[::2] == (200, "the report")
    assert behind_token.ask("/api/studies", **sent)[0] == 200
    assert behind_token.ask("/reports/birds", Cookie=f"{cookie.key}={cookie.value[:-1]}")[0] == 401
    assert behind_token.ask("/reports/birds", Host="evil.example", **sent)[0] == 403


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example", "/\\evil.example", "%0d%0aX: y", "/%0d%0aX:y", "", "javascript:1"],
)
def test_the_page_after_the_token_is_one_of_this_server(behind_token: Served, path: str) -> None:
    status, headers, _ = sign_in(behind_token, path=path)
    assert (status, headers["Location"]) == (303, "/")
    assert "X" not in headers


@pytest.mark.parametrize("token", ["", TOKEN + "x", "%ff", "a" * 9000])
def test_a_wrong_token_gets_no_cookie(behind_token: Served, token: str) -> None:
    status, headers, page = sign_in(behind_token, token)
    assert status == 401
    assert "Set-Cookie" not in headers
    assert "This is not the token" in page


def test_another_site_can_neither_sign_in_nor_use_the_cookie(behind_token: Served) -> None:
    assert behind_token.ask("/login", "POST", f"token={TOKEN}", Origin="http://evil.example")[0] == 403
    assert behind_token.ask("/login", "POST", f"token={TOKEN}")[0] == 403
    cookie = sign_in(behind_token)[1]["Set-Cookie"].partition(";")[0]
    assert behind_token.ask("/api/studies/1", "DELETE", Cookie=cookie, Origin="http://evil.example")[0] == 403
    assert behind_token.ask("/api/studies/1", "DELETE", Cookie=cookie)[0] == 403


def test_deleting_a_study_needs_the_token_and_an_origin(
    behind_token: Served, local: Served, storage: optuna.storages.RDBStorage
) -> None:
    birds, cars, fish = (f"/api/studies/{study_id(storage, name)}" for name in ("birds", "cars", "fish"))
    for server in (behind_token, local):
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
            assert server.ask(birds, "DELETE", **headers)[0] in (401, 403)
    assert names(storage) == {"birds", "cars", "fish", "owls"}
    cookie = sign_in(behind_token)[1]["Set-Cookie"].partition(";")[0]
    assert behind_token.ask(birds, "DELETE", Cookie=cookie, Origin=behind_token.origin)[0] == 204
    assert behind_token.ask(cars, "DELETE", Authorization=f"Bearer {TOKEN}")[0] == 204
    assert local.ask(fish, "DELETE", Origin=local.origin)[0] == 204
    assert names(storage) == {"owls"}


@pytest.mark.parametrize("path", ROUTES)
def test_a_name_that_an_attacker_lets_point_here_reads_nothing(local: Served, path: str) -> None:
    status, _, page = local.ask(path, Host=f"evil.example:{local.port}")
    assert status == 403
    assert "this server accepts requests to localhost only" in page
    assert "name another one with `allowed_host` where it is started" in page


def test_this_machine_needs_no_token(local: Served) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        status, headers, _ = local.ask("/api/studies", Host=f"{host}:{local.port}")
        assert status == 200
        assert headers["X-Frame-Options"] == "DENY"
    assert local.ask("/reports/birds")[::2] == (200, "the report")
    assert local.ask("/login")[0] == 404


def test_each_server_has_a_cookie_of_its_own() -> None:
    one, other = Access.of("0.0.0.0", ["a"], TOKEN), Access.of("0.0.0.0", ["a"], TOKEN)
    environ = {"SERVER_PORT": "8080"}
    cookie = one.cookie(environ)[1].partition(";")[0]
    assert one.knows({**environ, "HTTP_COOKIE": cookie})
    assert not other.knows({**environ, "HTTP_COOKIE": cookie})


def test_the_token_is_not_kept() -> None:
    access = Access.of("0.0.0.0", ["a"], TOKEN)
    assert TOKEN not in f"{vars(access)} {access!r}"
    assert access.session not in repr(access)
    assert access.is_token(TOKEN)


def test_generated_tokens_are_long_and_differ() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[\w-]{43}", token) for token in tokens)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "0:0::1")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "gpu7", "127.1", "2130706433", "localhost.x", "")),
    ],
)
def test_which_addresses_mean_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    assert needs_token(host, ()) == (not loopback)
    assert needs_token(host, ["name"])


@pytest.mark.parametrize(
    ("host", "allowed", "token", "words"),
    [
        ("0.0.0.0", [], TOKEN, "`host` 0.0.0.0 lets others connect: `allowed_host` must give the name"),
        ("gpu7", [], TOKEN, "`allowed_host` must give the name"),
        ("0.0.0.0", ["gpu7"], None, "needs a token, got none"),
        ("127.0.0.1", ["proxy"], None, "needs a token, got none"),
        ("0.0.0.0", ["gpu7"], "short", "the token must have at least 16 characters, .* got 5"),
        ("127.0.0.1", [], "", "at least 16 characters, .* got 0"),
        ("0.0.0.0", ["gpu7"], "sixteen characters", "without spaces"),
        *(
            ("0.0.0.0", [name], TOKEN, "`allowed_host` takes a name")
            for name in ("*", "http://a", "a:80", "a/b", "", "[x]", "a\nb")
        ),
        *((host, ["gpu7"], TOKEN, "`host` must name an address") for host in ("", " ")),
    ],
)
def test_what_is_missing_or_no_name_is_said(host: str, allowed: list[str], token: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        Access.of(host, allowed, token)
    assert token is None or len(token) < 6 or token not in str(error.value)


@pytest.mark.parametrize(
    ("allowed", "host"),
    [("GPU7.example.org.", "gpu7.example.org:80"), ("fe80::1", "[fe80::1]:8080"), ("10.0.0.7", "10.0.0.7")],
)
def test_an_allowed_name_may_be_written_as_people_do(allowed: str, host: str) -> None:
    assert Access.of("0.0.0.0", [allowed], TOKEN).refusal({"HTTP_HOST": host, "REQUEST_METHOD": "GET"}) is None


def test_serving_others_needs_to_be_said() -> None:
    with pytest.raises(UsageError, match=r"`host` 0\.0\.0\.0 lets others connect"):
        serve(None, "0.0.0.0")


def test_a_browser_opens_the_link_with_the_token(storage: optuna.storages.RDBStorage, browser: Any) -> None:
    with served(storage, Access.of("0.0.0.0", ["127.0.0.1"], TOKEN), {"birds": "<h1>the report</h1>"}.get) as server:
        driver, wait = browser.driver, WebDriverWait(browser.driver, 30)
        driver.get(f"{server.origin}/reports/birds")
        field = driver.find_element(By.NAME, "token")
        field.send_keys("not this one, but long", Keys.ENTER)
        wait.until(lambda driver: "This is not the token" in driver.find_element(By.TAG_NAME, "body").text)
        driver.get(f"{server.origin}/reports/birds?a=1")
        driver.get(f"{server.origin}/reports/birds?a=1#{TOKEN}")  # in the tab that asks for the token
        wait.until(lambda driver: driver.find_elements(By.TAG_NAME, "h1"))
        assert driver.current_url == f"{server.origin}/reports/birds?a=1"
        assert TOKEN not in " ".join(browser.requests())
        driver.get(f"{server.origin}/dashboard")  # Optuna Dashboard reads its API with the cookie
        wait.until(lambda driver: "owls" in driver.find_element(By.TAG_NAME, "body").text)
        assert driver.execute_script("return document.cookie") == ""
        assert [entry for entry in browser.complaints() if "401" not in entry] == []
