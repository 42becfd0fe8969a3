"""The accuracies that "Diffusion Models Beat GANs on Image Classification" (arXiv 2307.08702) published.

All are on ADM-256, in percent on the test split. A `Table` is for linear heads: (timestep, block, pool) → accuracy.
"""

from collections.abc import Mapping

Table = Mapping[tuple[int, int, int], float]
SOURCE = "arXiv 2307.08702"

_CUB_TIMESTEPS = (50, 150, 300, 500)
_CUB = {
    15: {1: (4.6, 5.1, 4.35, 4.37), 2: (10.62, 11.19, 11.9, 9.45),
         4: (21.4, 24.64, 24.91, 17.99), 8: (22.04, 23.77, 24.64, 17.45)},
    19: {1: (5.24, 7.88, 8.52, 6.71), 2: (17.01, 20.42, 21.82, 16.09),
         4: (30.24, 34.91, 33.65, 22.76), 8: (26.6, 30.04, 30.22, 21.36)},
    24: {1: (10.05, 12.07, 13.16, 10.65), 2: (17.47, 20.77, 21.71, 16.55),
         4: (25.04, 27.59, 27.11, 19.3), 8: (20.56, 23.47, 22.98, 15.48)},
}  # fmt: skip

CUB: Table = {
    (timestep, block, pool): accuracy
    for block, pools in _CUB.items()
    for pool, accuracies in pools.items()
    for timestep, accuracy in zip(_CUB_TIMESTEPS, accuracies, strict=True)
}
"""CUB-200-2011: 200 classes, 5,994 training images."""

IMAGENET: Table = {
    (10, 19, 1): 49.23, (30, 19, 1): 53.1, (50, 19, 1): 54.37, (300, 19, 1): 50.74, (500, 19, 1): 34.67,
    (90, 6, 1): 11.08, (90, 9, 1): 16.67, (90, 15, 1): 41.23, (90, 19, 1): 55.09, (90, 24, 1): 61.95,
    (90, 30, 1): 45.98, (90, 33, 1): 30.08,
    (150, 6, 1): 9.65, (150, 9, 1): 14.43, (150, 15, 1): 40.78, (150, 19, 1): 54.77, (150, 24, 1): 61.86,
    (150, 30, 1): 47.22, (150, 33, 1): 30.8,
    (90, 24, 2): 64.98, (90, 24, 4): 62.93, (90, 24, 8): 60.08,
    (150, 19, 2): 60.66, (150, 19, 4): 60.06, (150, 19, 8): 55.7,
}  # fmt: skip
"""ImageNet: 1,000 classes, 1.28 million training images."""

FINE_GRAINED: Mapping[str, Mapping[str, float]] = {
    "aircraft": {"linear": 48.32, "mlp": 47.87, "cnn": 54.21, "attention": 25.24},
    "cars": {"linear": 20.97, "mlp": 23.72, "cnn": 20.57, "attention": 11.48},
    "cub": {"linear": 31.57, "mlp": 28.11, "cnn": 24.84, "attention": 19.37},
    "dogs": {"linear": 46.64, "mlp": 48.83, "cnn": 48.26, "attention": 50.63},
    "flowers": {"linear": 76.87, "mlp": 71.63, "cnn": 65.89, "attention": 62.13},
    "nabirds": {"linear": 22.47, "mlp": 23.93, "cnn": 23.41, "attention": 22.05},
}
"""Catalog name → head → accuracy on fine-grained datasets, each row at one timestep, block and pool.

Which timestep, block and pool, is not recorded here. It is no cell of `CUB`, where no accuracy is 31.57: do not compare
the two."""

LATER = "arXiv 2311.17921"
LATER_IMAGENET: Mapping[str, float] = {
    "attention": 74.6, "DifFormer": 76.0, "DifFeed": 77.0, "MAGE": 78.9, "SwAV": 75.3, "MAE": 73.5, "SimCLR": 69.3,
    "BigBiGAN": 60.8,
}  # fmt: skip
"""Method → accuracy on ImageNet, in the same paper. The last five are other networks, for comparison."""

LATER_FINE_GRAINED: Mapping[str, Mapping[str, float]] = {
    "aircraft": {"attention": 64.0, "DifFormer": 65.3, "DifFeed": 73.2, "SimCLR": 46.4, "SwAV": 58.2},
    "cars": {"attention": 71.3, "DifFormer": 77.2, "DifFeed": 82.7, "SimCLR": 40.9, "SwAV": 57.6},
    "cub": {"attention": 66.1, "DifFormer": 72.4, "DifFeed": 71.0, "SimCLR": 43.9, "SwAV": 63.8},
    "dogs": {"attention": 78.9, "DifFormer": 81.3, "DifFeed": 80.4, "SimCLR": 64.2, "SwAV": 74.9},
    "flowers": {"attention": 88.1, "DifFormer": 89.7, "DifFeed": 90.1, "SimCLR": 86.2, "SwAV": 91.8},
    "nabirds": {"attention": 63.7, "DifFormer": 69.2, "DifFeed": 70.7, "SimCLR": 35.9, "SwAV": 54.1},
}
"""Catalog name → method → accuracy, from "Do text-free diffusion models learn discriminative visual representations?".

The methods are attention heads with a better recipe, fusions of several blocks and timesteps (DifFormer, DifFeed), and
two encoders for comparison (SimCLR, SwAV).
"""
