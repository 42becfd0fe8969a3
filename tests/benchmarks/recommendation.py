r"""Whether what `search recommend` says is true: repeated recommendations from parts of a dataset, judged on the rest.

    python tests/benchmarks/recommendation.py --home HOME --out docs/data/recommendation.json \
        --case digits:100 --case cub-50=DIR:750:classes=0-25 \
        --case flowers-17=DIR:800:passes=600 [--repeats 16] [--exhaustive]

A case takes `images` images of a task (a name of `selection_truth.py`), equally many of each class, for all images
there are. The recommendation sees these alone. The truth is a ridge head fitted on all of them, at the strength that
leave-one-out chooses, on the other images of the task. Images of the test split are used like all others. Each repeat
draws other images.

classes: a range of labels. passes: the limit of forward passes, so that the accuracy is extrapolated.

- `says`, `true`: the mean accuracy to expect, and the mean of the truth.
- `covered`: how often the interval contains the truth.
- `losses covered`: the share of the compared settings whose interval contains the true loss, and how often all of a
  recommendation do.
- `wrong`: settings that are called worse or better, and are not, by the truth.
- `half width`: of the interval, in points.
- `choosing`, `measuring`: forward passes, as shares of all images at all timesteps.

- `loss`: with `--exhaustive`, what the recommended setting loses to the best of all settings of the default space, in
  points of the truth, with its standard error over the repeats. The luckiest of 456 is not the best: one half of the
  other images chooses the best setting, the other half judges it, and the other way round.

The truth has noise of its own, as it is measured on some hundred images: coverage is at most better than it seems.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Self

import numpy as np
import torch
from scipy.stats import sem

from objectives.datasets.dataset import Dataset
from objectives.features.extraction import Clock
from objectives.heads.catalog import HEADS
from objectives.heads.head import LabelledFeatures, predict
from objectives.probing.probe import Probe
from objectives.probing.screening import Screener, screen
from objectives.probing.spec import ProbeSpec
from objectives.results import CorrectMask, ScreeningResults
from search.recommendation.recommender import Recommender
from spaces import Setting, Space
from tests.benchmarks.selection_truth import TASKS, space_of_truth

CASE = re.compile(
    r"(?P<task>[^=:]+)(=(?P<root>[^:]+))?:(?P<images>\d+)"
    r"(:classes=(?P<first>\d+)-(?P<end>\d+))?(:passes=(?P<passes>\d+))?"
)


@dataclass(frozen=True)
class Case:
    """task: a name of `TASKS`. root: the folder of its images. The rest is as in the text above."""

    task: str
    root: Path | None
    images: int
    classes: tuple[int, int] | None
    passes: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        found = CASE.fullmatch(text)
        if found is None:
            raise ValueError(f"a case is TASK[=DIR]:IMAGES[:classes=A-B][:passes=N], got {text!r}")
        classes = (int(found["first"]), int(found["end"])) if found["first"] else None
        root, passes = found["root"] and Path(found["root"]), found["passes"] and int(found["passes"])
        return cls(found["task"], root or None, int(found["images"]), classes, passes or None)

    def __str__(self) -> str:
        classes = f", classes {self.classes[0]} to {self.classes[1] - 1}" if self.classes else ""
        return f"{self.task}{classes}, {self.images}" + (f", {self.passes} passes" if self.passes else "")

    def drawn(self, whole: Dataset, seed: int) -> Dataset:
        """Return a dataset whose training images are the drawn ones, and whose test images are all others."""
        first, end = self.classes or (0, len(whole.classes))
        chance = np.random.default_rng(seed)
        by_class = [chance.permutation(np.flatnonzero(whole.labels == label)) for label in range(first, end)]
        shots = self.images // len(by_class)
        training = chance.permutation(np.concatenate([images[:shots] for images in by_class]))
        others = np.concatenate([images[shots:] for images in by_class])
        order = np.concatenate([training, others])
        return replace(
            whole,
            images=whole.images.keep(order.tolist()),
            labels=whole.labels[order] - first,
            is_test=np.arange(len(order)) >= len(training),
            classes=whole.classes[first:end],
        )


@dataclass(frozen=True)
class Outcome:
    """says, low, high, true: accuracies in percent. losses: (value, low, high, verdict, true), in points."""

    setting: str
    says: float
    low: float
    high: float
    true: float
    losses: Sequence[tuple[float, float, float, int, float]]
    choosing: float
    measuring: float
    loss: float | None

    @property
    def covered(self) -> bool:
        return self.low <= self.true <= self.high

    @property
    def losses_covered(self) -> list[bool]:
        return [low <= true <= high for _, low, high, _verdict, true in self.losses]

    @property
    def wrong(self) -> int:
        """Number of settings that are called worse or better, and are not."""
        return sum(verdict * true < 0 for *_, verdict, true in self.losses)


def recommended(case: Case, probe: Probe, space: Space, repeats: int, exhaustive: bool) -> Iterator[Outcome]:
    for seed in range(repeats):
        dataset = case.drawn(probe.spec.dataset, seed)
        spec = replace(probe.spec, dataset=dataset)
        screener = Screener(spec, probe.backbone)
        recommender = Recommender(space, screener.screen, screener.labels, case.passes)
        for _ in recommender.run():
            pass
        results, judge = recommender.recommendation, Probe(spec, probe.backbone)
        yield outcome(
            results, judge, len(space.timesteps), loss_of(results.best.setting, judge, space) if exhaustive else None
        )


def loss_of(recommended: Setting, probe: Probe, space: Space) -> float:
    """Return the loss to the best setting, in points, without the luck of the best."""
    answer = correct(truth(probe, recommended))
    right = np.stack([correct(truth(probe, replace(setting, head="ridge"))) for setting in space.settings()])
    is_first = np.random.default_rng(0).permutation(len(answer)) < len(answer) / 2
    losses = []
    for chooses in (is_first, ~is_first):
        best = right[:, chooses].mean(axis=1).argmax()
        losses.append(float(right[best, ~chooses].mean() - answer[~chooses].mean()))
    return 100 * fmean(losses)


def correct(mask: CorrectMask) -> np.ndarray:
    bits: np.ndarray = np.unpackbits(np.frombuffer(mask.to_bytes(), np.uint8), bitorder="little")[: mask.total]
    return bits


def outcome(results: ScreeningResults, probe: Probe, timesteps: int, loss: float | None) -> Outcome:
    expected, every = results.expected, results.images * timesteps
    best = truth(probe, results.best.setting)
    losses = []
    for other in results.compared:
        shown = other.accuracy_loss
        true = best.accuracy.value - truth(probe, other.screened.setting).accuracy.value
        verdict = 0 if other.tied else 1 if shown.value > 0 else -1
        losses.append((100 * shown.value, 100 * shown.low, 100 * shown.high, verdict, 100 * true))
    return Outcome(
        str(results.best.setting),
        100 * expected.value,
        100 * expected.low,
        100 * expected.high,
        100 * best.accuracy.value,
        losses,
        (results.passes - results.measuring) / every,
        results.measuring / every,
        loss,
    )


def truth(probe: Probe, setting: Setting) -> CorrectMask:
    """Return which of the other images a ridge head of all drawn ones classifies correctly."""
    dataset, classes = probe.spec.dataset, len(probe.spec.dataset.classes)
    (view,), everything = probe._views, np.arange(len(dataset))
    for _ in view.fill(everything, [setting.timestep], setting.draws, Clock()):
        pass
    features = view.read(everything, setting)
    assert features is not None
    labels, is_test = torch.from_numpy(dataset.labels), torch.from_numpy(dataset.is_test)
    train, test = (LabelledFeatures(features[part], labels[part]) for part in (~is_test, is_test))
    details = {"l2": screen(train.features, train.labels, classes).l2, "factor": 1.0}
    return predict(HEADS["ridge"].refit(train, classes, {}, details, 0), test).correct_mask


def summary(case: Case, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    losses = [each.loss for each in outcomes if each.loss is not None]
    return {
        "case": str(case),
        "repeats": len(outcomes),
        "says": round(fmean(each.says for each in outcomes), 1),
        "true": round(fmean(each.true for each in outcomes), 1),
        "covered": sum(each.covered for each in outcomes),
        "half width": round(fmean((each.high - each.low) / 2 for each in outcomes), 1),
        "losses": sum(len(each.losses) for each in outcomes),
        "losses covered": sum(sum(each.losses_covered) for each in outcomes),
        "all losses covered": sum(all(each.losses_covered) for each in outcomes),
        "wrong": sum(each.wrong for each in outcomes),
        **({"loss": round(fmean(losses), 2), "error": round(float(sem(losses)), 2)} if losses else {}),
        "choosing": round(fmean(each.choosing for each in outcomes), 3),
        "measuring": round(fmean(each.measuring for each in outcomes), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--case", type=Case.parse, action="append", required=True, metavar="TASK[=DIR]:IMAGES[:…]")
    parser.add_argument("--repeats", type=int, default=16)
    parser.add_argument("--exhaustive", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    space = space_of_truth(given.home / "cache")
    rows = []
    for case in given.case:
        dataset = TASKS[case.task].load(case.root)
        spec = ProbeSpec(dataset, "bundled", "float32", given.home / "cache", space.grids)
        outcomes = list(recommended(case, Probe.build(spec, threads=1), space, given.repeats, given.exhaustive))
        rows.append(summary(case, outcomes))
        print(rows[-1], flush=True)
    if given.out is not None:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
