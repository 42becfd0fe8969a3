"""Files of weights that are damaged, missing, or not those of the network."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from objectives.backbones.catalog import describe_backbone, load_backbone
from objectives.backbones.folders.weights import read_checkpoint
from objectives.backbones.reading import Reading
from spaces import BackboneError
from tests.support.network_changes import (
    UNET_WEIGHTS,
    Change,
    content,
    dangling,
    entries,
    removed,
    renamed,
    sharded,
    stored_as_bin,
)


def prefixed(folder: Path) -> None:
    tensors = load_file(folder / UNET_WEIGHTS)
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / UNET_WEIGHTS)


def index_that_lists_less(folder: Path) -> None:
    listed = sharded(folder / UNET_WEIGHTS)
    listed.pop("conv_in.bias")
    index = {"metadata": {}, "weight_map": listed}
    (folder / f"{UNET_WEIGHTS}.index.json").write_text(json.dumps(index))


FILES: list[tuple[str, Change, str]] = [
    (
        "unet",
        content(UNET_WEIGHTS, b"version https://git-lfs.github.com/spec/v1\n"),
        "is a pointer of Git LFS .*git lfs pull",
    ),
    ("unet", content(UNET_WEIGHTS, b""), "safetensors is empty; fetch it again"),
    ("unet", content(UNET_WEIGHTS, b"PK\3\4"), "safetensors is damaged: .*; fetch it again"),
    ("unet", dangling(UNET_WEIGHTS), "is a link to a file that does not exist"),
    (
        "unet",
        removed(UNET_WEIGHTS),
        r"unet has no weights: it needs diffusion_pytorch_model\.safetensors, or the shards",
    ),
    ("vit", removed("model.safetensors"), r"has no weights: it needs model\.safetensors, or the shards"),
    (
        "unet",
        renamed(UNET_WEIGHTS, "diffusion_pytorch_model.fp16.safetensors"),
        r"rename it to diffusion_pytorch_model\.saf",
    ),
    ("vit", renamed("model.safetensors", "model.fp16.safetensors"), r"rename it to model\.safetensors"),
    (
        "clip",
        removed("model.safetensors.index.json"),
        r"it has shards such as model-00001-of-.* and no model\.safetensors\.in",
    ),
    (
        "clip",
        removed("model-00001-of-00004.safetensors"),
        r"lists the shard model-00001-of-.*, which is missing; fetch it too",
    ),
    ("clip", content("model.safetensors.index.json", b"[]"), r"must hold a JSON object, \{…\}, got a list"),
    ("clip", content("model.safetensors.index.json", b"{}"), "must have metadata and a weight_map"),
    ("clip", entries("model.safetensors.index.json", weight_map={"a": "../a.safetensors"}), "must be a file beside it"),
    ("clip", entries("model.safetensors.index.json", weight_map={}), "lists no shards"),
    ("unet", index_that_lists_less, "is not the shard that .* lists: it also has conv_in.bias"),
]
"""(network, change, refusal) of files that are refused before a search begins."""

TENSORS: list[tuple[str, Change, str]] = [
    ("unet", prefixed, "268 missing .*; all names in the file begin with 'module.', so save it without this prefix"),
    (
        "unet",
        entries("unet/config.json", layers_per_block=1),
        r"86 not the network's \(down_blocks\.0\.resnets\.1\.conv1\.bias, ",
    ),
    (
        "vit",
        entries("config.json", num_hidden_layers=1),
        r"16 not the network's \(vit\.layers\.1\.attention\.k_proj\.bias, ",
    ),
    (
        "resnet",
        entries("config.json", depths=[1, 1]),
        r"15 not the network's \(resnet\.encoder\.stages\.1\.layers\.1\.",
    ),
    ("text", entries("text_encoder/config.json", num_hidden_layers=1), r"16 not the network's \(encoder\.layers\.1\."),
]


@pytest.mark.parametrize(("name", "change", "refusal"), [*FILES, *TENSORS])
def test_weights_that_are_not_the_networks_are_refused_in_one_line(
    name: str, change: Change, refusal: str, changed: Callable[[str, Change], Path]
) -> None:
    with pytest.raises(BackboneError, match=refusal) as error:
        load_backbone(str(changed(name, change)))
    assert str(error.value).isprintable()


@pytest.mark.parametrize(("name", "change", "refusal"), FILES)
def test_damaged_files_are_refused_before_a_search_begins(
    name: str, change: Change, refusal: str, changed: Callable[[str, Change], Path], tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=refusal):
        describe_backbone(str(changed(name, change)), Reading(cache=tmp_path))


def bin_shard_that_lacks_a_tensor(folder: Path) -> None:
    listed = sharded(folder / UNET_WEIGHTS, ".bin")
    shard = (folder / UNET_WEIGHTS).with_name(listed["conv_in.bias"])
    tensors = torch.load(shard, weights_only=True)
    del tensors["conv_in.bias"]
    torch.save(tensors, shard)


def numbers_in_a_bin_file(folder: Path) -> None:
    stored_as_bin(folder)
    file = (folder / UNET_WEIGHTS).with_suffix(".bin")
    torch.save(torch.load(file, weights_only=True) | {"epoch": 3}, file)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (bin_shard_that_lacks_a_tensor, "is not the shard that .* lists: it lacks conv_in.bias"),
        (numbers_in_a_bin_file, "is no state dict"),
    ],
)
def test_bin_files_are_compared_when_they_are_loaded(
    change: Change, refusal: str, changed: Callable[[str, Change], Path]
) -> None:
    with pytest.raises(BackboneError, match=refusal):
        load_backbone(str(changed("unet", change)))


@pytest.mark.parametrize("change", [dangling("unet/other.json"), lambda folder: (folder / "unet/x.bin").mkdir()])
def test_a_file_that_cannot_be_digested_is_named(
    change: Change, changed: Callable[[str, Change], Path], tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=r"is a link to a file that does not exist|cannot be read: Is a directory"):
        describe_backbone(str(changed("unet", change)), Reading(cache=tmp_path))


def test_weights_too_large_for_float16_are_refused(changed: Callable[[str, Change], Path]) -> None:
    def enlarge(folder: Path) -> None:
        tensors = load_file(folder / UNET_WEIGHTS)
        tensors["conv_in.weight"][0] = 1e5
        save_file(tensors, folder / UNET_WEIGHTS, metadata={"format": "pt"})

    folder = str(changed("unet", enlarge))
    load_backbone(folder, Reading(precision="bfloat16"))
    with pytest.raises(BackboneError, match="too large for float16; use bfloat16"):
        load_backbone(folder, Reading(precision="float16"))


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "stored.bin")
    assert read_checkpoint(tmp_path / "stored.bin").keys() == {"weight"}
    with (
        zipfile.ZipFile(tmp_path / "stored.bin") as stored,
        zipfile.ZipFile(tmp_path / "packed.bin", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in stored.namelist():
            packed.writestr(entry, stored.read(entry))
    with pytest.raises(BackboneError, match=r"packed\.bin cannot be read as a checkpoint: it is compressed"):
        read_checkpoint(tmp_path / "packed.bin")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["x.json", "x.bin"])
def test_a_pipe_in_the_folder_is_named(name: str, changed: Callable[[str, Change], Path], tmp_path: Path) -> None:
    folder = changed("unet", lambda folder: os.mkfifo(folder / "unet" / name))
    with pytest.raises(BackboneError, match=rf"{name} cannot be read: it is a pipe, a socket or a device"):
        describe_backbone(str(folder), Reading(cache=tmp_path))
