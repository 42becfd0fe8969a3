"""Trains a small diffusion U-Net on 32x32 photographs: the bundled network, or a design to compare it with.

    python scripts/train_unet.py --images DIR --out DIR --design v-cosine

`--images` names a folder of contact sheets `sheet-*.jpg` of 32x32 tiles, read row by row; black tiles after the last
image are ignored. All random numbers are a function of (seed, step), so a run that was killed and started again with
the same command makes the same weights as an uninterrupted run. With a GPU, the images are kept in its memory, and the
network is compiled. The folder `--out` receives `checkpoint.pt`, `loss.csv`
(training and held-out loss by step and timestep decile) and, at the end, the diffusers folders `unet/` and `scheduler/`
with the moving average (EMA) of the weights in half precision.
"""

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from PIL import Image

SIDE = 32
HELD_OUT = 2_000
DECILES = 10


@dataclass(frozen=True)
class Design:
    """A network and its training target.

    widths: channels of the levels, whose sides are 32, 16, 8 and 4. attention: indices of the levels with attention.
    """

    widths: tuple[int, ...] = (24, 48, 80, 112)
    layers: int = 2
    attention: tuple[int, ...] = (2, 3)
    prediction: str = "epsilon"
    schedule: str = "linear"

    def unet(self) -> UNet2DModel:
        kinds = ["Attn" if level in self.attention else "" for level in range(len(self.widths))]
        return UNet2DModel(
            sample_size=SIDE,
            in_channels=3,
            out_channels=3,
            block_out_channels=self.widths,
            layers_per_block=self.layers,
            down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
            up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
            attention_head_dim=16,
            norm_num_groups=8,
            resnet_time_scale_shift="scale_shift",
        )

    def scheduler(self) -> DDPMScheduler:
        return DDPMScheduler(num_train_timesteps=1000, beta_schedule=self.schedule, prediction_type=self.prediction)


# Each design but `v-cosine` differs from `base` in one thing.
DESIGNS = {
    "base": Design(),
    "cosine": Design(schedule="squaredcos_cap_v2"),
    "v-cosine": Design(prediction="v_prediction", schedule="squaredcos_cap_v2"),
    "no-attention": Design(attention=()),
    "wide-shallow": Design(widths=(32, 64, 112, 144), layers=1),
    "thin-deep": Design(widths=(24, 40, 64, 88), layers=3),
}


def read_tiles(folder: Path) -> np.ndarray:
    """Read all tiles of the sheets, uint8 (N, 3, 32, 32), in sheet order."""
    sheets = sorted(folder.glob("sheet-*.jpg"))
    if not sheets:
        raise SystemExit(f"no sheet-*.jpg in {folder}")
    tiles = []
    for path in sheets:
        sheet = np.asarray(Image.open(path).convert("RGB"))
        rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
        grid = sheet.reshape(rows, SIDE, columns, SIDE, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE)
        tiles.append(grid[grid.reshape(len(grid), -1).max(axis=1) > 16])
    return np.concatenate(tiles)


