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
Ours runs before each fit of the peer, so that both meet the same neighbours on the machine, and its median counts.
Beside seconds of wall time those of the processor are given, which other processes disturb less; with one thread the
least: of more threads that share their cores with others, ratios vary several times over.
"Five folds" are the head's `fit_folds` against its `fit` and the predictions of the classifier, fold after fold, on
`--images` times 5/4 images, so that a fold trains on `--images`.
The BLAS of numpy is named, since an environment may have set one that is slow here.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression as Peer
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_info, threadpool_limits
from torch.nn.functional import cross_entropy

from objectives.heads.head import Fit, Fold, LabelledFeatures, predict
from objectives.heads.linear_models.eigenbasis import Basis, eigenbasis
from objectives.heads.linear_models.linear import Linear
from objectives.heads.linear_models.logistic import LogisticRegression, Solution
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.scoring import Predictions

FOLD_REPEATS = 5


@dataclass(frozen=True)
class Problem:
    train: LabelledFeatures
    validation: LabelledFeatures
    classes: int


@dataclass(frozen=True)
class Seconds:
    """wall: of the clock. cpu: of all of this process's threads together."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Seconds":
        return cls(time.perf_counter(), time.process_time())

    def since(self, then: "Seconds") -> "Seconds":
        return Seconds(self.wall - then.wall, self.cpu - then.cpu)


@dataclass(frozen=True)
class Linearly:
    """A fit at one strength. weight: (classes, d) of standardised features. bias: (classes,)."""

    l2: float
    weight: torch.Tensor
    bias: torch.Tensor
    seconds: "Seconds | None" = None
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
    return Problem(
        LabelledFeatures(features[:n], labels[:n]), LabelledFeatures(features[n:], labels[n:]), arguments.classes
    )


def ours(given: Problem, factors: Sequence[float]) -> tuple[Seconds, LogisticRegression, list[Solution], Basis]:
    """Do what `Linear.fit` does, and return the fits of all strengths."""
    started = Seconds.now()
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
    return Seconds.now().since(started), regression, path, basis


def five_folds(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit five folds together, and one after the other."""
    whole = problem(argparse.Namespace(**{**vars(arguments), "images": arguments.images * 5 // 4, "validation": 1}))
    data, head = whole.train, Linear()
    parts = StratifiedKFold(5, shuffle=True, random_state=0).split(data.labels, data.labels)
    folds = [Fold(torch.from_numpy(kept), torch.from_numpy(held)) for kept, held in parts]
    together, alone = [], []
    for _ in range(FOLD_REPEATS):
        started = Seconds.now()
        fits = head.fit_folds(data, folds, whole.classes, {}, 0)
        together.append(Seconds.now().since(started))
        started = Seconds.now()
        predictions, strengths = [], []
        for fold in folds:
            validation = data.subset(fold.validation)
            *_, fit = head.fit(data.subset(fold.train), validation, whole.classes, {}, 0)
            assert isinstance(fit, Fit)
            predictions.append(predict(fit.classifier, validation))
            strengths.append(fit.details["l2"])
        alone.append(Seconds.now().since(started))
    row: dict[str, Any] = {
        "images": len(data),
        "accuracy": Predictions.joined(fits.predictions).accuracy.value,
        "l2": fits.details["l2"],
        "accuracy_alone": Predictions.joined(predictions).accuracy.value,
        "l2_alone": strengths,
    }
    for kind in ("wall", "cpu"):
        row[kind] = statistics.median(getattr(seconds, kind) for seconds in together)
        row[f"{kind}_alone"] = statistics.median(getattr(seconds, kind) for seconds in alone)
    return row


def peer(
    features: np.ndarray, labels: np.ndarray, strengths: Sequence[float], tolerance: float, warm: bool
) -> Iterator[Linearly]:
    solver = Peer(tol=tolerance, max_iter=100_000, warm_start=warm)
    for l2 in strengths:
        solver.set_params(C=1 / (len(features) * l2))
        started = Seconds.now()
        solver.fit(features, labels)
        seconds = Seconds.now().since(started)
        weight, bias = (torch.from_numpy(np.array(part)) for part in (solver.coef_, solver.intercept_))
        yield Linearly(l2, weight, bias, seconds, int(solver.n_iter_[0]))


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


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    given = problem(arguments)
    factors = [10 ** (-2.5 - 4 * place / (arguments.strengths - 1)) for place in range(arguments.strengths)]
    _, regression, path, basis = ours(given, factors)  # warms up
    delivered = [regression.refine(solution) for solution in path]  # the head does so for the best alone
    us = [Linearly(s.l2, basis.lift(s.weights), s.bias) for s in delivered]
    started = Seconds.now()
    standardise = Standardiser.of(given.train)
    features = standardise(given.train.features.flatten(1)).numpy()
    preparing = Seconds.now().since(started)
    count = arguments.peer_strengths or arguments.strengths
    chosen = [us[int((part + 0.5) * arguments.strengths / count)].l2 for part in range(count)]
    result: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "blas": [library for library in threadpool_info() if library["user_api"] == "blas"],
        "arguments": {name: value for name, value in vars(arguments).items() if name != "out"},
    }
    if not arguments.no_folds:
        result["five folds"] = five_folds(arguments)
    for name in () if arguments.no_peer else ("warm",) if arguments.warm_only else ("warm", "cold"):
        mine, them = [], []
        fits = peer(features, given.train.labels.numpy(), chosen, arguments.tolerance, name == "warm")
        for _ in chosen:
            mine.append(ours(given, factors)[0])
            them.append(next(fits))
            print(f"  ours {mine[-1].wall:.2f} s, peer {them[-1].seconds}", flush=True)
        row: dict[str, Any] = {"rows": compared(given, standardise, us, them)}
        for kind in ("wall", "cpu"):
            fitting = sum(getattr(fit.seconds, kind) for fit in them) * arguments.strengths / count
            row[kind] = statistics.median(getattr(seconds, kind) for seconds in mine)
            row[f"peer_{kind}"] = getattr(preparing, kind) + fitting
        result[name] = row
    return result


def show(result: dict[str, Any]) -> None:
    words = result["arguments"]
    print(f"{words['images']:,} x {words['features']:,} x {words['classes']}, {words['strengths']} strengths, "
          f"{words['threads']} threads, {result['machine']}")  # fmt: skip
    for library in result["blas"]:
        print(f"BLAS: {library['internal_api']} {library.get('architecture')}, {library['num_threads']} threads")
    if folds := result.get("five folds"):
        for kind in ("wall", "cpu"):
            together, alone = folds[kind], folds[f"{kind}_alone"]
            print(f"five folds of {folds['images']:,} images, {kind} seconds: together {together:.2f}, one after "
                  f"the other {alone:.2f}, {alone / together:.1f} times")  # fmt: skip
        print(f"accuracy: together {100 * folds['accuracy']:.1f} %, one after the other, each at its best strength, "
              f"{100 * folds['accuracy_alone']:.1f} %")  # fmt: skip
    for name in ("warm", "cold"):
        if name in result:
            for kind in ("wall", "cpu"):
                us, them = result[name][kind], result[name][f"peer_{kind}"]
                print(f"{name}, {kind} seconds for the path: ours {us:.2f}, peer {them:.1f}, {them / us:.1f} times")
            print("        l2   peer s   its      loss  over peer  validation    peer    agree")
            for row in result[name]["rows"]:
                print(f"{row['l2']:10.2e}{row['peer_seconds'].wall:9.1f}{row['peer_iterations']:6d}{row['loss']:10.5f}"
                      f"{row['loss_over_peer']:11.1e}{100 * row['validation']:11.1f}%"
                      f"{100 * row['peer_validation']:7.1f}%{100 * row['agreement']:8.2f}%")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark the linear head's path against scikit-learn.")
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--validation", type=int, default=1000, help="images")
    parser.add_argument("--distance", type=float, default=0.22, help="between the classes' centres, of their spread")
    parser.add_argument("--strengths", type=int, default=10)
    parser.add_argument("--peer-strengths", type=int, help="[default: all]")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="the peer's")
    parser.add_argument("--warm-only", action="store_true", help="leave the peer's cold starts out")
    parser.add_argument("--no-folds", action="store_true", help="leave the five folds out")
    parser.add_argument("--no-peer", action="store_true", help="leave the peer out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        result = measure(arguments)
    show(result)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1, default=vars))


if __name__ == "__main__":
    main()
