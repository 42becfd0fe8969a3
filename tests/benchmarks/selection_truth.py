r"""Measures every setting of the default space: the truth by which `selection.py` judges.

    python tests/benchmarks/selection_truth.py --task cub-50 --data-root DIR --home HOME --out tests/benchmarks/truth

Every timestep x block x pool of the default space with the bundled network, each by the linear head in five folds over
the images outside the test split (those that the task leaves). One JSON file a task: of each setting the right answers
in each fold. It takes a quarter of an hour of one core for 1,500 images of 50 classes, and is kept so that nobody needs
to do it again; what is there already is not computed again.

Tasks are real images: `digits` and `digits-10-shots`; `cub-50` of CUB, and `cub-10`, its first ten classes;
`flowers-17`. Folders as `search run` takes them by --data-root.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from objectives.backbones.catalog import describe_backbone
from objectives.backbones.reading import Reading
from objectives.datasets.catalog import load_dataset
from objectives.datasets.dataset import Dataset
from objectives.datasets.splits import folds
from objectives.features.extraction import Clock
from objectives.heads.catalog import HEADS
from objectives.heads.head import Fit
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from search.display.counter import counted
from spaces import PRESETS, Setting, Space

FOLDS = 5


@dataclass(frozen=True)
class Task:
    """dataset: its catalog name. classes: the first so many; shots: of each class, outside the test split."""

    dataset: str
    classes: int | None = None
    shots: int | None = None

    def load(self, root: Path | None) -> Dataset:
        whole = load_dataset(self.dataset, root)
        kept = np.ones(len(whole), bool)
        if self.classes is not None:
            kept &= whole.labels < self.classes
        if self.shots is not None:
            for label in range(len(whole.classes)):
                mine = np.flatnonzero(~whole.is_test & (whole.labels == label))
                kept[np.random.default_rng(label).permutation(mine)[self.shots :]] = False
        return replace(
            whole,
            name=f"{whole.name}, {np.count_nonzero(kept)} images",
            images=whole.images.keep(np.flatnonzero(kept).tolist()),
            labels=whole.labels[kept],
            is_test=whole.is_test[kept],
            classes=whole.classes[: self.classes],
        )


TASKS: Mapping[str, Task] = {
    "digits": Task("digits"),
    "digits-10-shots": Task("digits", shots=10),
    "cub-50": Task("cub"),
    "cub-10": Task("cub", classes=10),
    "flowers-17": Task("folder"),
}


@dataclass(frozen=True)
class Truth:
    """The measurements that `main` saved. right: setting → correct predictions in each fold."""

    task: str
    right: Mapping[Setting, Sequence[int]]
    sizes: Sequence[int]
    classes: int

    @classmethod
    def read(cls, file: Path) -> Self:
        facts = json.loads(file.read_text())
        table = facts["timestep, block, pool, right in each fold"]
        right = {Setting(timestep, block, pool, "linear"): counts for timestep, block, pool, counts in table}
        return cls(facts["task"], right, facts["fold sizes"], facts["classes"])

    def accuracy(self, setting: Setting, folds: Sequence[int]) -> float:
        """Percent, over the images of these folds."""
        return 100 * sum(self.right[setting][i] for i in folds) / sum(self.sizes[i] for i in folds)

    def best(self, folds: Sequence[int]) -> Setting:
        return max(self.right, key=lambda setting: self.accuracy(setting, folds))

    @property
    def timesteps(self) -> int:
        return len({setting.timestep for setting in self.right})


def space_of_truth(cache: Path) -> Space:
    architecture, _ = describe_backbone("bundled", Reading(precision="float32", cache=cache))
    return PRESETS["default"](architecture).narrow(heads=["linear"])


def truths(probe: Probe, dataset: Dataset, settings: Iterator[Setting]) -> Iterator[tuple[Setting, list[int]]]:
    """Right answers in each fold."""
    parts = folds(dataset, FOLDS, seed=0)
    (view,), images = probe._views, probe._training
    for setting in settings:
        for _ in view.fill(images, [setting.timestep], 1, Clock()):
            pass
        features = view.read(images, setting)
        assert features is not None
        fitting, counts = probe._fitting(setting), []
        for fold in parts:
            train, validation = (
                fitting.labelled(features, np.searchsorted(images, at), at) for at in (fold.train, fold.validation)
            )
            *_, fit = HEADS["linear"].fit(train, validation, len(dataset.classes), {}, seed=0)
            assert isinstance(fit, Fit)
            counts.append(fit.validation.correct)
        yield setting, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=list(TASKS))
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    given = parser.parse_args()
    path = given.out / f"{given.task}.json"
    if path.exists():
        return
    dataset = TASKS[given.task].load(given.data_root)
    space = space_of_truth(given.home / "cache")
    probe = Probe.build(ProbeSpec(dataset, "bundled", "float32", given.home / "cache", space.grids), threads=1)
    table = [
        [setting.timestep, setting.block, setting.pool, counts]
        for setting, counts in counted(truths(probe, dataset, space.settings()), len(space), "settings")
    ]
    sizes = [len(fold.validation) for fold in folds(dataset, FOLDS, seed=0)]
    facts = {"task": given.task, "classes": len(dataset.classes), "fold sizes": sizes}
    path.write_text(json.dumps(facts | {"timestep, block, pool, right in each fold": table}) + "\n")


if __name__ == "__main__":
    main()