def batch_at(images: torch.Tensor, step: int, batch: int, seed: int) -> torch.Tensor:
    """Choose the images of one step. Each epoch is a permutation; its last incomplete batch continues in the next."""
    wanted = np.arange(step * batch, (step + 1) * batch)
    chosen = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(wanted // len(images)):
        in_epoch = wanted // len(images) == epoch
        chosen[in_epoch] = order_of(seed, int(epoch), len(images))[wanted[in_epoch] % len(images)]
    flipped = torch.from_numpy(np.random.default_rng((seed, 1 << 32, step)).random(batch) < 0.5)
    pixels = images[torch.from_numpy(chosen).to(images.device)]
    return torch.where(flipped.to(images.device)[:, None, None, None], pixels.flip(-1), pixels)


@lru_cache(maxsize=2)
def order_of(seed: int, epoch: int, images: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(images)


def to_model_range(pixels: torch.Tensor) -> torch.Tensor:
    """Turn uint8 pixels into float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def errors_by_timestep(
    unet: Callable[..., Any],
    scheduler: DDPMScheduler,
    clean: torch.Tensor,
    timesteps: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    """Return the mean squared error of each image. The prediction's target is the noise, or the velocity."""
    noisy = scheduler.add_noise(clean, noise, timesteps)
    velocity = scheduler.config["prediction_type"] == "v_prediction"
    target = scheduler.get_velocity(clean, noise, timesteps) if velocity else noise
    with torch.autocast(clean.device.type, torch.bfloat16):
        predicted: torch.Tensor = unet(noisy, timesteps, return_dict=False)[0]
    return (predicted.float() - target).square().mean(dim=(1, 2, 3))


def by_decile(errors: torch.Tensor, timesteps: torch.Tensor) -> list[float]:
    """Return the mean error in each tenth of the 1000 timesteps."""
    decile = timesteps * DECILES // 1000
    return [errors[decile == d].mean().item() for d in range(DECILES)]


@torch.no_grad()
def held_out_loss(unet: UNet2DModel, scheduler: DDPMScheduler, held_out: torch.Tensor) -> list[float]:
    """Return the loss on held-out images by timestep decile, with the same noise at every call."""
    generator = torch.Generator().manual_seed(0)
    errors, steps = [], []
    for start in range(0, len(held_out), 200):
        clean = to_model_range(held_out[start : start + 200])
        timesteps = torch.randint(0, 1000, (len(clean),), generator=generator).to(clean.device)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        errors.append(errors_by_timestep(unet, scheduler, clean, timesteps, noise))
        steps.append(timesteps)
    return by_decile(torch.cat(errors), torch.cat(steps))


def save_atomically(state: dict[str, object], path: Path) -> None:
    """Save a checkpoint, which replaces the older one when it is complete."""
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def train(arguments: argparse.Namespace) -> None:
    gpu = torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    images = torch.from_numpy(read_tiles(Path(arguments.images))).to(device)
    held_out, images = images[-HELD_OUT:], images[:-HELD_OUT]
    print(f"{len(images)} training and {len(held_out)} held-out images on {device}", flush=True)

    torch.manual_seed(arguments.seed)
    design = DESIGNS[arguments.design]
    scheduler = design.scheduler()
    if arguments.start_from:
        unet = UNet2DModel.from_pretrained(arguments.start_from, torch_dtype=torch.float32).to(device)
    else:
        unet = design.unet().to(device)
    network = torch.compile(unet.to(memory_format=torch.channels_last)) if gpu else unet
    optimizer = torch.optim.AdamW(unet.parameters(), lr=arguments.learning_rate, weight_decay=0.01, fused=gpu)
    schedule = get_cosine_schedule_with_warmup(optimizer, min(300, arguments.steps // 10), arguments.steps)
    ema = EMAModel(unet.parameters(), decay=0.9995, use_ema_warmup=True, power=0.75, foreach=gpu)
    step = 0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        unet.load_state_dict(state["unet"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        ema.load_state_dict(state["ema"])
        step = state["step"]
        print(f"resumed at step {step}", flush=True)

    log = out / "loss.csv"
    if not log.exists():
        log.write_text(
            "step,images,split," + ",".join(f"t{100 * d}-{100 * d + 99}" for d in range(DECILES)) + "\n",
            encoding="utf-8",
        )
    recent: list[tuple[torch.Tensor, torch.Tensor]] = []
    started, first = time.monotonic(), step
    last = min(arguments.steps, arguments.stop_at or arguments.steps)
    while step < last:
        generator = torch.Generator(device).manual_seed(arguments.seed * 1_000_003 + step)
        clean = to_model_range(batch_at(images, step, arguments.batch, arguments.seed))
        timesteps = torch.randint(0, 1000, (len(clean),), generator=generator, device=device)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        errors = errors_by_timestep(network, scheduler, clean, timesteps, noise)
        errors.mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ema.step(unet.parameters())
        recent.append((errors.detach(), timesteps))
        step += 1
        if step % arguments.log_every == 0 or step == last:
            ema.store(unet.parameters())
            ema.copy_to(unet.parameters())
            rows = {
                "train": by_decile(torch.cat([e for e, _ in recent]), torch.cat([t for _, t in recent])),
                "held-out": held_out_loss(unet, scheduler, held_out),
            }
            ema.restore(unet.parameters())
            with log.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                for split, losses in rows.items():
                    writer.writerow([step, step * arguments.batch, split, *(f"{loss:.5f}" for loss in losses)])
            rate = (step - first) * arguments.batch / (time.monotonic() - started)
            left = (last - step) * arguments.batch / rate
            means = {split: sum(losses) / DECILES for split, losses in rows.items()}
            print(
                f"step {step}/{last} train {means['train']:.4f} held-out {means['held-out']:.4f} "
                f"{rate:.0f} images/s, {left / 60:.0f} min left",
                flush=True,
            )
            recent.clear()
            save_atomically(
                {
                    "unet": unet.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "ema": ema.state_dict(),
                    "step": step,
                },
                checkpoint,
            )
    ema.copy_to(unet.parameters())
    unet.half().save_pretrained(out / "unet")
    scheduler.save_pretrained(out / "scheduler")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled U-Net.")
    parser.add_argument("--images", required=True, help="folder of sheet-*.jpg contact sheets of 32x32 tiles")
    parser.add_argument("--out", required=True, help="folder for the checkpoint, the loss log and the weights")
    parser.add_argument("--design", choices=DESIGNS, default="base")
    parser.add_argument("--start-from", help="a U-Net folder with the initial weights, of the design's shape")
    parser.add_argument("--steps", type=int, default=7_000)
    parser.add_argument(
        "--stop-at", type=int, help="the step at which to end, before the learning rate's schedule ends at --steps"
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log-every", type=int, default=250)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's default")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
