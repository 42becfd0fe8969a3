"""Average pooling with a kernel of side / pool, so that coarser grids are exact averages of finer ones."""

import torch
from torch.nn.functional import avg_pool2d


def pool(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Pool maps (n, c, side, side) to (n, c, size, size). Raises ValueError if size does not divide side."""
    side = maps.shape[-1]
    if maps.shape[-2] != side or side % size:
        raise ValueError(f"pool {size} must divide the square map's side, got a map {tuple(maps.shape)}")
    return maps if size == side else avg_pool2d(maps, side // size)
