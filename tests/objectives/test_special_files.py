"""Pipes and devices are refused before they are opened: reading them would never end."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from objectives.backbones.checkpoints.adm_settings import read_settings
from objectives.backbones.folders.configuration import read_object
from objectives.backbones.folders.weights import read_checkpoint
from objectives.classifier_file import load
from objectives.datasets.catalog import load_dataset
from objectives.datasets.images import FileImages, decode
from objectives.features.cache.shards import Shard
from spaces import PRESETS, SearchError
from tests.support import small_archives
from tests.support.architectures import SMALL

READERS: dict[str, Callable[[Path], object]] = {
    "image": lambda path: decode(path, str(path)),
    "digest": lambda path: FileImages(path.parent, (path.name,)).digest(0),
    "classifier": load,
    "config.json": read_object,
    "weights": read_checkpoint,
    "space": PRESETS["default"](SMALL).narrow_from_file,
    "ADM settings": read_settings,
    "shard": Shard.open,
}
RULE = "it is a pipe, a socket or a device, not a file"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("device", [False, True])
def test_what_may_never_end_is_refused(tmp_path: Path, reader: str, device: bool) -> None:
    path = Path("/dev/zero") if device else tmp_path / "pipe"
    if not device:
        os.mkfifo(path)
    with pytest.raises(SearchError, match=RULE):
        READERS[reader](path)


@pytest.mark.parametrize(("dataset", "name"), [("csv", "list.csv"), ("huggingface", "train.parquet")])
def test_a_pipe_in_a_folder_of_data_is_refused(tmp_path: Path, dataset: str, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SearchError, match=f"{name}: {RULE}"):
        load_dataset(dataset, tmp_path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("dataset", "name"), [("cifar10", "test_batch"), ("cifar100", "meta"), ("flowers", "setid.mat")]
)
def test_a_pipe_in_place_of_a_published_file_is_refused(tmp_path: Path, dataset: str, name: str) -> None:
    small_archives.cifar(tmp_path, dataset) if dataset.startswith("cifar") else small_archives.FILES[dataset](tmp_path)
    (file,) = tmp_path.rglob(name)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(SearchError, match=name):
        load_dataset(dataset, tmp_path)


def test_a_data_root_that_is_a_pipe_is_said_to_be_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SearchError, match="pipe is neither a file nor a folder; give the folder of dataset 'csv'"):
        load_dataset("csv", tmp_path / "pipe")


def test_an_empty_data_root_is_not_the_current_folder() -> None:
    with pytest.raises(SearchError, match="`data_root` is empty; give the folder"):
        load_dataset("folder", "")
