"""Jobs over HTTP: what is refused and in which words, whose jobs a caller controls, and the stream of their events."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from search.client import Client
from search.database.jobs.job_table import JobTable
from search.database.jobs.worker_table import WorkerTable
from search.database.store import Store
from search.options.option import option_info
from search.options.run_options import RunOptions
from search.server.api.models import REFUSED
from spaces import SearchError, UsageError
from tests.support.api_server import ApiServer


def create(served: ApiServer, role: str = "runner", priority: int = 0, **options: Any) -> httpx2.Response:
    content = {"kind": "run", "priority": priority, "options": {"dataset": "digits", **options}}
    return served.ask("POST", "/api/v1/jobs", role, json=content)


def test_the_document_has_all_options_but_those_of_the_server(served: ApiServer) -> None:
    document = served.ask("GET", "/openapi.json", "viewer").json()
    options = document["components"]["schemas"]["SearchOptions"]
    names = {name for name, item in RunOptions.__dataclass_fields__.items() if option_info(item)}
    assert {*options["properties"]} == names - REFUSED
    assert options["additionalProperties"] is False
    assert options["properties"]["trials"]["maximum"] == 2**31 - 1
    assert all(option["description"] for option in options["properties"].values())


def test_a_job_is_created_as_its_owner_and_shown(served: ApiServer) -> None:
    answer = create(served, trials=5, heads=["linear"], data_root="data/birds", dataset="folder")
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert job["owner"] == "runner"
    assert job["state"] == "queued"
    assert job["options"] == {"dataset": "folder", "trials": 5, "heads": ["linear"], "data_root": "data/birds"}
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert served.ask("GET", answer.headers["Location"], "viewer").json() == job
    with Store.open(served.settings.database) as store:
        stored = JobTable(store).job(job["id"]).options
    assert Path(stored["data_root"]).is_absolute()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dataset": "digitz"}, "unknown dataset 'digitz'; did you mean 'digits'?"),
        ({"trials": 0}, "`trials` must be from 1 to 2,147,483,647, got 0"),
        ({"trials": "7"}, "`trials` must be a whole number, got '7'"),
        ({"trals": 7}, "unknown option 'trals'; did you mean 'trials'?"),
        ({"home": "/tmp"}, "unknown option 'home'"),
        ({"storage": "sqlite:///x.db"}, "unknown option 'storage'"),
        ({"ray_address": "10.0.0.1:1"}, "unknown option 'ray_address'"),
        ({"space": "/etc/hosts.toml"}, "unknown space '/etc/hosts.toml'; known: default, paper"),
        ({"backbone": "/etc"}, "`backbone` must be NAME/sub/folder, with the name of a root of this server: data"),
        ({"backbone": "owner/model"}, "`backbone` 'owner/model' names no root of this server, and it takes no hub ids"),
        ({"backbone": "bundle"}, "unknown backbone 'bundle'; did you mean 'bundled'?"),
        ({"blocks": [99]}, "block 99 does not exist for backbone bundled; valid: 1 to 25"),
        ({"folds": 3, "validation_fraction": 0.2}, "with `folds` every image validates"),
        ({"name": "../../x"}, "`name` must be at most 60 letters"),
        ({"name": "\ud800"}, "`name`"),
    ],
)
def test_what_cannot_be_done_is_refused_in_the_words_of_the_command_line(
    served: ApiServer, options: dict[str, Any], words: str
) -> None:
    content = json.dumps({"kind": "run", "options": {"dataset": "digits", **options}})  # spells a lone surrogate
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {served.tokens['runner']}"}
    answer = served.ask("POST", "/api/v1/jobs", headers=headers, content=content)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert words in answer.json()["detail"]


JSON = "application/json"


@pytest.mark.parametrize(
    ("content", "content_type", "words"),
    [
        ("nonsense", JSON, "the body must be JSON, got 'nonsense' at line 1, column 1"),
        ('{"kind": "run",\n "options": {]', JSON, "the body must be JSON, got ']' at line 2, column 14"),
        ('{"kind": "run"', JSON, "the body must be JSON, got its end at line 1, column 15"),
        ("", JSON, "the body is missing; it must be JSON"),
        ("null", JSON, "the body must be a JSON object, got None"),
        ("[]", JSON, "the body must be a JSON object, got []"),
        ("5", JSON, "the body must be a JSON object, got 5"),
        ('"kind"', JSON, "the body must be a JSON object, got 'kind'"),
        ("{}", JSON, "`kind` must be run or recommend, got none"),
        ('{"kind": "dance"}', JSON, "`kind` must be run or recommend, got 'dance'"),
        ('{"kind": 7}', JSON, "`kind` must be run or recommend, got 7"),
        ('{"kind": null}', JSON, "`kind` must be run or recommend, got None"),
        ('{"kind": [{}]}', JSON, "`kind` must be run or recommend, got [{}]"),
        ('{"kind": "run"}', JSON, "`options` is missing"),
        ('{"kind": "run", "options": []}', JSON, "`options` must be a JSON object, got []"),
        ('{"kind": "run", "options": {}}', JSON, "`dataset` is missing"),
        ('{"kind": "run", "options": {"dataset": null}}', JSON, "`dataset` must be text, got None"),
        (
            '{"kind": "run", "options": {"dataset": "digits", "blocks": ["a"]}, "priority": true}',
            JSON,
            "`blocks` must be a whole number, got 'a'; `priority` must be a whole number, got True",
        ),
        (
            '{"kind": "recommend", "options": {"dataset": "digits"}, "limits": {"passes": 0, "budget": 0}}',
            JSON,
            "`passes` must be at least 1, got 0; `budget` must be more than 0.0, got 0",
        ),
        ("{}", "text/plain", "the header Content-Type must be application/json, got text/plain"),
        ("{}", "", "the header Content-Type must be application/json, got none"),
    ],
)
def test_a_body_that_is_no_job_is_refused_with_the_rule_and_what_came(
    served: ApiServer, content: str, content_type: str, words: str
) -> None:
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {served.tokens['runner']}"}
    answer = served.ask("POST", "/api/v1/jobs", headers=headers, content=content)
    unread = words.startswith(("the body must be JSON, ", "the body is missing"))
    assert answer.status_code == (400 if unread else 415 if "Content-Type" in words else 422)
    assert answer.json()["detail"] == words


PATHS = [
    "/etc",
    "data/../..",
    "data/..",
    "../data",
    "data//etc",
    "data/./birds",
    "data/birds/../../..",
    "data\\x",
    "..",
]


@pytest.mark.parametrize("path", [*PATHS, "data/out", "data/birds/deep", "data/loop", "data/x\0y", "data/" + "x" * 300])
def test_no_path_leads_out_of_a_root(served: ApiServer, home: Path, path: str) -> None:
    data = home.parent / "data"
    outside = home.parent / "outside"
    outside.mkdir(exist_ok=True)
    links = {"out": outside, "loop": data / "loop"}
    for name, target in links.items():
        if not (data / name).is_symlink():
            (data / name).symlink_to(target)
    answer = create(served, dataset="folder", data_root=path)
    assert answer.status_code == 422, answer.text
    assert str(home.parent) not in answer.text


def test_a_link_deep_in_a_folder_that_leads_out_is_refused(served: ApiServer, home: Path) -> None:
    folder = home.parent / "data" / "linked" / "train"
    folder.mkdir(parents=True)
    (folder / "cats").symlink_to("/etc")
    answer = create(served, dataset="folder", data_root="data/linked")
    assert answer.status_code == 422
    assert "leads out of its root by a link" in answer.json()["detail"]
    (folder.parent / "birds.csv").write_text("path,label\ntrain/cats/a.png,cat\n")
    answer = create(served, dataset="csv", data_root="data/linked/birds.csv")
    assert "leads out of its root by a link" in answer.json()["detail"]


def test_a_runner_controls_its_own_jobs_and_an_admin_all(served: ApiServer) -> None:
    for action in ("pause", "resume", "cancel"):
        assert served.ask("POST", f"/api/v1/jobs/3/{action}", "runner").status_code == 403
    assert served.ask("POST", "/api/v1/jobs/3/pause", "admin").json()["state"] == "paused"
    assert served.ask("POST", "/api/v1/jobs/2/pause", "runner").json()["state"] == "paused"
    assert served.ask("POST", "/api/v1/jobs/2/resume", "runner").json()["state"] == "queued"
    assert served.ask("POST", "/api/v1/jobs/1/cancel", "runner").status_code == 409


def test_only_an_admin_gives_a_priority_above_0(served: ApiServer) -> None:
    assert create(served, priority=5).status_code == 403
    assert create(served, "admin", priority=5).json()["priority"] == 5
    assert served.ask("PUT", "/api/v1/jobs/2/priority", "runner", json={"priority": 3}).status_code == 403
    assert served.ask("PUT", "/api/v1/jobs/2/priority", "runner", json={"priority": -3}).json()["priority"] == -3


def test_a_recommendation_has_limits_and_no_options_of_a_search(served: ApiServer) -> None:
    content = {"kind": "recommend", "options": {"dataset": "digits"}, "limits": {"passes": 100}}
    assert served.ask("POST", "/api/v1/jobs", "runner", json=content).json()["options"]["passes"] == 100
    content["options"] = {"dataset": "digits", "trials": 3}
    assert served.ask("POST", "/api/v1/jobs", "runner", json=content).status_code == 422


def test_events_come_from_the_queue_to_the_end_and_continue_where_they_were_cut(served: ApiServer) -> None:
    job = create(served, name="followed").json()["id"]
    with Store.open(served.settings.database) as store, Client(served.url, served.tokens["viewer"]) as client:
        jobs, workers = JobTable(store), WorkerTable(store)
        jobs.set_priority(job, 1000)
        stream = client.events(job)
        assert next(stream)[1]["state"] == "queued"
        worker = workers.register(lambda _: ((0,), ()))
        claimed = jobs.claim(worker)
        assert claimed is not None
        assert claimed.id == job
        kind, value = next(stream)
        assert (kind, value["state"], value["worker"]["cores"]) == ("state", "running", [0])
        jobs.append_log(job, worker, "one\ntwo\n")
        assert next(stream) == ("log", {"text": "one\ntwo\n"})
        jobs.record_progress(job, worker, {"stage": "trials", "finished": 1, "trials": 3})
        kind, value = next(stream)
        assert (kind, value["finished"]) == ("progress", 1)
        jobs.append_log(job, worker, "three\n")
        jobs.end(job, worker, "finished")
        rest = list(stream)
        assert ("log", {"text": "three\n"}) in rest
        assert [value["state"] for kind, value in rest if kind == "state"] == ["finished"]
        workers.end(worker)
        assert client.wait(job)["state"] == "finished"

        path, role = f"/api/v1/jobs/{job}/events", "viewer"
        whole = served.ask("GET", path, role)
        assert "data: " in whole.text
        position = [line.removeprefix("id: ") for line in whole.text.splitlines() if line.startswith("id: ")]
        assert served.ask("GET", path, role, headers=_bearer(served, position[-1])).status_code == 204
        cut = served.ask("GET", path, role, headers=_bearer(served, f"8-{position[-1].partition('-')[2]}"))
        assert '{"text": "three\\n"}' in cut.text
        assert "event: state" not in cut.text


def _bearer(served: ApiServer, last: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {served.tokens['viewer']}", "Last-Event-ID": last}


def test_the_log_comes_in_parts(served: ApiServer) -> None:
    with Client(served.url, served.tokens["viewer"]) as client:
        assert client.log(1) == ("", 0)
        assert list(client.logs(1)) == []
        with pytest.raises(SearchError, match="there is no job 999"):
            client.log(999)


def test_the_client_raises_the_errors_of_the_command_line(served: ApiServer) -> None:
    with Client(served.url, served.tokens["runner"]) as client:
        assert "dfs_" not in repr(client)
        assert client.caller() == {"name": "runner", "role": "runner", "open": False}
        with pytest.raises(UsageError, match="unknown dataset 'digitz'"):
            client.submit("digitz")
        with pytest.raises(SearchError, match="needs the role admin"):
            client.stop("digits")
        job = client.submit("digits", trials=2)
        assert client.cancel(job["id"])["state"] == "cancelled"
        assert job["id"] in [listed["id"] for listed in client.jobs(["cancelled"])]
        assert client.recommend("digits", passes=50)["kind"] == "recommend"
    with pytest.raises(SearchError, match="needs a token that it knows"), Client(served.url) as client:
        client.jobs()
    with pytest.raises(SearchError, match="does not answer as `search serve` does"):
        Client("http://127.0.0.1:9").jobs()
    with pytest.raises(UsageError, match="must be a URL"):
        Client("gpu7")
