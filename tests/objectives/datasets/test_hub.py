"""Hub ids of datasets, against a server on this machine that answers as the hub does."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from objectives.datasets.layouts import read_huggingface
from objectives.downloads import is_hub_id
from tests.support.hub import hub_environment, serve_hub
from tests.support.small_archives import huggingface_table

LOAD = """
import json, sys
from objectives.datasets.catalog import load_dataset
from spaces import DatasetError

def outcome(root):
    try:
        return load_dataset("huggingface", root).fingerprint
    except DatasetError as error:
        return str(error)

print(json.dumps([outcome(root) for root in sys.argv[1:]]))
"""


def load(address: str, cache: Path, *roots: str) -> list[str]:
    """Load datasets in a process whose hub is at `address`. Return the fingerprint or the error message of each."""
    command = [sys.executable, "-c", LOAD, *roots]
    environment = hub_environment(address, cache)
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    outcomes: list[str] = json.loads(ran.stdout)
    return outcomes


def repository(folder: Path, files: Iterable[str]) -> Path:
    """Write a repository with these Parquet files, of two pictures each, and other files."""
    for i, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(huggingface_table(2 * i, 2), folder / name)
    (folder / "README.md").write_text("a card", encoding="utf-8")
    return folder


ONE_CONFIGURATION = {
    "top": ["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"],
    "data": ["data/train-00000-of-00002-3f5c.parquet", "data/train-00001-of-00002-a9.parquet", "data/test-0.parquet"],
    "named": ["plain_text/train-00000-of-00001.parquet", "plain_text/validation-00000-of-00001.parquet"],
    "converted": ["default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet"],
    "words": ["data/train-00000-of-00001.parquet", "data/dev-00000-of-00001.parquet", "data/eval-0.parquet"],
    "brackets": ["all [v2]/train.parquet", "all [v2]/test.parquet"],
}
OTHERS = ["other/notes.parquet", "extra/test-00000-of-00001.parquet", ".cache/train-00000-of-00001.parquet"]


def test_the_parquet_files_of_one_configuration_are_fetched_once(tmp_path: Path) -> None:
    folders = {name: repository(tmp_path / name, [*files, *OTHERS]) for name, files in ONE_CONFIGURATION.items()}
    cache, ids = tmp_path / "hub", [f"nobody/{name}" for name in folders]
    with serve_hub({f"datasets/nobody/{name}": folder for name, folder in folders.items()}) as (address, served):
        outcomes = load(address, cache, *ids)
        assert sorted(served) == sorted(file for files in ONE_CONFIGURATION.values() for file in files)
        assert load(address, cache, *ids) == outcomes
        assert len(served) == sum(map(len, ONE_CONFIGURATION.values()))
    assert outcomes == [read_huggingface(folder).fingerprint for folder in folders.values()]


def test_hub_files_outside_the_splits_are_named(tmp_path: Path) -> None:
    folder = repository(tmp_path / "data", [*ONE_CONFIGURATION["data"], "data/extra-0.parquet"])
    with serve_hub({"datasets/nobody/data": folder}) as (address, served):
        command = [sys.executable, "-m", "search", "datasets", "check", "huggingface", "--data-root", "nobody/data"]
        environment = hub_environment(address, tmp_path / "hub")
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "left out: 1 Parquet file outside the splits train, validation and test: data/extra-0.parquet" in ran.stdout
    assert "data/extra-0.parquet" not in served


def test_fetched_files_are_read_while_the_hub_is_unreachable(tmp_path: Path) -> None:
    folder = repository(tmp_path / "data", ONE_CONFIGURATION["data"])
    with serve_hub({"datasets/nobody/data": folder}) as (address, _):
        outcomes = load(address, tmp_path / "hub", "nobody/data")
    away, never = load(address, tmp_path / "hub", "nobody/data", "nobody/never")
    assert [away] == outcomes == [read_huggingface(folder).fingerprint]
    assert "dataset nobody/never is no local folder and cannot be fetched from the hub: " in never
    assert "\n" not in never


def test_an_error_of_the_hub_is_one_line(tmp_path: Path) -> None:
    several = [f"{name}/train-00000-of-00001.parquet" for name in ("full", "small")]
    folders = {
        "datasets/nobody/several": repository(tmp_path / "several", [*several, *OTHERS]),
        "datasets/nobody/pictures": repository(tmp_path / "pictures", OTHERS),
    }
    wanted = {
        "nobody/several": "has several configurations, full, small: fetch one, as by `hf download nobody/several "
        "--repo-type dataset --include 'full/*' --local-dir DIR`, and give DIR as `data_root`",
        "nobody/pictures": "has no Parquet files of a split train on the hub, but .cache/train-00000-of-00001.parquet",
        "nobody/absent": "nobody/absent is no local folder, and the hub has no such dataset: correct the name",
        "nobody/bad name": "nobody/bad name is no local folder, and the hub has no such dataset",
        "nobody/gated": "accept its terms: do so at https://huggingface.co/datasets/nobody/gated, then type `hf auth",
        "./nobody/several": "`data_root` ./nobody/several does not exist; give the folder",
        "several/data/train": "`data_root` several/data/train does not exist",
    }
    with serve_hub(folders) as (address, served):
        outcomes = load(address, tmp_path / "hub", *wanted)
    for line, words in zip(outcomes, wanted.values(), strict=True):
        assert words in line
        assert "\n" not in line
    assert not served


def test_a_folder_has_priority_over_a_known_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "nobody/data", ONE_CONFIGURATION["data"])
    monkeypatch.chdir(tmp_path)
    shutil.copytree("nobody/data", "copy")
    with serve_hub({}) as (address, _):
        (fingerprint,) = load(address, tmp_path / "hub", "nobody/data")
    assert fingerprint == read_huggingface(tmp_path / "copy").fingerprint


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("owner/name", True), ("a-b/c.d_1", True), ("name", False), ("a/b/c", False), ("/name", False),
        ("name/", False), ("./name", False), ("../name", False), ("~/name", False), ("", False), ("/", False),
    ],
)  # fmt: skip
def test_hub_ids_are_told_from_paths(text: str, yes: bool) -> None:
    assert is_hub_id(text) == yes
