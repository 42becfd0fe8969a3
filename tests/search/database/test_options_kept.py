"""What a study database keeps of a run's options: enough to fit again from anywhere, nothing that is secret."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from objectives.home import Home
from objectives.probe import ProbeSpec
from search.run import NOT_KEPT, RunOptions, export_command, spec_of

TOLD = RunOptions(
    dataset="folder",
    home=Home(Path("/home")),
    trials=7,
    sampler="random",
    seed=3,
    folds=4,
    shots=5,
    flips=True,
    balanced=True,
    metric="nll",
    cost=True,
    halving=True,
    workers=2,
    precision="bfloat16",
    skip_unreadable=True,
    cache_size=10**9,
    ray_address="me:hushhush@host:1",
    storage="postgresql://me:hushhush@host/db",
    command="search run --storage postgresql://me:hushhush@host/db",
)


def test_what_is_kept_is_json_without_a_password_and_comes_back() -> None:
    text = json.dumps(TOLD.kept())
    assert "hushhush" not in text
    back = RunOptions.of(json.loads(text), TOLD.home)
    assert back == replace(TOLD, ray_address=None, storage=None, command="")
    assert not NOT_KEPT & TOLD.kept().keys()


def test_workers_are_told_every_option_that_a_fit_depends_on(tmp_path: Path) -> None:
    options = replace(TOLD, dataset="digits", home=Home(tmp_path), precision="bfloat16")
    spec, _, _ = spec_of(options)
    shared = {each.name for each in fields(ProbeSpec)} & {each.name for each in fields(RunOptions)} - {"dataset"}
    assert {"balanced", "folds", "halving", "seed"} < shared
    assert {name: getattr(spec, name) for name in shared} == {name: getattr(options, name) for name in shared}


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "search export --study birds --home /home"),
        ({"home": Home.at(None)}, "search export --study birds"),
        (
            {"home": Home.at(None), "storage": "postgresql://me:hushhush@host/db"},
            "search export --study birds --storage 'postgresql+psycopg://me:***@host/db'",
        ),
    ],
    ids=["another home", "the default home", "a database"],
)
def test_a_run_ends_with_what_to_type_for_its_classifier(changes: dict[str, Any], command: str) -> None:
    assert export_command("birds", replace(TOLD, **{"storage": None} | changes)) == command


def test_what_other_versions_kept_is_no_obstacle() -> None:
    kept = TOLD.kept()
    del kept["flips"], kept["cost"]
    back = RunOptions.of({**kept, "sharpness": 3, "storage": "sqlite:///x.db"}, TOLD.home)
    assert (back.seed, back.flips, back.cost, back.storage) == (3, False, False, None)


@pytest.mark.parametrize(
    ("root", "backbone", "kept_root", "kept_backbone"),
    [
        ("images", "net", "{here}/images", "{here}/net"),
        (Path("images"), "bundled", "{here}/images", "bundled"),
        ("owner/name", "owner/model", "owner/name", "owner/model"),
        (None, "adm-256", None, "adm-256"),
    ],
)
def test_places_are_found_from_anywhere_and_names_stay_names(
    root: str | Path | None,
    backbone: str,
    kept_root: str | None,
    kept_backbone: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("images", "net", "bundled"):  # a folder that goes by the name of a known network is not meant by it
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    options = replace(TOLD, data_root=root, backbone=backbone)
    kept = options.kept()
    assert options.absolute().kept() == kept
    assert kept["data_root"] == (kept_root and kept_root.format(here=tmp_path))
    assert kept["backbone"] == kept_backbone.format(here=tmp_path)
