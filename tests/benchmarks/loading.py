"""Peak memory and time of loading a large transformer, here and by diffusers.

    python tests/benchmarks/loading.py [--layers 24] [--folder DIR]

The network has the size of Stable Diffusion 3.5 medium (2.2 billion parameters) and random weights in bfloat16, 4.9 GB
on disk. Each load runs in a process of its own, in bfloat16. Peak memory is the peak of the resident set, less what the
process had after its imports. `diffusers, float32` is how other networks are loaded here: in float32 first.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from safetensors.torch import save_file

from tests.support.small_latents import autoencoder

SHARD = 2 * 10**9
"""Bytes of a shard."""


def save_network(folder: Path, layers: int) -> None:
    """Save a random network of SD3.5 medium's kind, in shards, without having all of it in memory."""
    config = {
        "sample_size": 128,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": layers,
        "num_attention_heads": 24,
        "caption_projection_dim": 1536,
        "pos_embed_max_size": 384,
        "dual_attention_layers": tuple(range(13)),
        "qk_norm": "rms_norm",
    }
    with torch.device("meta"):
        hollow = SD3Transformer2DModel(**config)
    place = folder / "transformer"
    hollow.save_config(place)
    shards: list[dict[str, torch.Tensor]] = [{}]
    names: dict[str, str] = {}
    size = 0

    def write() -> None:
        file = f"diffusion_pytorch_model-{len(set(names.values())) + 1:05d}.safetensors"
        save_file(shards[0], place / file, {"format": "pt"})
        names.update(dict.fromkeys(shards[0], file))
        shards[0] = {}

    for name, values in hollow.state_dict().items():
        shards[0][name] = torch.randn(values.shape, dtype=torch.bfloat16) * 0.02
        size += 2 * values.numel()
        if sum(2 * tensor.numel() for tensor in shards[0].values()) > SHARD:
            write()
    write()
    index = {"metadata": {"total_size": size}, "weight_map": names}
    (place / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    autoencoder(folder)
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")


LOADS = {
    "search": "from objectives.backbones.catalog import load_backbone\n"
    "from objectives.backbones.reading import Reading\nload_backbone(folder, Reading('bfloat16'))",
    "diffusers, bfloat16": (
        "import diffusers; diffusers.SD3Transformer2DModel.from_pretrained("
        "folder + '/transformer', torch_dtype=torch.bfloat16)"
    ),
    "diffusers, float32": (
        "import diffusers; diffusers.SD3Transformer2DModel.from_pretrained("
        "folder + '/transformer', torch_dtype=torch.float32, low_cpu_mem_usage=False).to(torch.bfloat16)"
    ),
}
MEASURE = """
import sys, time, warnings
warnings.simplefilter("ignore")
import torch, diffusers, objectives.backbones.tapped
from diffusers import SD3Transformer2DModel
folder, load = sys.argv[1:]
def peak(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1e6
open("/proc/self/clear_refs", "w").write("5")
before, began = peak("VmRSS"), time.monotonic()
exec(load)
print(peak("VmHWM") - before, time.monotonic() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--loads", nargs="*", choices=LOADS, default=[*LOADS])
    parser.add_argument("--folder", type=Path, help="where the network is, or will be saved")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "transformer").exists():
            save_network(folder, options.layers)
        weights = sum(file.stat().st_size for file in folder.rglob("transformer/*.safetensors")) / 1e9
        print(f"weights: {weights:.2f} GB in bfloat16")
        for name in options.loads:
            load = LOADS[name]
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(folder), load], capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"{name}: failed after {time.monotonic() - began:.0f} s: {done.stderr[-300:]}")
                continue
            gigabytes, seconds = map(float, done.stdout.split())
            print(f"{name}: peak {gigabytes:.2f} GB, {gigabytes / weights:.2f} x the weights; {seconds:.1f} s")


if __name__ == "__main__":
    main()
