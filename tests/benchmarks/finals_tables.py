r"""Makes the tables by which `finals.py` judges how a search chooses its answer.

    python tests/benchmarks/finals_tables.py --task digits --images 300 --data-root DIR --home HOME --out FOLDER

Of all images of a task, some are drawn to train and validate (`--images`, in proportion to the classes); all others are
the test split, the truth. `--repeats` such draws. 60 settings, as a search tries them: 40 of the best 120 of the
exhaustive table in `truth/`, and 20 of the rest. For each setting and draw, by the product's own probe with the linear
head: which images are right on the search's split, on those of the next five seeds, and in the truth. With `--folds`,
every drawn image validates under every seed.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from objectives.datasets.dataset import Dataset
from objectives.datasets.splits import stratified_order
from objectives.features.extraction import Clock
from objectives.heads.head import predict
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from search.display.counter import counted
from spaces import Setting
from tests.benchmarks.selection_truth import TASKS, Truth, space_of_truth

NEAR, BEST, FAR = 40, 120, 20
ROUNDS = 5
HALVES = {"cub-first": ("cub-50", range(25)), "cub-last": ("cub-50", range(25, 50))}
"""Tasks that have half of the classes of another."""


def load(task: str, root: Path | None) -> tuple[Dataset, Truth]:
    """Return all images of a task, and the exhaustive table of its settings."""
    name, half = HALVES.get(task, (task, None))
    dataset = TASKS[name].load(root)
    classes = half or range(len(dataset.classes))
    kept = np.isin(dataset.labels, classes)
    images, labels = dataset.images.keep(np.flatnonzero(kept).tolist()), dataset.labels[kept] - classes.start
    part = replace(
        dataset,
        name=task,
        images=images,
        labels=labels,
        is_test=dataset.is_test[kept],
        classes=dataset.classes[classes.start : classes.stop],
    )
    return part, Truth.read(Path(__file__).parent / "truth" / f"{name}.json")


def tried(truth: Truth) -> list[Setting]:
    """Return the settings that a search tries, in a random order."""
    chance = np.random.default_rng(0)
    ordered = sorted(truth.right, key=lambda setting: -sum(truth.right[setting]))
    near = chance.permutation(BEST)[:NEAR]
    far = BEST + chance.permutation(len(ordered) - BEST)[:FAR]
    return [ordered[i] for i in chance.permutation(np.concatenate([near, far]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=["digits", "flowers-17", "cub-50", *HALVES])
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--settings", type=int, default=NEAR + FAR, help="only the first so many")
    parser.add_argument("--folds", type=int, help="in place of one split")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    given = parser.parse_args()
    dataset, truth = load(given.task, given.data_root)
    space = space_of_truth(given.home / "cache")
    whole = Probe.build(ProbeSpec(dataset, "bundled", "float32", given.home / "cache", space.grids), threads=1)
    everything, settings = np.arange(len(dataset)), tried(truth)[: given.settings]
    probes, columns = [], list[dict[str, Any]]()
    for repeat in range(given.repeats):
        outside = np.ones(len(dataset), bool)
        outside[stratified_order(dataset.labels, repeat)[: given.images]] = False
        probes.append(
            Probe(replace(whole.spec, dataset=replace(dataset, is_test=outside), folds=given.folds), whole.backbone)
        )
        columns.append({"right": [], "test": []})
    for setting in counted(iter(settings), len(settings), "settings"):
        (view,) = whole._views
        for _ in view.fill(everything, [setting.timestep], 1, Clock()):
            pass
        features = view.read(everything, setting)
        assert features is not None
        for probe, column in zip(probes, columns, strict=True):
            images, outside = probe._training, probe._tested
            fitting, mine, rounds = probe._fitting(setting), features[images], []
            for seed in range(ROUNDS + 1):
                validated = _last(fitting.validate(mine, images, probe.splits(seed), seed, Clock()))
                rounds.append(validated.predictions.correct)
            classifier, _ = fitting.refit(mine, images, probe.splits(ROUNDS), ROUNDS, validated)
            test = fitting.labelled(features, outside, outside)
            column["right"].append(rounds)
            column["test"].append(predict(classifier, test).correct)
    for repeat, (probe, column) in enumerate(zip(probes, columns, strict=True)):
        validated = [np.concatenate([parts.validation for parts in probe.splits(seed)]) for seed in range(ROUNDS + 1)]
        costs = [whole.backbone.architecture.pass_gmacs(setting) for setting in settings]
        np.savez_compressed(
            given.out / f"{given.task}-{given.images}-{repeat}.npz",
            folds=given.folds or 0,
            settings=[setting.to_json() for setting in settings],
            costs=costs,
            images=validated,
            right=np.array(column["right"]),
            test=np.array(column["test"]),
        )


def _last(reports: Any) -> Any:
    """Return the value of a generator."""
    while True:
        try:
            next(reports)
        except StopIteration as end:
            return end.value


if __name__ == "__main__":
    main()
