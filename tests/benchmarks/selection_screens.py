r"""Screens real images, for the comparison in `selection.py`, in ten orders of the images of each task.

    python tests/benchmarks/selection_screens.py --task cub-10 --data-root DIR --home HOME --out tests/benchmarks/truth

Tasks, folders and folds are those of `selection_truth.py`. Each order screens twice: the whole task, and its images in
three of the five folds, so that the other two can judge an answer that never saw them. The ten orders go with the ten
pairs of judges.

They screen with the paper's findings alone to go by, and once more with past studies: of each other dataset in `--out`
the accuracy of `PAST` settings, drawn at random, on one fold.

Of every screening the file has what it would have answered after each of its steps, by the recommendation and by the
least error alone; the passes and processor seconds spent until then, passes themselves apart; the error of each
setting on the first images; and how it ranks all
settings in the end, those that were not screened too, as rank correlations with the truth of the judges and of all
folds. Beside them the processor seconds of a trial of the linear head with its features cached, the mean of `TIMED`
settings. The network must run on one thread, as all seconds do.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from objectives.datasets.dataset import Dataset
from objectives.datasets.splits import folds
from objectives.probing.probe import Probe
from objectives.probing.screening import Screener
from objectives.probing.spec import ProbeSpec
from objectives.results import Extracted, ScreenedSetting
from search.recommendation.recommender import Recommender
from search.surrogates.past_tasks import PUBLISHED_TASKS, PastTask, past_task_of
from search.surrogates.screening_posterior import ScreeningPosterior
from spaces import Setting, Space
from tests.benchmarks.selection_searches import See
from tests.benchmarks.selection_truth import FOLDS, TASKS, Truth, space_of_truth

JUDGES = tuple(combinations(range(FOLDS), 2))
TIMED = 20
PAST = 100
PASTS = ("digits", "cub-50", "flowers-17")


def cell(setting: Setting) -> list[int | None]:
    return [setting.timestep, setting.block, setting.pool]


def shuffled(dataset: Dataset, images: np.ndarray, seed: int) -> Dataset:
    """Return these images alone, in an order of the seed, which a screener's own order then follows."""
    order = np.random.default_rng(seed).permutation(images)
    return replace(
        dataset,
        images=dataset.images.keep(order.tolist()),
        labels=dataset.labels[order],
        is_test=dataset.is_test[order],
    )


def screened(
    screener: Screener, space: Space, passes: int | None, past: Sequence[PastTask], truths: Mapping[str, See]
) -> dict[str, Any]:
    """truths: what to correlate all settings with."""
    answers: list[list[float | None]] = []
    seconds = 0.0

    def watched(settings: Sequence[Setting], images: int) -> Iterator[Extracted | ScreenedSetting]:
        nonlocal seconds
        since = time.process_time()
        yield from list(screener.screen(settings, images))
        least = recommender.posterior.best
        answer = recommender.recommendation.best
        seconds += time.process_time() - since
        answers.append([recommender.passes_made, round(seconds, 3), *cell(answer.setting), *cell(least.setting)])

    labels = screener.spec.dataset.labels[screener.order].tolist()
    recommender = Recommender(space, watched, labels, passes, past_tasks=past)
    for _ in recommender.run():
        pass
    posterior = recommender.posterior
    ranks = {name: _rank(posterior, truth) for name, truth in truths.items()}
    scores = [[*cell(each.setting), round(each.error, 4)] for each in recommender.recommendation.comparable]
    return {"images": len(labels), "answers": answers, "ranks": ranks, "scores": scores}


def _rank(posterior: ScreeningPosterior, truth: See) -> float:
    true = [truth(replace(setting, head="linear")) for setting in posterior.candidates]
    return round(float(spearmanr(posterior.mean, true).statistic), 4)


def past_studies(task: str, folder: Path, space: Space, seed: int) -> list[PastTask]:
    """Return the largest task of each other dataset, as past tasks."""
    studies = []
    for name in PASTS:
        if TASKS[name].dataset != TASKS[task].dataset:
            truth = Truth.read(folder / f"{name}.json")
            some = np.random.default_rng(seed).permutation(len(truth.right))[:PAST]
            settings = [[*truth.right][index] for index in some]
            found = [(setting, truth.accuracy(setting, [0])) for setting in settings]
            studies.append(past_task_of(name, space.architecture, found, truth.classes, sum(truth.sizes)))
    return studies


def trial_seconds(spec: ProbeSpec, space: Space) -> float:
    """Processor seconds of a trial whose passes are made, on average."""
    probe = Probe.build(spec, threads=1)
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
    backbone = Probe.build(spec, threads=1).backbone
    parts = [fold.validation for fold in folds(dataset, FOLDS, seed=0)]
    everything = np.concatenate(parts)
    limit = Recommender(space, Screener(spec, backbone).screen, dataset.labels[everything].tolist()).pass_limit
    screened(
        Screener(spec, backbone), space, limit, PUBLISHED_TASKS, {}
    )  # untimed: it makes the passes that most orders need
    screens = []
    truth = Truth.read(given.out / f"{given.task}.json")
    for seed, judges in enumerate(JUDGES):
        seen = np.concatenate([part for number, part in enumerate(parts) if number not in judges])
        row: dict[str, Any] = {"judges": judges}
        pasts = {
            "alone": PUBLISHED_TASKS,
            "memory": [*PUBLISHED_TASKS, *past_studies(given.task, given.out, space, seed)],
        }
        truths = {
            name: partial(truth.accuracy, folds=folds) for name, folds in (("judges", judges), ("all", range(FOLDS)))
        }
        for name, images in (("held out", seen), ("whole", everything)):
            own = replace(spec, dataset=shuffled(dataset, images, seed))
            row[name] = {}
            for memory, past in pasts.items():
                screened(Screener(own, backbone), space, limit, past, {})  # the same once more, for its passes
                row[name][memory] = screened(Screener(own, backbone), space, limit, past, truths)
        screens.append(row)
    facts = {"task": given.task, "images": len(everything), "trial seconds": round(trial_seconds(spec, space), 4)}
    path = given.out / f"{given.task}-screens.json"
    path.write_text(json.dumps(facts | {"screens": screens}) + "\n")


if __name__ == "__main__":
    main()
