r"""Measures how a search chooses its answer: the rounds of candidates against three finalists over five seeds.

    python tests/benchmarks/finals.py FOLDER --out docs/data/finals.json

FOLDER has the tables of `finals_tables.py`. Each table is one draw of training images; from each, `--searches` random
subsets of `--trials` settings are the trials of a search. What is chosen is judged on all images outside the draw.

**Loss** of an answer: to the best setting of the trials, in points of accuracy. The setting that is the best on the
truth is lucky there too, so one half of the truth says which is the best, and the other half says what the answer loses
to it; each half in its turn. **Fits**: a validation is one fit, a test is two.

**Coverage**: how often the stated interval contains the true loss. The true scores are sampled from their posterior,
given the images outside the draw. "Known truth": the same tables with the truth as the population. The images of the
trials and the rounds are drawn from it, with replacement, and the true score of a setting is its mean over all of it.
This leaves out the luck of the training images. With folds it would leave out the luck of the folds too, and is not
measured.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from dashboards.selection.answer import answer_of, candidates_of, elimination_of
from dashboards.selection.elimination import WORTHWHILE
from dashboards.selection.expected_loss import expected_loss, shared_out
from objectives.results import GMACS, Accuracy, CorrectMask, ImageScores, Reevaluation, StudyResults, Trial
from spaces import Setting
from tests.support.studies import small_results

FORMER_FINALISTS, SAMPLES = 3, 2000


def true_scores(test: np.ndarray) -> np.ndarray:
    """Return samples of the true scores of all settings, (samples, settings), given the test images.

    The true scores of the better half of the settings are Gaussian around the median, with a spread that follows from
    the data (Gelman et al. 2013, chapter 5). The other half cannot be the best: their score is what was measured.

    test: (settings, test images).
    """
    measured = test.mean(axis=1)
    middle = float(np.median(measured))
    upper = np.flatnonzero(measured >= middle)
    # In the directions of the eigenvectors of the noise, the true scores are independent, whatever their spread.
    noise, directions = np.linalg.eigh(shared_out(test[upper].astype(float)))
    noise, values = np.maximum(noise, 1e-8), directions.T @ (measured[upper] - middle)
    spreads = float(np.mean(values**2)) ** 0.5 * np.geomspace(0.05, 3, 25)
    signal = spreads[:, None] ** 2 + noise
    weights = np.log(spreads) - (values**2 / signal + np.log(signal)).sum(axis=1) / 2
    weights = np.exp(weights - weights.max())
    generator = np.random.default_rng(0)
    chosen = generator.choice(len(spreads), SAMPLES, p=weights / weights.sum())
    share = spreads[chosen, None] ** 2 / signal[chosen]
    normal = generator.standard_normal(share.shape) * np.sqrt(share * noise)
    samples = np.tile(measured, (SAMPLES, 1))
    samples[:, upper] = middle + (share * values + normal) @ directions.T
    return samples


@dataclass(frozen=True)
class Table:
    """The results of one draw of training images.

    drawn: how many. right: (settings, seeds, validation images), seed 0 first. images: (seeds, validation images).
    test: (settings, test images). folds: 0 where one split validates.
    """

    drawn: int
    settings: Sequence[Setting]
    costs: np.ndarray
    images: np.ndarray
    right: np.ndarray
    test: np.ndarray
    folds: int = 0

    @classmethod
    def read(cls, file: Path) -> "Table":
        kept = np.load(file)
        settings = [Setting.from_dict(json.loads(text)) for text in kept["settings"]]
        drawn, folds = int(file.stem.split("-")[-2]), int(kept["folds"]) if "folds" in kept else 0
        return cls(drawn, settings, kept["costs"], kept["images"], kept["right"], kept["test"], folds)

    @cached_property
    def true_scores(self) -> np.ndarray:
        return true_scores(self.test)

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

    def study(self, trials: Sequence[int], reevaluated: Mapping[int, int], most_rounds: int) -> StudyResults:
        """Return the study of these trials. reevaluated: setting → how many rounds. most_rounds: that are allowed."""
        made = tuple(self._trial(number, index) for number, index in enumerate(trials))
        rounds = tuple(
            self._reevaluation(index, seed) for index, count in reevaluated.items() for seed in self.rounds[:count]
        )
        validated = self.images.shape[1]
        train = self.drawn if self.folds else self.drawn - validated
        counts = {"train": train, "validation": validated, "test": self.test.shape[1]}
        provenance = {"seed": "0"} | ({"folds": str(self.folds)} if self.folds else {})
        study = small_results(made, rounds=most_rounds, counts=counts, provenance=provenance)
        return replace(study, reevaluations=rounds)

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


Rule = Callable[[Table, Sequence[int]], Choice]


def best_trial(table: Table, trials: Sequence[int]) -> Choice:
    return Choice(max(trials, key=lambda index: table.right[index, 0].sum()), 2 * len(table.rounds))


def three_finalists(table: Table, trials: Sequence[int]) -> Choice:
    """The rule of earlier versions: the best three trials, by their mean over five other seeds; all are tested."""
    finalists = sorted(trials, key=lambda index: -table.right[index, 0].sum())[:FORMER_FINALISTS]
    chosen = max(finalists, key=lambda index: table.right[index, 1:].sum())
    return Choice(chosen, 2 * FORMER_FINALISTS * len(table.rounds))


def rounds(at_most: int, most_rounds: int = 5) -> Rule:
    """The present rule, with so many candidates, and at most so many rounds."""

    def choose(table: Table, trials: Sequence[int]) -> Choice:
        by_setting = {table.settings[index]: index for index in trials}
        candidates = candidates_of(table.study(trials, {}, most_rounds), at_most)
        done = {by_setting[setting]: 0 for setting in candidates}
        while True:
            study = table.study(trials, done, most_rounds)
            elimination = elimination_of(study, candidates)
            remaining = elimination.remaining
            if len(remaining) < 2 or elimination.rounds == most_rounds or elimination.gain < WORTHWHILE:
                break
            done |= {by_setting[setting]: elimination.rounds + 1 for setting in remaining}
        answer = answer_of(study, elimination)
        assert answer is not None
        loss = expected_loss(study, elimination, answer)
        assert loss is not None
        return Choice(by_setting[answer], sum(done.values()) + 2 * most_rounds, (loss.value, loss.high))

    return choose


def leader(at_most: int, most_rounds: int) -> Rule:
    """The same without the preference for what is cheap."""
    choose = rounds(at_most, most_rounds)

    def chosen(table: Table, trials: Sequence[int]) -> Choice:
        by_setting = {table.settings[index]: index for index in trials}
        candidates = candidates_of(table.study(trials, {}, most_rounds), at_most)
        seeds = range(1, most_rounds + 1)
        indices = [by_setting[setting] for setting in candidates]
        best = max(indices, key=lambda index: table.right[index, seeds].sum())
        return replace(choose(table, trials), chosen=best, loss=None)

    return chosen


ONE_SPLIT: Mapping[str, Rule] = {
    "best trial": best_trial,
    "3 finalists, 5 seeds": three_finalists,
    "4 candidates": rounds(4),
    "6 candidates": rounds(6),
    "12 candidates": rounds(12),
}

WITH_FOLDS: Mapping[str, Rule] = {
    "best trial": best_trial,
    "6 candidates, at most 1 round": rounds(6, 1),
    "6 candidates, at most 2 rounds": rounds(6, 2),
    "6 candidates, at most 5 rounds": rounds(6, 5),
    "12 candidates, at most 2 rounds": rounds(12, 2),
    "12 candidates, at most 5 rounds": rounds(12, 5),
    "6 candidates, 2 rounds, the best mean": leader(6, 2),
    "6 candidates, 5 rounds, the best mean": leader(6, 5),
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


Found = tuple[float, float, Choice, float]
"""Loss by halves, loss by the truth as it is, the choice, and the probability that its interval holds."""


def measure(files: Sequence[Path], searches: int, trials: int, resampled: bool) -> dict[str, Any]:
    """resampled: whether the images are drawn from the test images, so that the truth is known."""
    rows: dict[str, list[Found]] = defaultdict(list)
    for repeat, file in enumerate(files):
        table = Table.read(file)
        for search in range(searches):
            drawn = table.resampled(search) if resampled else table
            tried = np.random.default_rng([repeat, search]).permutation(len(table.settings))[:trials].tolist()
            for name, rule in (WITH_FOLDS if table.folds else ONE_SPLIT).items():
                choice = rule(drawn, tried)
                rows[name].append((*losses(table, tried, choice.chosen), choice, coverage(table, tried, choice)))
    return {name: _summary(found, len(files), resampled) for name, found in rows.items()}


def coverage(table: Table, trials: Sequence[int], choice: Choice) -> float:
    """Return the probability that the stated interval contains the true loss, given the test images."""
    if choice.loss is None:
        return 0.0
    samples = table.true_scores[:, trials]
    true = samples.max(axis=1) - table.true_scores[:, choice.chosen]
    return float((true <= choice.loss[1] + 1e-9).mean())


def _summary(
    found: Sequence[tuple[float, float, Choice, float | None]], draws: int, resampled: bool
) -> dict[str, float]:
    loss = np.array([(whole if resampled else by_halves) for by_halves, whole, _, _ in found])
    by_draw = loss.reshape(draws, -1).mean(axis=1)
    summary = {
        "loss": 100 * float(loss.mean()),
        "standard error": 100 * float(by_draw.std(ddof=1)) / draws**0.5,
        "fits": fmean(choice.fits for _, _, choice, _ in found),
    }
    stated = [
        (choice.loss, whole, covered) for _, whole, choice, covered in found if choice.loss and covered is not None
    ]
    if stated:
        summary |= {
            "stated loss": 100 * fmean(value for (value, _), _, _ in stated),
            "stated end": 100 * fmean(high for (_, high), _, _ in stated),
            "coverage": fmean(whole <= high + 1e-9 if resampled else covered for (_, high), whole, covered in stated),
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
        for resampled in ((False,) if Table.read(files[0]).folds else (False, True))
    }
    for task, rows in results.items():
        print(task)
        for name, row in rows.items():
            print(f"  {name:22}", "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    if given.out is not None:
        given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
