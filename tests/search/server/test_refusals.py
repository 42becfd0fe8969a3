"""Requests that the web framework refuses before one of our routes: each answer has our words and the request's id."""

import json
import re
import socket
from typing import Any

import pytest

from objectives.home import Home
from tests.support.api_server import ApiServer

JSON = {"Content-Type": "application/json"}
JOBS, CLASSIFY = "/api/v1/jobs", "/api/v1/classifiers/none/classify"


def part(headers: str, boundary: str = "x") -> bytes:
    """Return a form of one part."""
    return f"--{boundary}\r\n{headers}\r\n\r\nhello\r\n--{boundary}--\r\n".encode()


def address(path: str) -> str:
    """Return a path whose parameters name nothing that exists."""
    return path.replace("{job_id}", "999").replace("{study}", "none").replace("{classifier}", "none")


def form(boundary: str = "; boundary=x") -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data{boundary}"}


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "words"),
    [
        (JOBS, JSON, b'{"kind": "\xff"}', 400, r"^the body must be JSON in UTF-8, got the byte 0xff at position 10$"),
        (JOBS, JSON, b"[" * 100_000, 400, r"^the body must be JSON of a few levels, got lists or objects within each"),
        (JOBS, JSON, b"9" * 5000, 400, r"^a whole number in the body must have at most 4,300 digits, got more$"),
        (JOBS, JSON, b"{", 400, r"^the body must be JSON, got its end at line 1, column 2$"),
        (JOBS, JSON, b"", 400, r"^the body is missing; it must be JSON$"),
        (JOBS, JSON, b"{}", 422, r"^`kind` must be run or recommend, got none$"),
        (JOBS, {"Content-Type": "text/csv"}, b"{}", 415, r"^the header Content-Type must be application/json, got te"),
        (JOBS, {}, b"{}", 415, r"^the header Content-Type must be application/json, got none$"),
        (CLASSIFY, JSON, b"{}", 415, r"^the header Content-Type must be multipart/form-data, got application/json$"),
        (CLASSIFY, {}, b"x", 415, r"^the header Content-Type must be multipart/form-data, got none$"),
        (CLASSIFY, {}, b"", 400, r"^the body is missing; it must be a form of multipart/form-data, as `curl -F`"),
        (CLASSIFY, form(), b"--x--\r\n", 422, r"^`images` is missing$"),
        (
            CLASSIFY,
            form(""),
            b"x",
            400,
            r"^the header Content-Type must name the boundary .*, got 'multipart/form-data'",
        ),
        (
            CLASSIFY,
            form(),
            b"hello",
            400,
            r"^the body must be a form of multipart/form-data .*something else at byte 0",
        ),
        (CLASSIFY, form(), part("X-Y: z"), 400, r"^each part of the form must have a name in its header"),
        (
            CLASSIFY,
            form(),
            part('Content-Disposition: form-data; name="images"'),
            422,
            r"^`images` must be a file, as `curl -F images=@FILE` sends it, got 'hello'",
        ),
        ("/submit", form(), part('Content-Disposition: form-data; name="a"; filename="a"'), 400, r"at most 0 files"),
        ("/api/v1/nothing", {}, b"", 404, r"^there is nothing at '/api/v1/nothing'; /docs lists the routes"),
        ("/api/v1/caller", {}, b"", 405, r"^'/api/v1/caller' takes GET, got 'POST'$"),
        ("/api/v1/studies/none", {}, b"", 405, r"^'/api/v1/studies/none' takes DELETE, GET, got 'POST'$"),
    ],
)
def test_a_refusal_says_the_rule_and_what_came(
    served: ApiServer, path: str, headers: dict[str, str], body: bytes, status: int, words: str
) -> None:
    answer = served.ask("POST", path, "runner", headers, content=body)
    check(answer.status_code, dict(answer.headers), answer.json(), status, words)
    assert (answer.json()["title"] == "The request cannot be read") == (status == 400)


def test_all_methods_of_a_path_are_named(served: ApiServer) -> None:
    document = served.ask("GET", "/openapi.json", "viewer").json()
    for path, operations in document["paths"].items():
        answer = served.ask("PATCH", address(path), "admin")
        assert answer.status_code == 405, path
        named = {method.lower() for method in answer.headers["Allow"].split(", ")}
        shared = {"get"} if path == "/api/v1/jobs/plan" else set()  # GET of jobs/{job_id}, which is no number
        assert named == {*operations} | shared, path
        assert f" takes {answer.headers['Allow']}, got 'PATCH'" in answer.json()["detail"]


