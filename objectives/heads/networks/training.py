"""Trains a network on frozen features by AdamW, epoch by epoch, reproducibly, the global random state left alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from objectives.heads.head import LabelledFeatures

STEPS, LEAST = 40, 8
"""An epoch of few images has so many steps, each of at least so many images: with 9 a fit ends before it has begun."""


@dataclass(frozen=True)
class Recipe:
    """AdamW (Loshchilov and Hutter 2019) with a tenth of the steps of warm-up and a cosine to zero over `epochs`.

    weight_decay: of weight matrices only. batch: the most images a step, of few images fewer (`STEPS`); the last of an
    epoch may be smaller and is not dropped. blend: mixup (Zhang et al. 2018, section 2, alpha 1), each image with the
    next of its step, by one share for all. mixed: on a GPU, matrix products of training in bfloat16, whose range
    needs no scaling of the loss; weights and what is asked of the network between epochs stay float32.

    Epoch k of `epochs` lies at one fraction of the schedule, however many images there are.
    """

    learning_rate: float
    weight_decay: float
    epochs: int = 30
    batch: int = 128
    blend: bool = False
    mixed: bool = False


def epochs(network: nn.Module, train: LabelledFeatures, recipe: Recipe, seed: int) -> Iterator[int]:
    """Train `network` in place; yields the number of each epoch, from 1 to `recipe.epochs`, when it is done.

    The network is then in evaluation mode and without gradients; not going on leaves it so. Every epoch has a random
    stream of its own, from (seed, epoch), so what the caller does between two of them changes nothing.
    """
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    images, weights = len(train), train.weights
    batch = min(recipe.batch, max(images // STEPS, LEAST))
    steps = -(-images // batch) * recipe.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        with seeded(seed, epoch, train.labels.device):
            for rows in torch.split(torch.randperm(images).to(train.features.device), batch):
                at = rows.to(train.labels.device)
                labels, weighs = train.labels[at], None if weights is None else weights[at]
                optimizer.zero_grad(set_to_none=True)
                features = train.take(rows)
                share = float(torch.rand(())) if recipe.blend else 0.0
                if share:
                    # Of features as they are: standardising them afterwards is the same, for it is affine.
                    features = features.lerp(features.roll(1, 0), share)
                with torch.autocast("cuda", torch.bfloat16, enabled=recipe.mixed and features.is_cuda):
                    logits = network(features)
                    loss = _loss(logits, labels, weighs)
                    if share:
                        loss = loss.lerp(
                            _loss(logits, labels.roll(1), None if weighs is None else weighs.roll(1)), share
                        )
                torch.autograd.backward(loss)
                # Not clipped: it gained nothing, and would take from an image of a rare class what it weighs.
                optimizer.step()
                schedule.step()
        optimizer.zero_grad(set_to_none=True)
        network.eval()
        yield epoch


def _loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Of one step. Divided by its images and not by what they weigh together, so that on average it is that of all."""
    if weights is None:
        return cross_entropy(logits, labels)
    return (cross_entropy(logits, labels, reduction="none") * weights).mean()


@contextmanager
def seeded(seed: int, stream: int, device: torch.device) -> Iterator[None]:
    """Random numbers from (seed, stream) inside, on the CPU and on `device`; the global states as they were outside."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        mixed = (seed * 1_000_003 + stream) % 2**63
        torch.default_generator.manual_seed(mixed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(mixed)
        yield
