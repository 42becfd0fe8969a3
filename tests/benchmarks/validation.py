r"""Measures how well one split, 3, 5 and 10 folds compare settings, on n images of real tasks.

    python tests/benchmarks/validation.py --task cub-50 --classes 0-24 --data-root DIR --home HOME --out FILE

It draws n training images, again and again, and fits the linear head at `--settings` settings of the default space, by
each kind of validation. The truth of a setting is its accuracy on all test images after a fit to all n images.

- error: the root mean square, over pairs of the eight best settings, of the difference between two settings on
  validation minus their difference on test, less the part that the finite number of test images explains. This is the
  standard error of a difference, with all that contributes to it.
- loss: how much lower the test accuracy of the setting with the best validation accuracy is than that of the best
  setting. One half of the test images names the best setting, and the other half measures both.
- seconds: of the processor, for all fits of one setting.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold

from objectives.datasets.splits import carve, stratified_order
from objectives.features.extraction import Clock
from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit, Fold, LabelledFeatures, predict
from objectives.heads.linear_models.linear import Linear
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from tests.benchmarks.selection_truth import TASKS, space_of_truth

KINDS = (1, 3, 5, 10)
"""One split of a fifth, and numbers of folds."""

BEST = 8


def validated(data: LabelledFeatures, classes: int, kind: int, seed: int) -> tuple[float, float, float]:
    """Return the validation accuracy, the L2 strength, and the seconds of the fits."""
    labels, head = data.labels.numpy(), HEADS["linear"]
    assert isinstance(head, Linear)
    since = time.process_time()
    if kind == 1:
        kept, held = carve("validation", labels, [str(label) for label in range(classes)], 0.2, seed)
        train, validation = (data.subset(torch.from_numpy(part)) for part in (kept, held))
        *_, fit = head.fit(train, validation, classes, {}, seed)
        assert isinstance(fit, Fit)
        predictions, details = [predict(fit.classifier, validation)], fit.details
    else:
        parts = StratifiedKFold(kind, shuffle=True, random_state=seed).split(labels, labels)
        folds = [Fold(torch.from_numpy(kept), torch.from_numpy(held)) for kept, held in parts]
        fits = head.fit_folds(data, folds, classes, {}, seed)
        predictions, details = list(fits.predictions), fits.details
    correct, total = (sum(part) for part in zip(*((p.accuracy.correct, len(p)) for p in predictions), strict=True))
    return correct / total, details["l2"], time.process_time() - since


def repeat(
    features: list[torch.Tensor], labels: np.ndarray, is_test: np.ndarray, n: int, seed: int
) -> dict[int, dict[str, float]]:
    """Return error, loss (in points) and seconds of each kind of validation for one draw of n training images."""
    classes = int(labels.max()) + 1
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    images = np.sort(train[stratified_order(labels[train], seed)][:n])
    scarce = int(np.bincount(labels[images], minlength=classes).min())
    kinds = [kind for kind in KINDS if kind <= scarce and (kind > 1 or n >= 5 * classes)]
    results: dict[int, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    right = []
    for values in features:
        data, tested = (
            LabelledFeatures(values, torch.from_numpy(labels[rows]), torch.from_numpy(rows)) for rows in (images, test)
        )
        for kind in kinds:
            results[kind].append(validated(data, classes, kind, seed))
        chosen = results[5 if 5 in kinds else kinds[-1]][-1][1]
        right.append(predict(Linear().refit(data, classes, {}, {"l2": chosen}, 0), tested).correct)
    correct = np.array(right, float)
    truth = correct.mean(axis=1)
    best = np.argsort(-truth)[:BEST]
    halves = np.random.default_rng(seed).permutation(len(test)) % 2 == 0
    rows = {}
    for kind in kinds:
        validation = np.array([accuracy for accuracy, _, _ in results[kind]])
        squares = []
        for i in best:
            for j in best[best > i]:
                chance = np.var(correct[i] - correct[j]) / len(test)
                squares.append((validation[i] - validation[j] - truth[i] + truth[j]) ** 2 - chance)
        losses = []
        winners = np.flatnonzero(validation == validation.max())
        for judges in (halves, ~halves):
            ideal = correct[:, ~judges].mean(axis=1).argmax()
            scores = correct[:, judges].mean(axis=1)
            losses.append(scores[ideal] - scores[winners].mean())
        seconds = float(np.mean([seconds for _, _, seconds in results[kind]]))
        rows[kind] = {"square": float(np.mean(squares)), "loss": 100 * float(np.mean(losses)), "seconds": seconds}
    return rows


def read(arguments: argparse.Namespace) -> tuple[list[torch.Tensor], np.ndarray, np.ndarray]:
    """Return the features of each setting, the labels, and whether each image is a test image."""
    dataset = TASKS[arguments.task].load(arguments.data_root)
    space = space_of_truth(arguments.home / "cache").narrow(timesteps=arguments.timesteps)
    probe = Probe.build(ProbeSpec(dataset, "bundled", "float32", arguments.home / "cache", space.grids), threads=1)
    (view,), everything = probe._views, np.arange(len(dataset))
    for timestep in space.timesteps:
        for _ in view.fill(everything, [timestep], 1, Clock()):
            pass
    first, last = map(int, arguments.classes.split("-"))
    kept = np.flatnonzero((dataset.labels >= first) & (dataset.labels <= last))
    settings = list(space.settings())
    chosen = np.sort(np.random.default_rng(0).permutation(len(settings))[: arguments.settings])
    features = []
    for number in chosen:
        values = view.read(everything, settings[number])
        assert values is not None
        features.append(values[torch.from_numpy(kept)].clone())
    return features, dataset.labels[kept] - first, dataset.is_test[kept]


def measured(arguments: argparse.Namespace) -> Iterator[str]:
    features, labels, is_test = read(arguments)
    most = int((~is_test).sum())
    table: dict[int, dict[int, dict[str, float]]] = {}
    for size, repeats in zip(arguments.sizes, arguments.repeats, strict=True):
        n = min(size, most)
        draws = [repeat(features, labels, is_test, n, seed) for seed in range(repeats)]
        kinds = sorted(set.intersection(*(set(draw) for draw in draws)))
        table[n] = {}
        for kind in kinds:
            parts = {name: np.array([draw[kind][name] for draw in draws]) for name in ("square", "loss", "seconds")}
            table[n][kind] = {
                "error": 100 * float(np.sqrt(max(parts["square"].mean(), 0))),
                "loss": float(parts["loss"].mean()),
                "loss_error": float(parts["loss"].std(ddof=1) / np.sqrt(repeats)) if repeats > 1 else float("nan"),
                "seconds": float(parts["seconds"].mean()),
            }
            name = "split" if kind == 1 else f"{kind} folds"
            row = table[n][kind]
            yield (
                f"{n:5d} {name:9} error {row['error']:5.2f}  loss {row['loss']:5.2f} ± {row['loss_error']:.2f}  "
                f"{row['seconds']:.2f} s"
            )
        if arguments.out:
            arguments.out.write_text(json.dumps({"task": arguments.task, "classes": arguments.classes, "n": table}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=list(TASKS))
    parser.add_argument("--classes", default="0-999", help="first-last")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--timesteps", type=int, nargs="+", default=[7, 44, 93])
    parser.add_argument("--settings", type=int, default=16)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000, 1500])
    parser.add_argument("--repeats", type=int, nargs="+", default=[10, 6, 3, 2], help="of each size")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for line in measured(arguments):
        print(line, flush=True)


if __name__ == "__main__":
    main()
