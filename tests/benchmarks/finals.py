r"""Measures how a search chooses its answer: the rounds of candidates against three finalists over five seeds.

    python tests/benchmarks/finals.py FOLDER --out docs/data/finals.json

FOLDER has the tables of `finals_tables.py`. Each table is one draw of training images; from each, `--searches` random
subsets of `--trials` settings are the trials of a search. What is chosen is judged on all images outside the draw.

**Loss** of an answer: to the best setting of the trials, in points of accuracy. The setting that is the best on the
truth is lucky there too, so one half of the truth says which is the best, and the other half says what the answer loses
to it; each half in its turn. **Fits**: a validation is one fit, a test is two.

**Coverage** of the stated interval needs a known truth: the same tables with the truth as the population. The images of
the trials and the rounds are drawn from it, with replacement, and the true score of a setting is its mean over all of
it. This leaves out the luck of the training images, which the other judge has: there "coverage" counts the luck of the
best against the interval, so it is lower than the true one.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from dashboards.selection.answer import answer_of, candidates_of, elimination_of
from dashboards.selection.expected_loss import expected_loss
from objectives.results import GMACS, Accuracy, CorrectMask, ImageScores, Reevaluation, StudyResults, Trial
from spaces import Setting
from tests.support.studies import small_results

FORMER_FINALISTS = 3


@dataclass(frozen=True)
class Table:
    """The results of one draw of training images.

    drawn: how many. right: (settings, seeds, validation images), seed 0 first. images: (seeds, validation images).
    test: (settings, test images).
    """

    drawn: int
    settings: Sequence[Setting]
    costs: np.ndarray
    images: np.ndarray
    right: np.ndarray
    test: np.ndarray

    @classmethod
    def read(cls, file: Path) -> "Table":
        kept = np.load(file)
        settings = [Setting.from_dict(json.loads(text)) for text in kept["settings"]]
        return cls(int(file.stem.split("-")[-2]), settings, kept["costs"], kept["images"], kept["right"], kept["test"])

    def resampled(self, seed: int) -> "Table":
        """Return the same settings with known truth: the mean over the test images.

        Images are drawn from the test images, with replacement, and validate in place of the training images.
        """
        generator = np.random.default_rng(seed)
        seeds, validated = self.images.shape
        drawn = generator.integers(0, self.test.shape[1], self.drawn)
        images = np.stack([generator.permutation(len(drawn))[:validated] for _ in range(seeds)])
        right = np.stack([self.test[:, drawn[chosen]] for chosen in images], axis=1)
        return replace(self, images=images, right=right)

    @property
    def rounds(self) -> range:
        return range(1, self.right.shape[1])

    def study(self, trials: Sequence[int], reevaluated: Mapping[int, int]) -> StudyResults:
        """Return the study of these trials. reevaluated: setting → how many rounds."""
        made = tuple(self._trial(number, index) for number, index in enumerate(trials))
        rounds = tuple(
            self._reevaluation(index, seed) for index, count in reevaluated.items() for seed in self.rounds[:count]
        )
        validated = self.images.shape[1]
        counts = {"train": self.drawn - validated, "validation": validated, "test": self.test.shape[1]}
        return replace(small_results(made, rounds=len(self.rounds), counts=counts), reevaluations=rounds)

    def _trial(self, number: int, index: int) -> Trial:
        right = self.right[index, 0]
        mask = CorrectMask.from_bytes(len(right), np.packbits(right, bitorder="little").tobytes())
        costs = {GMACS: float(self.costs[index])}
        return Trial(number, "complete", self.settings[index], mask.accuracy, details=costs, correct_mask=mask)

    def _reevaluation(self, index: int, seed: int) -> Reevaluation:
        right = self.right[index, seed]
        scores = ImageScores(self.images[seed].astype("<i4").tobytes(), right.astype("<f4").tobytes())
        return Reevaluation(self.settings[index], seed, Accuracy(int(right.sum()), len(right)), 0.0, 0, 0, scores)


@dataclass(frozen=True)
class Choice:
    """chosen: index of the answer. fits: after the trials. loss: the stated loss, and the end of its interval."""

    chosen: int
    fits: int
    loss: tuple[float, float] | None = None


def best_trial(table: Table, trials: Sequence[int]) -> Choice:
    return Choice(max(trials, key=lambda index: table.right[index, 0].sum()), 2 * len(table.rounds))


def three_finalists(table: Table, trials: Sequence[int]) -> Choice:
    """The rule of earlier versions: the best three trials, by their mean over five other seeds; all are tested."""
    finalists = sorted(trials, key=lambda index: -table.right[index, 0].sum())[:FORMER_FINALISTS]
    chosen = max(finalists, key=lambda index: table.right[index, 1:].sum())
    return Choice(chosen, 2 * FORMER_FINALISTS * len(table.rounds))


def rounds(at_most: int) -> Callable[[Table, Sequence[int]], Choice]:
    """The present rule, with so many candidates."""

    def choose(table: Table, trials: Sequence[int]) -> Choice:
        by_setting = {table.settings[index]: index for index in trials}
        candidates = candidates_of(table.study(trials, {}), at_most)
        done = {by_setting[setting]: 0 for setting in candidates}
        while True:
            study = table.study(trials, done)
            elimination = elimination_of(study, candidates)
            remaining = elimination.remaining
            if len(remaining) < 2 or elimination.rounds == len(table.rounds):
                break
            done |= {by_setting[setting]: elimination.rounds + 1 for setting in remaining}
        answer = answer_of(study, elimination)
        assert answer is not None
        loss = expected_loss(study, elimination, answer)
        assert loss is not None
        return Choice(by_setting[answer], sum(done.values()) + 2 * len(table.rounds), (loss.value, loss.high))

    return choose


RULES: Mapping[str, Callable[[Table, Sequence[int]], Choice]] = {
    "best trial": best_trial,
    "3 finalists, 5 seeds": three_finalists,
    "4 candidates": rounds(4),
    "6 candidates": rounds(6),
    "12 candidates": rounds(12),
}


def losses(table: Table, trials: Sequence[int], chosen: int) -> tuple[float, float]:
    """Return the loss by halves of the truth, and by the truth as it is."""
    order = np.random.default_rng(0).permutation(table.test.shape[1])
    halves = [table.test[:, half].mean(axis=1) for half in (order[::2], order[1::2])]
    by_halves = fmean(
        float(judge[max(trials, key=lambda index: other[index])] - judge[chosen])
        for judge, other in (halves, halves[::-1])
    )
    whole = table.test.mean(axis=1)
    return by_halves, float(whole[list(trials)].max() - whole[chosen])


def measure(files: Sequence[Path], searches: int, trials: int, resampled: bool) -> dict[str, Any]:
    """resampled: whether the images are drawn from the test images, so that the truth is known."""
    rows: dict[str, list[tuple[float, float, Choice]]] = defaultdict(list)
    for repeat, file in enumerate(files):
        table = Table.read(file)
        for search in range(searches):
            drawn = table.resampled(search) if resampled else table
            tried = np.random.default_rng([repeat, search]).permutation(len(table.settings))[:trials].tolist()
            for name, rule in RULES.items():
                choice = rule(drawn, tried)
                rows[name].append((*losses(table, tried, choice.chosen), choice))
    return {name: _summary(found, len(files), resampled) for name, found in rows.items()}


def _summary(found: Sequence[tuple[float, float, Choice]], draws: int, resampled: bool) -> dict[str, float]:
    loss = np.array([(whole if resampled else by_halves) for by_halves, whole, _ in found])
    by_draw = loss.reshape(draws, -1).mean(axis=1)
    summary = {
        "loss": 100 * float(loss.mean()),
        "standard error": 100 * float(by_draw.std(ddof=1)) / draws**0.5,
        "fits": fmean(choice.fits for _, _, choice in found),
    }
    stated = [(choice.loss, whole) for _, whole, choice in found if choice.loss is not None]
    if stated:
        summary |= {
            "stated loss": 100 * fmean(value for (value, _), _ in stated),
            "stated end": 100 * fmean(high for (_, high), _ in stated),
            "coverage": fmean(whole <= high + 1e-9 for (_, high), whole in stated),
        }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--searches", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    tables: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(given.folder.glob("*.npz")):
        tables[file.stem.rpartition("-")[0]].append(file)
    results = {
        f"{task}{', known truth' if resampled else ''}": measure(files, given.searches, given.trials, resampled)
        for task, files in tables.items()
        for resampled in (False, True)
    }
    for task, rows in results.items():
        print(task)
        for name, row in rows.items():
            print(f"  {name:22}", "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    if given.out is not None:
        given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
