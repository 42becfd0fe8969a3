r"""Measures the time of a map of CKA: minibatches against Gram matrices of all images, on the same representations.

    python tests/benchmarks/cka.py --out FILE.json

40 representations of 4,000 images, 1,024 to 16,384 numbers each, that share some of what they say. The peer computes
every Gram matrix once, of all images, centres it and multiplies each pair: plain linear CKA, which has a bias. (Tools
that are handed two representations at a time compute both Gram matrices of every pair, which takes 40 times as many of
them; that is not waited for.) Seconds are of the arithmetic alone: making the representations, the same work for all,
is left out. Besides the time, the largest difference from the estimate without bias of all images at once.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from objectives.cka.estimator import BATCH, cka

WIDTHS = (1024, 2048, 4096, 8192, 16384)
SHARED = 64


def representations(count: int, images: int) -> Iterator[torch.Tensor]:
    """float32 (images, width): the same numbers of each image, turned and mixed with others, more with each."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(images, SHARED, generator=generator)
    for place in range(count):
        width = WIDTHS[place % len(WIDTHS)]
        turned = shared @ torch.randn(SHARED, width, generator=generator) / SHARED**0.5
        yield turned + (0.5 + 2 * place / count) * torch.randn(images, width, generator=generator)


def plain(features: Iterator[torch.Tensor]) -> np.ndarray:
    """Linear CKA of Kornblith et al. 2019, of all images at once, each Gram matrix once."""
    grams = []
    for each in features:
        gram = each @ each.T
        gram -= gram.mean(dim=0)
        gram -= gram.mean(dim=1, keepdim=True)
        grams.append(gram)
    products = np.array([[float((one * other).sum()) for other in grams] for one in grams])
    own = np.sqrt(np.diag(products))
    return np.asarray(products / np.outer(own, own))


def timed(compute: Callable[[Iterator[torch.Tensor]], np.ndarray], count: int, images: int) -> tuple[float, np.ndarray]:
    """Seconds, less those that making the representations took."""
    making = 0.0

    def made() -> Iterator[torch.Tensor]:
        nonlocal making
        since = time.perf_counter()
        for each in representations(count, images):
            making += time.perf_counter() - since
            yield each
            since = time.perf_counter()

    began = time.perf_counter()
    values = compute(made())
    return time.perf_counter() - began - making, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="representations")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    count, images, batch = arguments.count, arguments.images, arguments.batch
    rows = {
        f"minibatches of {batch}": timed(lambda features: cka(features, batch).values, count, images),
        "all images at once, unbiased": timed(lambda features: cka(features, images).values, count, images),
        "plain Gram matrices (peer)": timed(plain, count, images),
    }
    exact = rows["all images at once, unbiased"][1]
    peer = rows["plain Gram matrices (peer)"][0]
    told = []
    print(f"{count} x {count} maps of {images:,} images, {torch.get_num_threads()} threads\n")
    print("| | seconds | times the peer's | largest difference |\n| --- | ---: | ---: | ---: |")
    for name, (seconds, values) in rows.items():
        difference = float(np.abs(values - exact).max())
        print(f"| {name} | {seconds:.1f} | {seconds / peer:.3f} | {difference:.4f} |")
        told.append({"name": name, "seconds": seconds, "ratio": seconds / peer, "difference": difference})
    if arguments.out:
        facts = {"count": count, "images": images, "batch": batch, "threads": torch.get_num_threads()}
        arguments.out.write_text(json.dumps({**facts, "rows": told}, indent=2) + "\n")


if __name__ == "__main__":
    main()
