"""Image files to search on."""

from pathlib import Path

import numpy as np
from PIL import Image


def class_folders(root: Path, per_class: int) -> None:
    generator = np.random.default_rng(0)
    for name, shade in (("dark ones", 60), ("helle Bilder ü", 190)):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = np.clip(generator.normal(shade, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"image {i}.png")
