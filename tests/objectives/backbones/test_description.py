"""Descriptions of backbones that a later process takes from the cache."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from diffusers import DDPMScheduler

from objectives.backbones import description
from objectives.backbones.catalog import describe_backbone, load_backbone
from objectives.backbones.description import Description, Descriptions, FileDigests
from objectives.backbones.reading import Reading
from objectives.downloads import sha256
from spaces import Architecture, Block

ARCHITECTURE = Architecture(
    "small", 32, (Block(1, "conv_in", "encoder", 8, 32, 0.1 + 0.2, 0.3),), (0.1 + 0.7, 1e-17), "v_prediction"
)


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """`settle()` waits until files changed long enough ago; nothing can set a time of change to the past."""
    monkeypatch.setattr(description, "SETTLED_SECONDS", 0.05)
    return lambda: time.sleep(0.1)


@pytest.mark.parametrize("architecture", [ARCHITECTURE, replace(ARCHITECTURE, alphas_cumprod=(), prediction=None)])
def test_a_description_is_read_back_as_it_was_to_the_last_bit(tmp_path: Path, architecture: Architecture) -> None:
    described = Description(architecture, (tmp_path / "unet", tmp_path))
    stored = json.loads(json.dumps(described.to_dict(tmp_path)))
    assert Description.from_dict(stored, tmp_path) == described


def test_a_network_is_described_once_until_its_configuration_changes(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "network"
    shutil.copytree(tiny_folder, folder)
    first = Description(ARCHITECTURE, (folder,))
    calls: list[int] = []

    def describe() -> Description:
        calls.append(1)
        return first

    memory = Descriptions(tmp_path / "memory")
    for _ in range(3):
        assert memory.described("small", folder, Reading(), describe) == first
    assert len(calls) == 1
    memory.described("another name", folder, Reading(), describe)
    memory.described("small", folder, Reading(image_side=32), describe)
    memory.described("small", folder, Reading(prompt="a bird"), describe)
    DDPMScheduler(num_train_timesteps=500).save_pretrained(folder / "scheduler")
    memory.described("small", folder, Reading(), describe)
    assert len(calls) == 5


@pytest.mark.parametrize("content", ["", "null", "[]", '{"architecture": {}}', '{"architecture": [1], "folders": []}'])
def test_a_damaged_description_is_made_again(tiny_folder: Path, tmp_path: Path, content: str) -> None:
    before = describe_backbone(str(tiny_folder), Reading(cache=tmp_path))
    (stored,) = (path for path in (tmp_path / "descriptions").iterdir() if path.name != "weights.json")
    whole = stored.read_text()
    stored.write_text(content)
    (tmp_path / "descriptions/weights.json").write_text(content)
    assert describe_backbone(str(tiny_folder), Reading(cache=tmp_path)) == before
    assert stored.read_text() == whole


def test_a_flipped_bit_in_a_description_or_a_digest_of_weights_changes_nothing(
    tiny_folder: Path, tmp_path: Path, settle: Callable[[], None]
) -> None:
    (tmp_path / "cache").mkdir()
    settle()
    before = describe_backbone(str(tiny_folder), Reading(cache=tmp_path / "cache"))
    for stored in sorted((tmp_path / "cache/descriptions").iterdir()):
        whole = stored.read_bytes()
        for bit in random.Random(0).sample(range(8 * len(whole)), 100):
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            stored.write_bytes(changed)
            assert description._read_json(stored) in (None, json.loads(whole)["content"])
        stored.write_bytes(b"[" * 100_000)
        assert describe_backbone(str(tiny_folder), Reading(cache=tmp_path / "cache")) == before


def test_changed_weights_are_another_digest(tiny_folder: Path, tmp_path: Path, settle: Callable[[], None]) -> None:
    folder = tmp_path / "network"
    shutil.copytree(tiny_folder, folder)
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    (tmp_path / "cache").mkdir()
    settle()
    _, before = describe_backbone(str(folder), Reading(cache=tmp_path / "cache"))
    assert (tmp_path / "cache/descriptions/weights.json").exists()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    _, after = describe_backbone(str(folder), Reading(cache=tmp_path / "cache"))
    assert after == load_backbone(str(folder)).digest != before


def test_the_digest_of_a_file_is_remembered_while_its_size_and_time_stay(
    tmp_path: Path, settle: Callable[[], None]
) -> None:
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"first")
    settle()
    assert FileDigests(memory).sha256(file) == sha256(file)
    (state,) = json.loads(memory.read_text())["content"].values()
    description._write_json(memory, {str(file.resolve()): [*state[:-1], "remembered"]})
    assert FileDigests(memory).sha256(file) == "remembered"
    file.write_bytes(b"other")
    assert FileDigests(memory).sha256(file) == sha256(file)


def test_another_file_of_equal_size_and_time_of_modification_is_digested_again(
    tmp_path: Path, settle: Callable[[], None]
) -> None:
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"first")
    os.utime(file, (1e9, 1e9))
    settle()
    first = FileDigests(memory).sha256(file)
    assert memory.exists()
    file.write_bytes(b"other")
    os.utime(file, (1e9, 1e9))
    assert FileDigests(memory).sha256(file) == sha256(file) != first


def test_the_digest_of_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    file, memory = tmp_path / "weights", tmp_path / "memory.json"
    file.write_bytes(b"first")
    assert FileDigests(memory).sha256(file) == sha256(file)
    assert not memory.exists()


def test_a_cache_folder_that_does_not_exist_is_not_made(tiny_folder: Path, tmp_path: Path) -> None:
    describe_backbone(str(tiny_folder), Reading(cache=tmp_path / "home" / "cache"))
    assert not (tmp_path / "home").exists()


def test_a_cache_that_cannot_be_written_costs_the_memory_alone(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    expected = describe_backbone(str(tiny_folder), Reading(cache=tmp_path / "cache"))
    assert describe_backbone(str(tiny_folder), Reading(cache=tmp_path / "file")) == expected


def test_a_backbone_described_before_is_described_without_the_libraries_of_networks(
    tiny_folder: Path, tmp_path: Path
) -> None:
    describe_backbone(str(tiny_folder), Reading(cache=tmp_path))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import objectives.features.plan, objectives.probing.builder\n"
        "from objectives.backbones.catalog import describe_backbone\n"
        "from objectives.backbones.reading import Reading\n"
        f"describe_backbone({str(tiny_folder)!r}, Reading(cache=Path({str(tmp_path)!r})))\n"
        "print({'torch', 'diffusers', 'transformers'} & sys.modules.keys())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"
