"""The linear head's whole path of L2 strengths against scikit-learn's LogisticRegression at the same strengths.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python tests/benchmarks/linear.py
    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python tests/benchmarks/linear.py \
        --images 6000 --features 16384 --classes 200 --peer-strengths 2

The classes are Gaussian with correlated features of power-law variances, as a network's are. Ours is all that the head
does for a path: it standardises, decomposes, walks the strengths, scores each on the validation images, and converges
the best further. The peer is given standardised features, whose seconds count for it too, and fits each strength by
lbfgs in float32 to `--tolerance`, which its default of 1e-4 stops far short of: `warm` from the last strength's
solution, strong to weak, `cold` each from zero. With `--peer-strengths` it fits so many, evenly spread over the path,
and its seconds are scaled by their share. Losses are compared in float64, at the same strengths on the same features.
The BLAS of numpy is named, since an environment may have set one that is slow here.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression as Peer
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]
from torch.nn.functional import cross_entropy

from objectives.heads.eigenbasis import eigenbasis
from objectives.heads.head import Labelled
from objectives.heads.logistic import LogisticRegression
from objectives.heads.standardising import Standardised, Standardiser


@dataclass(frozen=True)
class Problem:
    train: Labelled
    validation: Labelled
    classes: int


@dataclass(frozen=True)
class Linearly:
    """What a fit at one strength found. weight: (classes, d) of standardised features. bias: (classes,)."""

    l2: float
    weight: torch.Tensor
    bias: torch.Tensor
    seconds: float = 0.0
    iterations: int = 0

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """float64 (n, classes)."""
        parts = [part.double() @ self.weight.double().T for part in torch.split(features, 500)]
        return torch.cat(parts) + self.bias.double()

    def loss(self, features: torch.Tensor, labels: torch.Tensor) -> float:
        return float(cross_entropy(self.logits(features), labels) + self.l2 / 2 * self.weight.double().square().sum())

    def labels(self, features: torch.Tensor) -> torch.Tensor:
        return self.logits(features).argmax(dim=1)


def problem(arguments: argparse.Namespace) -> Problem:
    generator = torch.Generator().manual_seed(0)
    n, d, rank = arguments.images, arguments.features, min(arguments.features, 400)
    count = n + arguments.validation
    labels = torch.arange(count) % arguments.classes
    scales = torch.arange(1, rank + 1) ** -0.5
    centres = arguments.distance * torch.randn(arguments.classes, rank, generator=generator)
    latent = (centres[labels] + torch.randn(count, rank, generator=generator)) * scales
    features = latent @ torch.randn(rank, d, generator=generator)
    features += 0.5 * torch.randn(count, d, generator=generator)
    features = features[:, :, None, None]
    return Problem(Labelled(features[:n], labels[:n]), Labelled(features[n:], labels[n:]), arguments.classes)


def ours(given: Problem, factors: Sequence[float]) -> tuple[float, list[Linearly], Standardiser]:
    """Seconds of all that `Linear.fit` does, the solutions as they are delivered, and the features' standardiser."""
    started = time.perf_counter()
    standardise = Standardiser.of(given.train)
    basis = eigenbasis(Standardised(given.train, standardise))
    validated = basis.project(Standardised(given.validation, standardise))
    regression = LogisticRegression(basis, given.train.labels, given.classes)
    variance = float(basis.spectrum.sum())
    path, right = [], []
    for solution in regression.path([factor * variance for factor in factors]):
        path.append(solution)
        logits = torch.addmm(solution.bias, validated, solution.weights.T)
        right.append(int((logits.argmax(dim=1) == given.validation.labels).sum()))
    basis.lift(regression.refine(path[int(np.argmax(right))]).weights)
    seconds = time.perf_counter() - started
    delivered = [regression.refine(solution) for solution in path]  # not timed: the head does so for the best alone
    return seconds, [Linearly(s.l2, basis.lift(s.weights), s.bias) for s in delivered], standardise


