r"""Makes the tables on which `searches.py` runs whole searches.

    python tests/benchmarks/search_tables.py --task cub-last --images 250 --draws 2 --data-root DIR --home DIR --out DIR

A draw takes `--images` images of a task, in proportion to the classes, to train and validate; all others are the test
split, the truth. For every setting of the default space with the linear head, by the product's own probe in five folds:
which images are right in validation under the search's seed, which images of the truth are right after a fit to all
drawn images, and, for the `REEVALUATED` best settings, which are right in the rounds of the candidates. Also what a
screening of the drawn images answers. With `--fold-classifiers`, also which images of the truth each fold's classifier
has right, for every setting, under the search's seed and in the rounds, at the strength that the search's seed chose.
From this, `searches.py --known-truth` makes searches whose truth is known. It takes twice as long.

Tasks: `digits`, `flowers-17` and `cub-50` as they are; `cub-first` and `cub-last`, 25 classes each; and tasks of other
kinds on the same images: `families`, the groups of birds of CUB that have two species or more; `turned`, by how much an
image of a flower is turned; `parity`, whether a digit is odd.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ImageSource
from objectives.datasets.splits import stratified_order
from objectives.features.extraction import Clock
from objectives.heads.head import LabelledFeatures, predict
from objectives.heads.linear_models.eigenbasis import eigenbasis
from objectives.heads.linear_models.logistic import LogisticRegression
from objectives.heads.standardisation import Standardised, Standardiser
from objectives.probing.probe import Probe
from objectives.probing.screening import Screener
from objectives.probing.spec import ProbeSpec
from search.display.counter import counted
from search.options.run_options import ROUNDS_OF_FOLDS
from search.recommendation.recommender import Recommender
from search.recommendation.screen import MAX_START_SETTINGS
from search.surrogates.past_tasks import PUBLISHED_TASKS, PastTask
from spaces import Space
from tests.benchmarks.selection_truth import TASKS, space_of_truth

FOLDS, ROUNDS, REEVALUATED = 5, 5, 40


@dataclass(frozen=True)
class Turned:
    """The images of `inner`, image i turned by a quarter `quarters[i]` times."""

    inner: ImageSource
    quarters: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.inner)

    def name(self, i: int) -> str:
        return f"{self.inner.name(i)}, turned"

    def digest(self, i: int) -> str:
        return hashlib.sha256(f"turned {self.quarters[i]} {self.inner.digest(i)}".encode()).hexdigest()

    def read(self, i: int) -> Image.Image:
        image = self.inner.read(i)
        return image.rotate(90 * self.quarters[i], expand=True) if self.quarters[i] else image

    def keep(self, indices: Iterable[int]) -> Self:
        kept = list(indices)
        return type(self)(self.inner.keep(kept), tuple(self.quarters[i] for i in kept))

    @property
    def in_memory(self) -> bool:
        return self.inner.in_memory


def relabelled(whole: Dataset, name: str, groups: Mapping[int, int], classes: tuple[str, ...]) -> Dataset:
    """Return the images whose class is in `groups`, with the class it names."""
    kept = np.flatnonzero(np.isin(whole.labels, list(groups)))
    return replace(
        whole,
        name=name,
        images=whole.images.keep(kept.tolist()),
        labels=np.array([groups[label] for label in whole.labels[kept].tolist()]),
        is_test=whole.is_test[kept],
        classes=classes,
    )


def half(whole: Dataset, name: str, first: int) -> Dataset:
    groups = {first + label: label for label in range(25)}
    return relabelled(whole, name, groups, whole.classes[first : first + 25])


def families(whole: Dataset) -> Dataset:
    names = [name.rpartition("_")[2] for name in whole.classes]
    kept = tuple(name for name, species in Counter(names).items() if species > 1)
    groups = {label: kept.index(name) for label, name in enumerate(names) if name in kept}
    return relabelled(whole, "families", groups, kept)


def turned(whole: Dataset) -> Dataset:
    quarters = np.random.default_rng(0).permutation(len(whole)) % 4
    images = Turned(whole.images, tuple(quarters.tolist()))
    return replace(whole, name="turned", images=images, labels=quarters, classes=("0", "90", "180", "270"))


KINDS: Mapping[str, tuple[str, Callable[[Dataset], Dataset]]] = {
    "digits": ("digits", lambda whole: whole),
    "flowers-17": ("flowers-17", lambda whole: whole),
    "cub-50": ("cub-50", lambda whole: whole),
    "cub-first": ("cub-50", lambda whole: half(whole, "cub-first", 0)),
    "cub-last": ("cub-50", lambda whole: half(whole, "cub-last", 25)),
    "families": ("cub-50", families),
    "turned": ("flowers-17", turned),
    "parity": ("digits", lambda whole: relabelled(whole, "parity", {n: n % 2 for n in range(10)}, ("even", "odd"))),
}
"""Task → the dataset of its images, and how it is made from that."""


def load(task: str, root: Path | None) -> Dataset:
    dataset, make = KINDS[task]
    return make(TASKS[dataset].load(root))


def drawn(whole: Dataset, images: int, draw: int) -> Dataset:
    """Return the dataset whose test images are those outside the draw."""
    outside = np.ones(len(whole), bool)
    outside[stratified_order(whole.labels, 1000 + draw)[:images]] = False
    return replace(whole, is_test=outside)


def screened(probe: Probe, space: Space, past_tasks: Sequence[PastTask] = PUBLISHED_TASKS) -> dict[str, Any]:
    """Return what a screening before a search leaves behind, as `search.recommendation.screen` saves it."""
    screener = Screener(probe.spec, probe.backbone)
    recommender = Recommender(
        space,
        screener.screen,
        screener.labels,
        past_tasks=past_tasks,
        training_images=screener.training_images,
        measures=False,
    )
    for _ in recommender.run():
        pass
    found = recommender.recommendation
    best = [found.best, *(other.screened for other in (*found.more_taps, *found.tied))]
    return {
        "passes": found.passes,
        "errors": [[score.setting.to_json(), score.error] for score in found.comparable],
        "best": [score.setting.to_json() for score in best[:MAX_START_SETTINGS]] if found.better_than_chance else [],
        "answer": found.best.setting.to_json(),
    }


def right_by_fold(
    data: LabelledFeatures, test: LabelledFeatures, folds: Sequence[np.ndarray], classes: int, l2: float
) -> np.ndarray:
    """Return which test images the linear classifier of each fold has right, (folds, test images).

    data: the drawn images. folds: the positions of the training images of each fold in `data`.
    """
    standardise = Standardiser.of(data)
    basis = eigenbasis(Standardised(data, standardise))
    projected, right = basis.project(Standardised(test, standardise)), []
    for fold in folds:
        train = torch.from_numpy(fold)
        solution = LogisticRegression(basis.subset(train, data), data.labels[train], classes).solve(l2)
        logits = torch.addmm(solution.bias, projected, solution.weights.T)
        right.append((logits.argmax(dim=1) == test.labels).numpy())
    return np.array(right)


def last(reports: Any) -> Any:
    """Return the value of a generator."""
    while True:
        try:
            next(reports)
        except StopIteration as end:
            return end.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=list(KINDS))
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--fold-classifiers", action="store_true", help="for searches with known truth")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load(given.task, given.data_root)
    space = space_of_truth(given.home / "cache")
    settings, everything = list(space.settings()), np.arange(len(dataset))
    whole = Probe.build(ProbeSpec(dataset, "bundled", "float32", given.home / "cache", space.grids), threads=1)
    (view,) = whole._views
    draws = range(given.first, given.first + given.draws)
    probes = [
        Probe(replace(whole.spec, dataset=drawn(dataset, given.images, draw), folds=FOLDS), whole.backbone)
        for draw in draws
    ]
    for timestep in space.timesteps:
        for _ in view.fill(everything, [timestep], 1, Clock()):
            pass
    right = np.zeros((len(draws), len(settings), ROUNDS + 1, given.images), bool)
    outside = np.zeros((len(draws), len(settings), len(dataset) - given.images), bool)
    seeds = ROUNDS_OF_FOLDS + 1 if given.fold_classifiers else 0
    by_fold = np.zeros((len(draws), len(settings), seeds, FOLDS, outside.shape[-1]), bool)

    def evaluate(number: int, index: int, features: torch.Tensor, seed: int) -> None:
        probe, setting = probes[number], settings[index]
        images, tested = probe._training, probe._tested
        fitting, mine = probe._fitting(setting), features[images]
        validated = last(fitting.validate(mine, images, probe.splits(seed), seed, Clock()))
        order = np.concatenate([parts.validation for parts in probe.splits(seed)])
        right[number, index, seed, np.searchsorted(images, order)] = validated.predictions.correct
        if seed == 0:
            classifier, _ = fitting.refit(mine, images, probe.splits(seed), seed, validated)
            test = fitting.labelled(features, tested, tested)
            outside[number, index] = predict(classifier, test).correct
            drawn_images = fitting.labelled(mine, np.arange(len(images)), images)
            for round_, row in enumerate(by_fold[number, index]):
                folds = [np.searchsorted(images, parts.train) for parts in probe.splits(round_)]
                row[:] = right_by_fold(drawn_images, test, folds, len(dataset.classes), validated.details["l2"])

    def read(index: int) -> torch.Tensor:
        features = view.read(everything, settings[index])
        assert features is not None
        return features

    for index in counted(iter(range(len(settings))), len(settings), "settings"):
        features = read(index)
        for number in range(len(draws)):
            evaluate(number, index, features, 0)
    right[:, :, 1:] = right[:, :, :1]  # of settings that are not re-evaluated
    best = [np.argsort(-right[number, :, 0].sum(axis=1))[:REEVALUATED] for number in range(len(draws))]
    for index in counted(iter(range(len(settings))), len(settings), "settings again"):
        numbers = [number for number in range(len(draws)) if index in best[number]]
        if numbers:
            features = read(index)
            for number in numbers:
                for seed in range(1, ROUNDS + 1):
                    evaluate(number, index, features, seed)
    for number, draw in enumerate(draws):
        np.savez_compressed(
            given.out / f"{given.task}-{given.images}-{draw}.npz",
            settings=[setting.to_json() for setting in settings],
            costs=[whole.backbone.architecture.pass_gmacs(setting) for setting in settings],
            classes=len(dataset.classes),
            right=np.packbits(right[number], axis=-1),
            outside=np.packbits(outside[number], axis=-1),
            by_fold=np.packbits(by_fold[number], axis=-1),
            images=right.shape[-1],
            others=outside.shape[-1],
            screening=json.dumps(screened(probes[number], space)),
        )


if __name__ == "__main__":
    main()