def test_a_query_parameter_that_a_route_does_not_take_is_refused(served: ApiServer) -> None:
    document, tried = served.ask("GET", "/openapi.json", "viewer").json(), 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/api/v1/"):
                continue
            known = sorted(item["name"] for item in operation.get("parameters", []) if item["in"] == "query")
            answer = served.ask(method.upper(), f"{address(path)}?colour=red", "admin")
            words = f"^unknown query parameter 'colour'; .*known: {', '.join(known) or 'none'}$"
            check(answer.status_code, dict(answer.headers), answer.json(), 422, words)
            for name in known:
                answer = served.ask(method.upper(), f"{address(path)}?{name}=1", "admin")
                assert answer.status_code != 422 or "query parameter" not in answer.json()["detail"]
            tried += 1
    assert tried > 25
    misspelled = served.ask("POST", "/api/v1/studies/none/stop?nwo=true", "admin")
    assert misspelled.json()["detail"] == "unknown query parameter 'nwo'; did you mean 'now'? known: now"
    assert served.ask("POST", "/api/v1/studies/none/stop?nwo=true", "viewer").status_code == 403
    assert served.ask("GET", "/api/v1/jobs?colour=red").status_code == 401
    assert served.ask("GET", "/studies?colour=red", "viewer").status_code == 200
    assert served.ask("GET", "/healthz?colour=red").status_code == 200


@pytest.mark.parametrize(("route", "known"), [("export", "backbone, data_root"), ("settings", "finals, settings")])
def test_unknown_fields_are_answered_with_the_list_of_the_route(
    served: ApiServer, study: str, route: str, known: str
) -> None:
    content = {"kind": "run", "options": {}} | ({"settings": [{"block": 5}]} if route == "settings" else {})
    answer = served.ask("POST", f"/api/v1/studies/{study}/{route}", "runner", json=content)
    words = rf"^unknown field 'kind'; unknown field 'options'; (did you mean '\w+'\? )?known: {known}$"
    check(answer.status_code, dict(answer.headers), answer.json(), 422, words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"kind": "run", "options": {}, "limits": {}}, "field 'limits'; known: kind, options, priority"),
        ({"kind": "recommend", "options": {}, "limit": 1}, "field 'limit'; .*known: kind, limits, options, priority"),
        ({"kind": "recommend", "options": {}, "limits": {"time": 1}}, "field 'time'; .*known: budget, memory, passes"),
        ({"kind": "recommend", "options": {"trial": 3}}, "option 'trial'; .*known: (?!.*trials).*"),
        ({"kind": "run", "options": {"trial": 3}}, "option 'trial'; did you mean 'trials'. known: .*"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_field_of_a_job_is_answered_with_the_fields_of_its_object(
    served: ApiServer, content: dict[str, Any], words: str
) -> None:
    content["options"].setdefault("dataset", "digits")
    answer = served.ask("POST", "/api/v1/jobs", "runner", json=content)
    check(answer.status_code, dict(answer.headers), answer.json(), 422, f"^unknown {words}$")


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ("lines=1-2", 400, r"^the header Range must be bytes=FIRST-LAST, got 'lines=1-2'; leave it out"),
        (
            "bytes=900-",
            416,
            r"^the header Range must be bytes=FIRST-LAST, and the file has 100 bytes, got 'bytes=900-'",
        ),
    ],
)
def test_a_range_that_a_file_does_not_have_is_refused(served: ApiServer, given: str, status: int, words: str) -> None:
    folder = Home.at(served.settings.home.folder).classifiers
    folder.mkdir(exist_ok=True)
    (folder / "hundred.safetensors").write_bytes(b"x" * 100)
    answer = served.ask("GET", "/api/v1/classifiers/hundred/file", "viewer", {"Range": given})
    check(answer.status_code, dict(answer.headers), answer.json(), status, words)


@pytest.mark.parametrize(
    "lines",
    [
        "hello\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n",
        "GET /healthz HTTP/1.1\r\nno header\r\n",
        "GET /healthz HTTP/1.1\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_same_form(served: ApiServer, lines: str) -> None:
    with socket.create_connection(("127.0.0.1", served.settings.port), timeout=20) as client:
        client.sendall(f"{lines}\r\n".encode())
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    head, _, body = received.decode().partition("\r\n\r\n")
    first, *others = head.split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in others)}
    assert first == "HTTP/1.1 400 Bad Request"
    assert (int(headers["content-length"]), headers["connection"]) == (len(body), "close")
    check(400, headers, json.loads(body), 400, r"^a request must follow HTTP/1\.1, got one that does not: \w")


def check(status: int, headers: dict[str, str], problem: dict[str, Any], expected: int, words: str) -> None:
    """Check the form of an answer, and that its detail begins with these words."""
    assert status == problem["status"] == expected, problem
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert re.search(words, problem["detail"]), problem["detail"]
