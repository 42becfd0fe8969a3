"""Hub ids, against a server on this machine that answers as the hub does."""

import subprocess
import sys
from pathlib import Path

import pytest

from objectives.backbones.catalog import load_backbone
from spaces import BackboneError
from tests.support import small_transformers, small_unets
from tests.support.hub import hub_environment, serve_hub


@pytest.mark.parametrize("old", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_hub_id_is_fetched_once_without_its_variants(tmp_path: Path, old: bool) -> None:
    """old: a model published before safetensors."""
    import torch
    from safetensors.torch import load_file

    model = tmp_path / "model"
    small_unets.plain(model)
    weights = model / "unet/diffusion_pytorch_model.safetensors"
    (model / "unet/diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a variant")
    (model / "v1-pruned.safetensors").write_bytes(b"the same once more")
    if old:
        torch.save(load_file(weights), weights.with_suffix(".bin"))
        for file in model.rglob("*.safetensors"):
            file.unlink()
    with serve_hub({"models/nobody/tiny": model}) as (address, served):
        environment = hub_environment(address, tmp_path / "hub")
        lines = (
            "from objectives.backbones.catalog import load_backbone\n"
            "first, again = load_backbone('nobody/tiny'), load_backbone('nobody/tiny')\n"
            "assert first.digest == again.digest\n"
            "print(len(first.architecture.blocks))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", lines], capture_output=True, text=True, env=environment, check=False
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "19"
    suffix = "bin" if old else "safetensors"
    assert sorted(served) == [
        "scheduler/scheduler_config.json", "unet/config.json", f"unet/diffusion_pytorch_model.{suffix}"
    ]  # fmt: skip


def test_a_pipeline_without_subfolders_is_fetched_completely(tmp_path: Path) -> None:
    """google/ddpm-cifar10-32 and google/ddpm-church-256 are two of these."""
    small_unets.plain(tmp_path / "model")
    small_unets.without_subfolders(tmp_path / "model")
    with serve_hub({"models/nobody/tiny": tmp_path / "model"}) as (address, served):
        lines = (
            "from objectives.backbones.catalog import load_backbone\n"
            "architecture = load_backbone('nobody/tiny').architecture\n"
            "print(len(architecture.blocks), architecture.prediction)"
        )
        environment = hub_environment(address, tmp_path / "hub")
        ran = subprocess.run(
            [sys.executable, "-c", lines], capture_output=True, text=True, env=environment, check=False
        )
    assert ran.stdout.strip() == "19 v_prediction", ran.stderr
    assert sorted(served) == [
        "config.json", "diffusion_pytorch_model.safetensors", "model_index.json", "scheduler_config.json"
    ]  # fmt: skip


def test_all_text_encoders_of_a_transformer_are_fetched_without_their_variants(tmp_path: Path) -> None:
    """Stable Diffusion 3 has three, of which the large one is published in shards, also as a variant."""
    model = tmp_path / "model"
    small_transformers.sd3_with_text(model)
    (model / "text_encoder_3/model.fp16-00001-of-00002.safetensors").write_bytes(b"a variant")
    with serve_hub({"models/nobody/tiny": model}) as (address, served):
        lines = (
            "from objectives.backbones.catalog import load_backbone\n"
            "print(len(load_backbone('nobody/tiny').architecture.blocks))"
        )
        environment = hub_environment(address, tmp_path / "hub")
        ran = subprocess.run(
            [sys.executable, "-c", lines], capture_output=True, text=True, env=environment, check=False
        )
    assert ran.stdout.strip() == "3", ran.stderr
    assert {f"text_encoder{part}/model.safetensors" for part in ("", "_2", "_3")} <= {*served}
    assert len(served) == len({*served})
    assert not any("fp16" in file for file in served)


def test_what_can_be_no_hub_id_is_told_in_words() -> None:
    with pytest.raises(
        BackboneError, match="my nets/tiny is no local folder and cannot be fetched from the hub: Repo id"
    ):
        load_backbone("my nets/tiny")
