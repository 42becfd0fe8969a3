"""Evaluates a U-Net as a denoiser and as a source of features, for a model card.

    python scripts/evaluate_unet.py --backbone bundled --images SHEETS --dataset cub --data-root DIR --out FILE.json

Denoising: the epsilon error by noise level on held-out photographs, compared with predicting zero (error 1.0) and with
the best multiple of the noisy image. Features: the test accuracy of the linear probe with the best validation accuracy
over block × timestep × pool, for the trained weights, for random weights in the same network, and for raw pixels.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from train_unet import HELD_OUT, read_tiles, to_model_range

from objectives.backbones.catalog import describe_backbone, load_backbone
from objectives.backbones.pipeline.schedule import add_noise
from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.catalog import Dataset, load_dataset
from objectives.datasets.images import square_pixels
from objectives.datasets.splits import split
from objectives.features.noise import noise_for
from objectives.features.pooling import pool
from objectives.heads.catalog import head_named
from objectives.heads.head import Fit, LabelledFeatures, accuracy
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import Accuracy, Evaluation, Final
from spaces import PRESETS, Setting

ROWS = ("trained", "random", "pixels")
LOG_SNRS = (8, 6, 4, 2, 0, -2, -4, -6, -8)


def denoising(backbone: TappedBackbone, images: torch.Tensor) -> list[dict[str, float]]:
    """Measure the mean squared epsilon error of the network and of the best multiple of the noisy image.

    Returns one row for each noise level.
    A predicted velocity v = sqrt(a) eps - sqrt(1 - a) x gives eps = sqrt(a) v + sqrt(1 - a) noisy.
    """
    architecture, rows = backbone.architecture, []
    for timestep in dict.fromkeys(architecture.timestep_at(math.exp(-log_snr / 2)) for log_snr in LOG_SNRS):
        alpha = architecture.alphas_cumprod[timestep]
        noise = noise_for([str(i) for i in range(len(images))], 0, timestep, 0, tuple(images.shape[1:]))
        noisy = add_noise(images, noise, alpha)
        scale = (noisy * noise).sum() / noisy.square().sum()
        error = 0.0
        for start in range(0, len(images), 100):
            part = noisy[start : start + 100].to(backbone.device)
            with torch.no_grad():
                predicted = backbone.network.module(part, timestep).sample
            if architecture.prediction == "v_prediction":
                predicted = math.sqrt(alpha) * predicted + math.sqrt(1 - alpha) * part
            error += (predicted.cpu() - noise[start : start + 100]).square().sum().item() / noise.numel()
        linear = (scale * noisy - noise).square().mean().item()
        log_snr = architecture.log_snr(timestep)
        rows.append({"timestep": timestep, "log_snr": log_snr, "network": error, "linear": linear})
    return rows


def best_probe(dataset: Dataset, backbone: str, cache: Path, quick: bool) -> dict[str, object]:
    """Find the best linear probe of the default space on validation; return its test accuracy and all results."""
    architecture, _ = describe_backbone(backbone)
    space = PRESETS["default"](architecture).narrow(heads=["linear"])
    if quick:
        space = space.narrow(timesteps=space.timesteps[1::2], pools=[4])
    grids = {block: space.grid_at(block) for block in space.blocks}
    probe = Probe.build(ProbeSpec(dataset, backbone, "float32", cache, grids), threads=torch.get_num_threads())
    surface: list[tuple[Setting, Accuracy]] = []
    for setting in space.settings():
        *_, last = probe(setting)
        assert isinstance(last, Evaluation)
        surface.append((setting, last.validation))
    best, validation = max(surface, key=lambda row: row[1].value)
    *_, final = probe.finalise(best, seed=0)
    assert isinstance(final, Final)
    return {
        "setting": best.to_dict(),
        "mean_of_top_ten": sum(sorted((a.value for _, a in surface), reverse=True)[:10]) / 10,
        **_scores(validation, final.test),
        "surface": [[s.block, s.timestep, s.pool, a.correct, a.total] for s, a in surface],
    }


def pixels_probe(dataset: Dataset, side: int) -> dict[str, object]:
    """Find the best linear probe on the raw pixels, pooled to side, side/2, … 4."""
    pixels = torch.from_numpy(square_pixels(dataset.images, np.arange(len(dataset)), side)).float() / 127.5 - 1
    parts, head, classes = split(dataset, 0), head_named("linear"), len(dataset.classes)

    def labelled(indices: np.ndarray, size: int) -> LabelledFeatures:
        return LabelledFeatures(pool(pixels[indices], size), torch.from_numpy(dataset.labels[indices]))

    best: tuple[int, Fit] | None = None
    for size in (side >> shift for shift in range(side.bit_length()) if side >> shift >= 4):
        *_, fit = head.fit(labelled(parts.train, size), labelled(parts.validation, size), classes, {}, 0)
        assert isinstance(fit, Fit)
        if best is None or fit.validation.value > best[1].validation.value:
            best = (size, fit)
    assert best is not None
    size, fit = best
    everything = np.concatenate([parts.train, parts.validation])
    classifier = head.refit(labelled(everything, size), classes, {}, fit.details, 0)
    test = labelled(parts.test, size)
    correct = accuracy(classifier, test).correct
    return {"setting": {"side": size}, **_scores(fit.validation, Accuracy(correct, len(parts.test)))}


def _scores(validation: Accuracy, test: Accuracy) -> dict[str, object]:
    return {
        "validation": validation.value,
        "validation_interval": validation.interval(),
        "test": test.value,
        "test_interval": test.interval(),
    }


def random_copy(backbone: TappedBackbone, folder: Path) -> str:
    """Save the same network with random weights as a diffusers folder; return the folder."""
    torch.manual_seed(0)
    UNet2DModel.from_config(backbone.network.module.config).save_pretrained(folder)
    return str(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate a U-Net as a denoiser and as a source of features.")
    parser.add_argument("--backbone", default="bundled")
    parser.add_argument("--images", type=Path, help="the training script's contact sheets; the last 2,000 are held out")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="which sources of features to compare")
    parser.add_argument("--quick", action="store_true", help="only four timesteps and pool 4, to compare designs")
    parser.add_argument("--threads", type=int, help="[default: torch's]")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    dataset = load_dataset(arguments.dataset, arguments.data_root)
    backbone = load_backbone(arguments.backbone)
    assert isinstance(backbone, TappedBackbone)
    result: dict[str, object] = {}
    if arguments.images:
        result["denoising"] = denoising(
            backbone, to_model_range(torch.from_numpy(read_tiles(arguments.images)[-HELD_OUT:]))
        )
    with tempfile.TemporaryDirectory() as folder:
        if "trained" in arguments.rows:
            result["trained"] = best_probe(dataset, arguments.backbone, Path(folder), arguments.quick)
        if "random" in arguments.rows:
            result["random"] = best_probe(
                dataset, random_copy(backbone, Path(folder) / "random"), Path(folder), arguments.quick
            )
    if "pixels" in arguments.rows:
        result["pixels"] = pixels_probe(dataset, backbone.architecture.image_side)
    arguments.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    for name in arguments.rows:
        row = result[name]
        assert isinstance(row, dict)
        low, high = row["test_interval"]
        print(f"{name:8} test {row['test']:.3f} ({low:.3f} to {high:.3f})  validation {row['validation']:.3f}  "
              f"{row['setting']}")  # fmt: skip
    for line in result.get("denoising", []):  # type: ignore[attr-defined]
        print("t {timestep:4d}  log-SNR {log_snr:5.1f}  network {network:.4f}  linear {linear:.4f}".format(**line))


if __name__ == "__main__":
    main()
