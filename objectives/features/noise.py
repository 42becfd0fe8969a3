"""Makes noise as a function of (seed, image, timestep, draw), so that features are reproducible and can be cached."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from objectives.devices import threads


def noise_for(digests: Sequence[str], seed: int, timestep: int, draw: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return standard normal noise, float32 (len(digests), *shape).

    The noise is made on the CPU, so it is the same for every device. digests: content digests of the images. The same
    picture gets the same noise, whatever its file name or position.
    """
    noise = torch.empty(len(digests), *shape)

    def fill(row: int) -> None:
        key = hashlib.blake2b(f"{seed} {digests[row]} {timestep} {draw}".encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)
        torch.randn(shape, generator=generator, out=noise[row])

    with ThreadPoolExecutor(threads()) as pool:  # at 256x256, one core makes noise slower than a GPU uses it
        list(pool.map(fill, range(len(digests))))
    return noise
