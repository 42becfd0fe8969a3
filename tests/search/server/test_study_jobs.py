"""The plan of a search, the classifier of a study, and settings to try in it, over HTTP."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from objectives.classifier import Classifier
from objectives.home import Home
from search.client import Client
from search.database.records import RunRecord
from search.database.store import Store
from search.prepare import options_of_study
from search.server.content.planning import search_plan
from search.server.settings import settings_of
from spaces import SearchError, UsageError
from tests.support.api_server import ApiServer, api_server

TWO_TAPS = {"block": 9, "timestep": "20", "block 2": 14, "timestep 2": 300, "pool": 1, "head": "linear"}
"""A setting of the space of `finished_search`; a value may be text."""


@pytest.fixture(scope="module")
def finished(finished_search: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server whose home has the study of a small search."""
    home = Path(shutil.copytree(finished_search / "home", tmp_path_factory.mktemp("study jobs") / "home"))
    with api_server(settings_of(Home.at(home))) as served:
        yield served


@pytest.fixture
def client(finished: ApiServer) -> Iterator[Client]:
    with Client(finished.url, finished.tokens["runner"]) as opened:
        yield opened


@pytest.fixture
def name(client: Client) -> str:
    """The name of the study."""
    name: str = client.studies()[0]["study"]
    return name


def test_a_run_that_works_on_a_study_gets_the_settings(client: Client, finished: ApiServer, name: str) -> None:
    with Store.open(finished.settings.database) as store:
        run = store.begin_run(name, RunRecord(workers=1, command="search run", versions={}))
        answer = client.try_settings(name, [TWO_TAPS, TWO_TAPS])
        assert answer["job"] is None
        assert [record["state"] for record in answer["tried"]] == ["waiting", "waiting"]
        assert answer["tried"][0]["words"] == "is not tried yet"
        assert store.read_study(name).waiting == 1
        store.end_run(run, "interrupted")


def test_a_worker_exports_a_classifier_and_tries_settings(
    client: Client, finished: ApiServer, finished_search: Path, name: str, tmp_path: Path
) -> None:
    before = client.study(name)["trials"]["complete"]
    with finished.client("runner", headers={"Accept": "text/html", "Origin": finished.url}) as browser:
        assert "Let a worker export it<" in browser.get(f"/studies/{name}").text
        sent = browser.post(f"/studies/{name}/export")
        assert sent.status_code == 303
        export = client.job(int(sent.headers["Location"].removeprefix("/jobs/")))
        assert (export["kind"], export["study"], export["options"], export["owner"]) == ("export", name, {}, "runner")
        answer = client.try_settings(name, [TWO_TAPS])
        (text,) = answer["job"]["options"]["settings"]
        assert {"block=9", "block 2=14", "timestep 2=300", "draws=2", "head=linear"} <= set(text.split(","))
        words = [sys.executable, "-m", "search", "worker", "--once", "--home", str(finished.settings.home.folder)]
        subprocess.run([*words, "--cores", "1"], check=True, capture_output=True, timeout=300)

        assert client.wait(export["id"])["result"]["classifier"] == name
        assert [record["name"] for record in client.classifiers()] == [name]
        file = client.download_classifier(name, tmp_path / "copy.safetensors")
        images = sorted((finished_search / "digits" / "test").rglob("*.png"))[:2]
        classes = [image["classes"][0]["class"] for image in client.classify(name, images)]
        assert classes == list(Classifier.load(file).predict(images))
        page = browser.get(f"/jobs/{export['id']}").text
        assert f'<a href="/classifiers/{name}">Classifier</a>' in page
        assert "the export of a classifier" in page
        assert "/submit?job=" not in page
        assert "Let a worker export it again<" in browser.get(f"/studies/{name}").text

    (tried,) = client.wait(answer["job"]["id"])["result"]["tried"]
    assert tried["state"] == "complete"
    assert 0.2 < tried["interval"][0] < tried["validation"] < tried["interval"][1] <= 1
    assert client.study(name)["trials"]["complete"] == before + 1
    again = client.try_settings(name, [TWO_TAPS])
    assert (again["job"], again["tried"]) == (None, [tried])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"settings": []}, "`settings` must be a list of at least 1, got []"),
        ({"settings": [7]}, "`settings` must be a JSON object, got 7"),
        ({"settings": [{"block": [9]}]}, "`settings` must be names and values such as block and 19, each a number or"),
        ({"settings": [{"block": "9" * 101}]}, "`settings` must be names and values"),
        ({"settings": [{"block": True}]}, "`settings` must be names and values"),
        ({"settings": [TWO_TAPS | {"block": 10**400}]}, "is not in the space; valid: 9, 14"),
        ({"settings": [{}]}, "taps 1 is not in the space; valid: 2"),
        ({"settings": [TWO_TAPS | {"colour": 3}]}, "a setting has no colour; it has "),
        ({"settings": [TWO_TAPS | {"block": 10}]}, "block 10 is not in the space; valid: 9, 14"),
        (
            {"settings": [TWO_TAPS], "final": True},
            "unknown field 'final'; did you mean 'finals'? known: finals, settin",
        ),
        ({}, "`settings` is missing"),
    ],
)
def test_settings_that_cannot_be_tried_are_refused_in_words(
    finished: ApiServer, name: str, content: dict[str, Any], words: str
) -> None:
    answer = finished.ask("POST", f"/api/v1/studies/{name}/settings", "runner", json=content)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]