def peer(
    features: np.ndarray, labels: np.ndarray, strengths: Sequence[float], tolerance: float, warm: bool
) -> list[Linearly]:
    solver = Peer(tol=tolerance, max_iter=100_000, warm_start=warm)
    found = []
    for l2 in strengths:
        solver.set_params(C=1 / (len(features) * l2))
        started = time.perf_counter()
        solver.fit(features, labels)
        seconds = time.perf_counter() - started
        weight, bias = (torch.from_numpy(np.array(part)) for part in (solver.coef_, solver.intercept_))
        found.append(Linearly(l2, weight, bias, seconds, int(solver.n_iter_[0])))
        print(f"    peer, {'warm' if warm else 'cold'}, l2 {l2:.2e}: {seconds:.1f} s", flush=True)
    return found


def compared(given: Problem, standardise: Standardiser, us: Sequence[Linearly], them: Sequence[Linearly]) -> list[Any]:
    """Row by row for the peer's strengths: seconds, iterations, losses, accuracies on validation, and agreement."""
    train, validation = (standardise(part.features.flatten(1)) for part in (given.train, given.validation))
    by_strength = {solution.l2: solution for solution in us}
    rows = []
    for theirs in them:
        mine = by_strength[theirs.l2]
        answers = [solution.labels(validation) for solution in (mine, theirs)]
        right = [float((labels == given.validation.labels).double().mean()) for labels in answers]
        losses = [solution.loss(train, given.train.labels) for solution in (mine, theirs)]
        rows.append({
            "l2": theirs.l2, "peer_seconds": theirs.seconds, "peer_iterations": theirs.iterations,
            "loss": losses[0], "peer_loss": losses[1], "loss_over_peer": losses[0] / losses[1] - 1,
            "validation": right[0], "peer_validation": right[1],
            "agreement": float((answers[0] == answers[1]).double().mean()),
        })  # fmt: skip
    return rows


def fastest(repeats: int, work: Callable[[], tuple[float, list[Linearly], Standardiser]]) -> Any:
    return min((work() for _ in range(repeats)), key=lambda result: result[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark the linear head's path against scikit-learn.")
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--validation", type=int, default=1000, help="images")
    parser.add_argument("--distance", type=float, default=0.15, help="between the classes' centres, of their spread")
    parser.add_argument("--strengths", type=int, default=10)
    parser.add_argument("--peer-strengths", type=int, help="[default: all]")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="the peer's")
    parser.add_argument("--warm-only", action="store_true", help="leave the peer's cold starts out")
    parser.add_argument("--repeats", type=int, default=3, help="of ours, which is short; the peer runs once")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    given = problem(arguments)
    factors = [10 ** (-2.5 - 4 * place / (arguments.strengths - 1)) for place in range(arguments.strengths)]
    seconds, us, standardise = fastest(arguments.repeats, lambda: ours(given, factors))
    print(f"{arguments.images:,} x {arguments.features:,} x {arguments.classes}, {arguments.strengths} strengths, "
          f"{arguments.threads} threads; ours {seconds:.2f} s", flush=True)  # fmt: skip
    started = time.perf_counter()
    features = Standardiser.of(given.train)(given.train.features.flatten(1)).numpy()
    preparing = time.perf_counter() - started
    count = arguments.peer_strengths or arguments.strengths
    chosen = [us[int((part + 0.5) * arguments.strengths / count)].l2 for part in range(count)]
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    result: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "blas": blas,
        "arguments": {name: value for name, value in vars(arguments).items() if name != "out"},
        "seconds": seconds,
    }
    with threadpool_limits(arguments.threads):
        for name in ("warm",) if arguments.warm_only else ("warm", "cold"):
            them = peer(features, given.train.labels.numpy(), chosen, arguments.tolerance, name == "warm")
            theirs = preparing + sum(fit.seconds for fit in them) * arguments.strengths / count
            rows = compared(given, standardise, us, them)
            result[name] = {"seconds": theirs, "ratio": theirs / seconds, "rows": rows}
            print(f"  {name}: {theirs:.1f} s for the path, {theirs / seconds:.1f} times ours")
            print("        l2   peer s   its      loss  over peer  validation    peer    agree")
            for row in rows:
                print(f"{row['l2']:10.2e}{row['peer_seconds']:9.1f}{row['peer_iterations']:6d}{row['loss']:10.5f}"
                      f"{row['loss_over_peer']:11.1e}{100 * row['validation']:11.1f}%"
                      f"{100 * row['peer_validation']:7.1f}%{100 * row['agreement']:8.2f}%", flush=True)  # fmt: skip
    for library in blas:
        print(f"BLAS: {library['internal_api']} {library.get('architecture')} {library['num_threads']} threads")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
