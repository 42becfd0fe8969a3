"""Samples images from an unconditional diffusers U-Net and saves them as one sheet.

    python scripts/sample_unet.py --backbone objectives/backbones/bundled --out sheet.png

The sampler is DDIM (Song et al. 2021) without added noise. It starts from seeded noise, and uses the network's own
schedule and prediction type.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from PIL import Image


def sheet(images: np.ndarray, columns: int, scale: int) -> Image.Image:
    """Arrange images, float (n, side, side, 3) in [0, 1], row by row in one picture.

    The images are one pixel apart. The picture is enlarged by `scale`.
    """
    side = images.shape[1]
    rows = -(-len(images) // columns)
    canvas = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = (number // columns) * (side + 1), (number % columns) * (side + 1)
        canvas[top : top + side, left : left + side] = (image * 255).round().astype(np.uint8)
    return Image.fromarray(canvas).resize((canvas.shape[1] * scale, canvas.shape[0] * scale), Image.Resampling.NEAREST)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sample images from an unconditional diffusers U-Net.")
    parser.add_argument("--backbone", type=Path, required=True, help="a diffusers folder with unet/ and scheduler/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    unet = UNet2DModel.from_pretrained(arguments.backbone / "unet", torch_dtype=torch.float32)
    scheduler = DDIMScheduler.from_pretrained(arguments.backbone / "scheduler")
    images = DDIMPipeline(unet, scheduler)(
        batch_size=arguments.count,
        generator=torch.Generator().manual_seed(arguments.seed),
        num_inference_steps=arguments.steps,
        output_type="np",
    ).images
    sheet(images, arguments.columns, arguments.scale).save(arguments.out)


if __name__ == "__main__":
    main()
