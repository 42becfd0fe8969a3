r"""What screening answers on real images, for `selection.py` to compare with: ten orders of the images of each task.

    python tests/benchmarks/selection_screens.py --task cub-10 --data-root DIR --home HOME --out tests/benchmarks/truth

Tasks, folders and folds are those of `selection_truth.py`. Each order screens twice: the whole task, and its images in
three of the five folds, so that the other two can judge an answer that never saw them. The ten orders go with the ten
pairs of judges.

Of every screening the file has what it would have answered after each of its steps, by the recommendation and by the
least error alone; the passes and processor seconds spent until then, passes themselves apart; and the error of each
setting on the first images. Beside them the processor seconds of a trial of the linear head with its features cached,
the mean of `TIMED` settings. The network must run on one thread, as all seconds do.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from objectives.datasets.dataset import Dataset
from objectives.datasets.splits import folds
from objectives.probe import ProbeSpec
from objectives.results import Extracted
from objectives.screened import Screened
from objectives.screening import Screener
from search.recommending import Recommender
from spaces import Setting, Space
from tests.benchmarks.selection_truth import FOLDS, TASKS, space_of_truth

JUDGES = tuple(combinations(range(FOLDS), 2))
TIMED = 20


def cell(setting: Setting) -> list[int | None]:
    return [setting.timestep, setting.block, setting.pool]


def shuffled(dataset: Dataset, images: np.ndarray, seed: int) -> Dataset:
    """These images alone, in an order of the seed, which a screener's own order then follows."""
    order = np.random.default_rng(seed).permutation(images)
    return replace(
        dataset,
        images=dataset.images.keep(order.tolist()),
        labels=dataset.labels[order],
        is_test=dataset.is_test[order],
    )


def screened(screener: Screener, space: Space, passes: int | None) -> dict[str, Any]:
    answers: list[list[float | None]] = []
    scores: dict[int | None, list[float]] = {}
    seconds = 0.0

    def watched(settings: Sequence[Setting], images: int) -> Iterator[Extracted | Screened]:
        nonlocal seconds
        since = time.process_time()
        reports = list(screener.screen(settings, images))
        seconds += time.process_time() - since
        yield from reports
        if images == recommender.first_images:
            errors = [round(report.error, 4) for report in reports if isinstance(report, Screened)]
            scores[settings[0].timestep] = errors
        answer, least = recommender.recommendation.best, recommender._near(0.0)[0]
        spent = [recommender.spent, round(seconds, 3)]
        answers.append([*spent, *cell(answer.setting), *cell(least.setting)])

    labels = screener.spec.dataset.labels[screener.order].tolist()
    recommender = Recommender(space, watched, labels, passes)
    for _ in recommender.run():
        pass
    return {"images": len(labels), "answers": answers, "scores": sorted(scores.items())}


def trial_seconds(spec: ProbeSpec, space: Space) -> float:
    """Processor seconds of a trial whose passes are made, on average."""
    probe = spec.build(threads=1)
    settings = np.random.default_rng(0).permutation(np.array([*space.settings()], object))[:TIMED].tolist()
    for setting in settings:
        list(probe(setting))
    since = time.process_time()
    for setting in settings:
        list(probe(setting))
    return (time.process_time() - since) / TIMED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=list(TASKS))
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset = TASKS[given.task].load(given.data_root)
    space = space_of_truth(given.home / "cache")
    spec = ProbeSpec(dataset, "bundled", "float32", given.home / "cache", space.grids)
    backbone = spec.build(threads=1).backbone
    parts = [fold.validation for fold in folds(dataset, FOLDS, seed=0)]
    everything = np.concatenate(parts)
    limit = Recommender(space, Screener(spec, backbone).screen, dataset.labels[everything].tolist()).limit
    screened(Screener(spec, backbone), space, limit)  # untimed: makes the passes that most orders need
    screens = []
    for seed, judges in enumerate(JUDGES):
        seen = np.concatenate([part for number, part in enumerate(parts) if number not in judges])
        row: dict[str, Any] = {"judges": judges}
        for name, images in (("held out", seen), ("whole", everything)):
            own = replace(spec, dataset=shuffled(dataset, images, seed))
            screened(Screener(own, backbone), space, limit)  # the same once more, so that its passes are made
            row[name] = screened(Screener(own, backbone), space, limit)
        screens.append(row)
    facts = {"task": given.task, "images": len(everything), "trial seconds": round(trial_seconds(spec, space), 4)}
    path = given.out / f"{given.task}-screens.json"
    path.write_text(json.dumps(facts | {"screens": screens}) + "\n")


if __name__ == "__main__":
    main()
