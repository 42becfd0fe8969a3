"""The gate before all routes: names, other sites, logins, limits and the log."""

import io
import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from objectives.home import Home
from search.database.jobs.job_table import JobTable
from search.database.store import Store
from search.database.tokens import TokenTable
from search.server.access.rates import Rates
from search.server.app import make_app
from search.server.gate import JsonLines, TextLines
from search.server.login import begin_session
from search.server.run import make_server
from search.server.settings import Limits, settings_of
from spaces import UsageError
from tests.support.api_server import ApiServer, api_server

CANCEL = "/api/v1/jobs/3/cancel"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server on the loopback interface without tokens."""
    home = Home.at(tmp_path_factory.mktemp("open"))
    with api_server(settings_of(home), with_tokens=False) as running:
        yield running


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "localhost@x"]
)
def test_other_names_are_refused(open_server: ApiServer, host: str) -> None:
    answer = open_server.ask("GET", "/api/v1/caller", headers={"Host": host})
    assert answer.status_code in (400, 403)
    if answer.status_code == 403:
        assert "`allowed_host`" in answer.json()["detail"]


def test_without_tokens_everybody_on_this_machine_may_do_everything(open_server: ApiServer) -> None:
    assert open_server.ask("GET", "/api/v1/caller").json() == {"name": "local", "role": "admin", "open": True}
    assert open_server.ask("POST", CANCEL).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Authorization": "Basic eDp5"},
    ],
)
def test_pages_of_other_sites_change_nothing(open_server: ApiServer, headers: dict[str, str]) -> None:
    assert open_server.ask("POST", CANCEL, headers=headers).status_code == 403


def test_a_token_ends_the_open_mode_and_its_deletion_the_access(tmp_path: Path) -> None:
    settings = settings_of(Home.at(tmp_path))
    with api_server(settings, with_tokens=False) as running, Store.open(settings.database) as store:
        tokens = TokenTable(store)
        text = tokens.create("anna", "viewer")
        bearer = {"Authorization": f"Bearer {text}"}
        assert _within_2_seconds(running, {}, 401)
        assert running.ask("GET", "/api/v1/caller", headers=bearer).json()["name"] == "anna"
        tokens.create("other", "admin")
        JobTable(store).submit("run", {"dataset": "digits"}, "anna")
        with running.client(headers=bearer) as client, client.stream("GET", "/api/v1/jobs/1/events") as stream:
            parts = stream.iter_text()
            assert "retry" in next(parts)
            tokens.delete("anna")
            assert _within_2_seconds(running, bearer, 401)
            JobTable(store).set_priority(1, -5)  # wakes the stream, which then ends
            assert "cancelled" not in "".join(parts)


def _within_2_seconds(running: ApiServer, headers: dict[str, str], status: int) -> bool:
    for _ in range(20):
        if running.ask("GET", "/api/v1/caller", headers=headers).status_code == status:
            return True
        time.sleep(0.1)
    return False


def test_others_need_a_token_and_a_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`allowed_host` must give the name"):
        settings_of(Home.at(tmp_path), host="0.0.0.0")
    settings = settings_of(Home.at(tmp_path), host="0.0.0.0", allowed_hosts=["gpu7.example.org"])
    assert settings.demands_tokens
    with pytest.raises(UsageError, match="there is no token yet"):
        make_server(settings)


@pytest.mark.parametrize("text", ["x", "=/tmp", "a/b=/tmp", "x=/no/such/folder", "../x=/tmp"])
def test_a_root_has_a_name_and_a_folder(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="`data_root`"):
        settings_of(Home.at(tmp_path), data_roots=[text])


def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belong together"):
        settings_of(Home.at(tmp_path), tls_cert=tmp_path)


def test_too_many_requests_wait(tmp_path: Path) -> None:
    settings = settings_of(Home.at(tmp_path))
    settings = replace(settings, limits=Limits(requests=0.1, burst=5))
    with api_server(settings, with_tokens=False) as running:
        answers = [running.ask("GET", "/healthz") for _ in range(8)]
    assert [answer.status_code for answer in answers[:5]] == [200] * 5
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_wrong_tokens_are_few(tmp_path: Path) -> None:
    with api_server(settings_of(Home.at(tmp_path))) as running:
        bearer = {"Authorization": "Bearer wrong"}
        statuses = [running.ask("GET", "/api/v1/caller", headers=bearer).status_code for _ in range(12)]
        assert statuses[:10] == [401] * 10
        assert statuses[-1] == 429
        assert running.ask("GET", "/healthz").status_code == 200
        assert running.ask("GET", "/api/v1/caller", "viewer").status_code == 200  # others may have the same address


def test_a_bucket_fills_at_its_rate() -> None:
    moment = [0.0]
    rates = Rates(2, 3, lambda: moment[0])
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("b") == 0
    moment[0] = 0.5
    assert rates.take("a") == 0
    assert rates.take("a") == 0.5
    moment[0] = 100
    assert [rates.take("a") for _ in range(4)][-1] == 0.5


def test_a_large_body_is_refused(served: ApiServer) -> None:
    content = b'{"kind": "run", "options": {"dataset": "' + b"x" * 2_000_000 + b'"}}'
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {served.tokens['runner']}"}
    for body in (content, iter([content[:900_000], content[900_000:]])):  # with its length in a header, and without
        answer = served.ask("POST", "/api/v1/jobs", headers=headers, content=body)
        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"] == "the body of this request must have at most 1,000,000 bytes, got more"
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_a_token_that_is_not_known_gets_other_words_than_none(served: ApiServer) -> None:
    wrong = {"Authorization": "Bearer dfs_of-another-server"}
    for path in ("/api/v1/caller", "/optuna/"):
        assert "this needs a token" in served.ask("GET", path).json()["detail"]
        answer = served.ask("GET", path, headers=wrong)
        assert answer.status_code == 401
        assert "does not know the token that was sent" in answer.json()["detail"]
        assert "another-server" not in answer.text


def test_no_answer_and_no_line_of_the_log_has_a_token(served: ApiServer) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("search.server")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    secret = "dfs_secret-of-nobody-0123456789"
    try:
        answers = [
            served.ask("GET", "/api/v1/caller", "viewer"),
            served.ask("GET", "/api/v1/caller", headers={"Authorization": f"Bearer {secret}"}),
            served.ask("GET", f"/api/v1/studies?token={secret}", "viewer"),
            served.ask("GET", "/api/v1/caller", headers={"Cookie": f"{secret}={secret}"}),
            served.ask("GET", "/two%0Alines", "viewer"),
        ]
        ids = [answer.headers["X-Request-Id"] for answer in answers]
        deadline = time.monotonic() + 10  # a line is written after its answer
        while not all(number in stream.getvalue() for number in ids) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        logger.removeHandler(handler)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    lines = [line for line in lines if line["id"] in ids]  # the line of an earlier test's request may come late
    assert [line["id"] for line in lines] == ids
    assert lines[0]["caller"] == "viewer"
    assert lines[0]["status"] == 200
    assert "\n" not in lines[-1]["message"]
    for text in (stream.getvalue(), *(answer.text for answer in answers)):
        assert secret not in text
        assert not any(token in text for token in served.tokens.values())


def test_a_line_of_text_has_the_milliseconds_the_caller_and_the_id_of_its_request() -> None:
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    for caller, shown in (("anna", "anna"), (None, "-")):
        request = {"id": "1f2e3d4c", "seconds": 0.0031, "caller": caller}
        record = logging.makeLogRecord({"levelname": "INFO", "msg": "GET /healthz 200", "request": request})
        assert re.fullmatch(f"{when} INFO GET /healthz 200 3 ms {shown} 1f2e3d4c", TextLines().format(record))
    other = logging.makeLogRecord({"levelname": "WARNING", "msg": "no heartbeat"})
    assert re.fullmatch(f"{when} WARNING no heartbeat", TextLines().format(other))


def test_every_answer_has_the_headers_of_security(served: ApiServer) -> None:
    for path in ("/healthz", "/nothing", "/api/v1/studies", "/optuna/"):
        headers = served.ask("GET", path, "viewer").headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "server" not in headers


def test_viewers_cannot_write_in_optuna_dashboard(served: ApiServer) -> None:
    for role, status in (("viewer", 403), ("runner", 403), ("admin", 404)):
        assert served.ask("DELETE", "/optuna/api/studies/999", role).status_code == status
    page = served.ask("GET", "/optuna/dashboard", "viewer").text
    assert 'src="/optuna/static/bundle.js"' in page
    script = served.ask("GET", "/optuna/static/bundle.js", "viewer").text
    assert 'url_prefix:"/optuna/dashboard"' in script
    assert len(served.ask("GET", "/optuna/api/studies", "viewer").json()["study_summaries"]) == 1


def test_metrics_and_readiness(served: ApiServer) -> None:
    text = served.ask("GET", "/metrics", "viewer").text
    assert 'search_jobs{state="queued"} ' in text
    assert 'search_http_requests_total{method="GET",route="/api/v1/caller",status="200"}' in text
    assert served.ask("GET", "/readyz").json() == {"status": "ok", "database": True, "worker": False}


def test_the_document_is_shown_as_a_page_that_loads_nothing_from_other_hosts(served: ApiServer) -> None:
    answer = served.ask("GET", "/docs", "viewer")
    assert "/api/v1/jobs/{job_id}/events" in answer.text
    assert not re.search(r'(src|href)="(https?:)?//', answer.text)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_tokens_are_kept_as_digests(served: ApiServer) -> None:
    file = Path(str(served.settings.database))
    content = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    for role, text in served.tokens.items():
        assert text.encode() not in content
        assert role.encode() in content


def test_sessions_are_cookies_that_no_script_reads(served: ApiServer) -> None:
    app = make_app(served.settings)
    app.state.service.callers.read()
    scope = {
        "type": "http", "app": app, "method": "POST", "path": "/login", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"origin", b"https://127.0.0.1")], "client": ("127.0.0.1", 1),
    }  # fmt: skip
    response = Response()
    assert begin_session(Request(scope), response, served.tokens["viewer"])
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" in cookie
    assert served.tokens["viewer"] not in cookie
    assert not begin_session(Request(scope), Response(), "dfs_wrong")
    app.state.service.close()