def test_what_a_study_cannot_do_is_said_and_queues_nothing(served: ApiServer, study: str) -> None:
    jobs = len(served.ask("GET", "/api/v1/jobs", "viewer").json())
    for path, content in ((f"{study}/export", None), (f"{study}/settings", {"settings": [{"block": 5}]})):
        assert served.ask("POST", f"/api/v1/studies/{path}", "viewer", json=content).status_code == 403
    old = served.ask("POST", f"/api/v1/studies/{study}/export", "runner")
    assert old.status_code == 409
    assert "was made before runs kept their options" in old.json()["detail"]
    for places, words in (
        ({"data_root": "/etc"}, "`data_root` must be NAME/sub/folder, with the name of a root of this server: data"),
        ({"data_root": "data/.."}, "without .."),
        ({"backbone": "owner/model"}, "takes no hub ids"),
        ({"home": "/tmp"}, "unknown field 'home'; known: backbone, data_root"),
        ({"data_root": 7}, "`data_root` must be text, got 7"),
    ):
        refused = served.ask("POST", f"/api/v1/studies/{study}/export", "runner", json=places)
        assert refused.status_code == 422, refused.text
        assert words in refused.json()["detail"]
    assert served.ask("POST", "/api/v1/studies/none/export", "runner").status_code == 404
    assert len(served.ask("GET", "/api/v1/jobs", "viewer").json()) == jobs


def test_the_plan_of_a_finished_search_says_that_nothing_is_missing(finished: ApiServer, name: str) -> None:
    with Store.open(finished.settings.database, reading=True) as store:
        study, saved = store.read_study(name), store.saved_options(name)
    options = replace(options_of_study(study, saved, finished.settings.home), trials=study.finished)
    plan = search_plan(options)
    assert (plan.study, plan.finished) == (name, study.finished)
    assert (plan.passes, plan.cached, plan.bytes, plan.seconds) == (0, 0, 0, 0.0)
    assert (plan.facts["passes"], plan.facts["time"]) == (["none"], ["none"])
    (settings,) = plan.facts["settings"]
    assert settings.endswith(
        f"of which none is tried now: the study has {study.finished} finished trials already; a larger number of "
        "trials tries more"
    )
    more = search_plan(replace(options, trials=study.finished + 1))
    assert more.passes > 0
    assert more.seconds > 0
    assert more.facts["settings"][0].endswith(f"of which {study.finished + 1} are tried")


def test_the_plan_of_a_study_without_all_finals_has_their_passes(finished: ApiServer, name: str) -> None:
    with Store.open(finished.settings.database, reading=True) as store:
        study, saved = store.read_study(name), store.saved_options(name)
    options = options_of_study(study, saved, finished.settings.home)
    plan = search_plan(replace(options, trials=study.finished, final_seeds=options.rounds + 1))
    assert plan.passes > 0
    assert plan.seconds > 0
    assert "none is tried now" in plan.facts["settings"][0]


def test_a_search_is_planned_and_not_queued(served: ApiServer) -> None:
    with Client(served.url, served.tokens["runner"]) as client:
        jobs = len(client.jobs())
        plan = client.plan("digits", trials=7, blocks=[14], timesteps=[20, 90])
        assert (plan["finished"], plan["images"], plan["classes"], plan["trials"]) == (None, 1797, 10, 7)
        assert plan["passes"] == 2 * 1437 + 360, "of each training image at two timesteps, of each test image at one"
        assert plan["cached"] == 0
        assert plan["bytes"] > 0
        assert plan["seconds"] > 0
        assert plan["cores"] >= 1
        assert plan["facts"]["study"] == [f"{plan['study']}, a new one"]
        assert sum(plan["counts"].values()) >= 1797
        with pytest.raises(UsageError, match="unknown dataset 'digitz'"):
            client.plan("digitz")
        with pytest.raises(UsageError, match="expected one folder of images for each class"):
            client.plan("folder", data_root="data/birds")
        assert len(client.jobs()) == jobs
    with (
        Client(served.url, served.tokens["viewer"]) as client,
        pytest.raises(SearchError, match="this needs the role runner"),
    ):
        client.plan("digits")
