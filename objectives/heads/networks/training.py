"""Trains a network on frozen features with AdamW, reproducibly and without touching the global random state."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from objectives.heads.head import LabelledFeatures

STEPS = 40
"""Least number of steps of an epoch, as long as each has `LEAST_BATCH` images; with 9 steps, fits are far too short."""

LEAST_BATCH = 8
"""Least number of images of a step."""


@dataclass(frozen=True)
class Recipe:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), with a warm-up over a tenth of the steps and a cosine to 0.

    weight_decay: applies to weight matrices only.
    epochs: the length of the schedule; epoch k lies at the same fraction of it for any number of images.
    batch: the largest number of images in a step; small training sets use fewer (see `STEPS`). The last step of an
    epoch may be smaller and is not dropped.
    blend: mixup (Zhang et al. 2018, arXiv 1710.09412, section 2, α = 1) of each image with the next one in its step,
    with one mixing weight per step.
    mixed: on a GPU, compute the matrix products of training in bfloat16, whose range needs no loss scaling. Weights and
    the evaluation between epochs stay float32.
    """

    learning_rate: float
    weight_decay: float
    epochs: int = 30
    batch: int = 128
    blend: bool = False
    mixed: bool = False


def epochs(network: nn.Module, train: LabelledFeatures, recipe: Recipe, seed: int) -> Iterator[int]:
    """Train `network` in place; yield the number of each epoch, from 1 to `recipe.epochs`, when it is finished.

    At each yield the network is in evaluation mode and without gradients, and stays so if the caller stops. Each epoch
    has its own random stream, from (seed, epoch), so that the caller's actions between epochs change nothing.
    """
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    images, weights = len(train), train.weights
    batch = min(recipe.batch, max(images // STEPS, LEAST_BATCH))
    steps = -(-images // batch) * recipe.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        with seeded(seed, epoch, train.labels.device):
            for rows in torch.split(torch.randperm(images).to(train.features.device), batch):
                images_of_step = rows.to(train.labels.device)
                labels = train.labels[images_of_step]
                weights_of_step = None if weights is None else weights[images_of_step]
                optimizer.zero_grad(set_to_none=True)
                features = train.take(rows)
                share = float(torch.rand(())) if recipe.blend else 0.0
                if share:
                    # Mixing before standardisation equals mixing after it, because standardisation is affine.
                    features = features.lerp(features.roll(1, 0), share)
                with torch.autocast("cuda", torch.bfloat16, enabled=recipe.mixed and features.is_cuda):
                    logits = network(features)
                    loss = _loss(logits, labels, weights_of_step)
                    if share:
                        loss = loss.lerp(
                            _loss(logits, labels.roll(1), None if weights_of_step is None else weights_of_step.roll(1)),
                            share,
                        )
                torch.autograd.backward(loss)
                # Gradients are not clipped: clipping gained nothing, and would undo the weights of rare classes.
                optimizer.step()
                schedule.step()
        optimizer.zero_grad(set_to_none=True)
        network.eval()
        yield epoch


def _loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return the weighted cross-entropy of one step.

    It is divided by the number of images, not by their total weight, so that it is an unbiased estimate of the loss of
    all images.
    """
    if weights is None:
        return cross_entropy(logits, labels)
    return (cross_entropy(logits, labels, reduction="none") * weights).mean()


@contextmanager
def seeded(seed: int, stream: int, device: torch.device) -> Iterator[None]:
    """Seed the CPU and `device` by (seed, stream) inside the context, and restore their random states at its end."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        mixed = (seed * 1_000_003 + stream) % 2**63
        torch.default_generator.manual_seed(mixed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(mixed)
        yield
