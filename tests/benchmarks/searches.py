r"""Runs whole searches on tables: screening, trials, rounds of candidates, and the answer, by the product's own rules.

    python tests/benchmarks/searches.py FOLDER --out docs/data/searches.json
    python tests/benchmarks/searches.py FOLDER --known-truth --seeds 40 --out docs/data/searches-known-truth.json

The tables are those of `search_tables.py`. A search begins with the screening of its images. The cost-aware sampler
proposes `TRIALS` settings, and sees of each the accuracy in five folds. Then come the rounds of the candidates and the
answer, exactly as `search run` makes them. A proposal depends on the simulated seconds: `PASSES_PER_SECOND` and a fit
in proportion to the images.

- loss: of the answer to the best of all settings, on the images outside the draw, in points. The luckiest of 456 is not
  the best. So the true scores are sampled from their posterior, given these images alone: those of the better half of
  the settings are Gaussian, with a spread that follows from the data (Gelman et al. 2013, chapter 5). Settings that are
  alike have scores that are alike, which this leaves out, so that the loss is rather too large.
- by halves: the loss to the setting that one half of these images names, on the other half, and the other way round.
  This is less than the loss to the best.
- recommendation: the loss of what the screening alone recommends, with the linear head.
- passes: of images at timesteps, as a share of all; those of the screening included.
- expected loss: to the best setting tried, as the report states it. "holds": how often the interval contains the true
  loss, over the same samples.
- holds for all: how often it contains the loss to the best of all settings, also those that were not tried.
- compared: how often the interval of a candidate's loss to the leader contains the true loss, and how often all of a
  search do.

**Known truth** (`--known-truth`, for tables made with `--fold-classifiers`): the images outside the draw are all there
are. So the mean over them is the true score, without noise, and no posterior is needed. In each search, other images
are drawn from them, with replacement, and validate in place of the drawn ones: each by the classifier of a fold, which
was fitted on four fifths of the drawn images. The luck of the drawn images, of the folds, and of the fit on all images
is that of real searches. The screening is that of the drawn images. One luck is left out: real folds validate images
that the other folds were fitted on.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Self

import numpy as np
from optuna.trial import FrozenTrial, create_trial

from dashboards.selection.answer import answer_of, candidates_of, elimination_of, selection
from dashboards.selection.elimination import WORTHWHILE
from objectives.results import GMACS, Accuracy, CorrectMask, ImageScores, Reevaluation, StudyResults, Trial
from search.database.optuna_storage.parameters import distributions, to_params
from search.options.run_options import CANDIDATES, ROUNDS_OF_FOLDS
from search.recommendation.warm_start import start_settings
from search.samplers.catalog import sampler_named
from search.surrogates.past_tasks import PUBLISHED_TASKS, PastTask, PriorKnowledge, past_task_of
from spaces import Setting, Space
from tests.benchmarks.finals import true_scores
from tests.benchmarks.selection_searches import PASSES_PER_SECOND
from tests.benchmarks.selection_truth import space_of_truth
from tests.support.studies import small_results

TRIALS, SEEDS = 60, 3

FIT_SECONDS = 0.0003
"""Seconds of a fit in five folds for each image: 0.4 s for 1,437 (docs/benchmarks.md, One split or folds)."""

Screening = Mapping[str, Any]
"""What `search_tables.screened` returns."""


@dataclass(frozen=True)
class Table:
    """One draw of a task.

    right: (settings, 1 + rounds, drawn images). outside: (settings, other images). by_fold: what the classifiers of the
    folds have right, (settings, 1 + rounds, folds, other images); None if it was not measured. known: whether
    the other images are all there are.
    """

    task: str
    draw: int
    settings: Sequence[Setting]
    costs: np.ndarray
    classes: int
    right: np.ndarray
    outside: np.ndarray
    screening: Screening
    by_fold: np.ndarray | None = None
    known: bool = False

    @classmethod
    def read(cls, file: Path) -> Self:
        kept = np.load(file)
        task, _, draw = file.stem.rpartition("-")
        settings = [Setting.from_dict(json.loads(text)) for text in kept["settings"]]
        right, outside = (
            np.unpackbits(kept[name], axis=-1, count=int(kept[length])).astype(bool)
            for name, length in (("right", "images"), ("outside", "others"))
        )
        screening = json.loads(str(kept["screening"]))
        by_fold = None
        if "by_fold" in kept and kept["by_fold"].size:
            by_fold = np.unpackbits(kept["by_fold"], axis=-1, count=int(kept["others"])).astype(bool)
        return cls(task, int(draw), settings, kept["costs"], int(kept["classes"]), right, outside, screening, by_fold)

    def resampled(self, seed: int) -> Self:
        """Return a table with known truth, in which other images validate. Needs `by_fold`."""
        assert self.by_fold is not None
        generator = np.random.default_rng([7, seed])
        images = generator.integers(0, self.outside.shape[1], self.images)
        _, rounds, folds, _ = self.by_fold.shape
        right = np.stack(
            [self.by_fold[:, round_, generator.permutation(self.images) % folds, images] for round_ in range(rounds)],
            axis=1,
        )
        return replace(self, right=right, known=True)

    @property
    def images(self) -> int:
        return int(self.right.shape[-1])

    @cached_property
    def index(self) -> Mapping[Setting, int]:
        return {setting: index for index, setting in enumerate(self.settings)}

    def mask(self, index: int, seed: int = 0) -> CorrectMask:
        packed = np.packbits(self.right[index, seed], bitorder="little").tobytes()
        return CorrectMask.from_bytes(self.images, packed)

    def study(self, space: Space, tried: Sequence[int], reevaluated: Mapping[int, int]) -> StudyResults:
        """Return the study of these trials. reevaluated: setting → how many rounds."""
        trials = tuple(self._trial(number, index) for number, index in enumerate(tried))
        rounds = tuple(
            self._reevaluation(index, 1 + number) for index, count in reevaluated.items() for number in range(count)
        )
        counts = {"train": self.images, "validation": self.images, "test": self.outside.shape[1]}
        provenance = {"seed": "0", "folds": "5"}
        study = small_results(trials, rounds=ROUNDS_OF_FOLDS, counts=counts, provenance=provenance)
        return replace(study, reevaluations=rounds, architecture=space.architecture)

    def _trial(self, number: int, index: int) -> Trial:
        mask, costs = self.mask(index), {GMACS: float(self.costs[index])}
        return Trial(number, "complete", self.settings[index], mask.accuracy, details=costs, correct_mask=mask)

    def _reevaluation(self, index: int, seed: int) -> Reevaluation:
        right = self.right[index, seed]
        scores = ImageScores(np.arange(self.images, dtype="<i4").tobytes(), right.astype("<f4").tobytes())
        return Reevaluation(self.settings[index], seed, Accuracy(int(right.sum()), len(right)), 0.0, 0, 0, scores)

    def losses(self, chosen: int, among: Sequence[int] | None = None) -> np.ndarray:
        """Return the loss in points to the best of all settings, or of some, in each posterior sample of the truth."""
        samples = self.true_scores
        best = (samples if among is None else samples[:, among]).max(axis=1)
        losses: np.ndarray = 100 * (best - samples[:, chosen])
        return losses

    def loss_to_best(self, chosen: int, among: Sequence[int] | None = None) -> float:
        return float(self.losses(chosen, among).mean())

    def loss_by_halves(self, chosen: int) -> float:
        """Return the loss in points to the setting that one half of the other images names, on the other half."""
        first = np.random.default_rng(0).permutation(self.outside.shape[1]) % 2 == 0
        halves = [self.outside[:, part].mean(axis=1) for part in (first, ~first)]
        return 100 * fmean(float(judge[names.argmax()] - judge[chosen]) for judge, names in (halves, halves[::-1]))

    @cached_property
    def true_scores(self) -> np.ndarray:
        return self.outside.mean(axis=1)[None] if self.known else true_scores(self.outside)


@dataclass(frozen=True)
class Search:
    """tried: in their order. passes: share of all images at all timesteps."""

    tried: Sequence[int]
    passes: float


def run_search(
    table: Table,
    space: Space,
    seed: int,
    screening: Screening,
    past: Sequence[PastTask] = (),
    most_trials: int = TRIALS,
) -> Search:
    """Run the trials of a search after a screening. past: what is known beside the published tasks."""
    errors = [(Setting.from_dict(json.loads(text)), -error) for text, error in screening["errors"]]
    best = [Setting.from_dict(json.loads(text)) for text in screening["best"]]
    own = past_task_of("screened", space.architecture, errors, table.classes, table.images)
    timesteps = {setting.timestep for setting, _ in errors}
    share = screening["passes"] / len(timesteps) / table.images
    cached: dict[tuple[int | None, bool], float] = {(timestep, False): share for timestep in timesteps}
    prior = PriorKnowledge(
        table.classes,
        table.images,
        (*PUBLISHED_TASKS, *past, own),
        start_settings(best, space),
        dict(cached),
    )
    passes = sum(cached.values())
    proposer, trials, tried = sampler_named("cost-aware", seed, prior), list[FrozenTrial](), list[int]()
    while len(tried) < most_trials and (
        setting := proposer.propose(trials, space, {*map(table.settings.__getitem__, tried)})
    ):
        missing = 1 - min(cached.get((setting.timestep, False), 0.0), 1)
        cached[setting.timestep, False], passes = 1, passes + missing
        index = table.index[setting]
        trial = create_trial(
            value=float(table.right[index, 0].mean()),
            params=to_params(setting),
            distributions=distributions(space, setting),
            user_attrs={
                "seconds": {
                    "extract": missing * table.images / PASSES_PER_SECOND,
                    "fit": FIT_SECONDS * table.images,
                },
                "passes": {"made": round(missing * table.images), "needed": table.images},
            },
        )
        trial.number = len(trials)
        trials.append(trial)
        tried.append(index)
    return Search(tried, passes / len(space.timesteps))


def finals(table: Table, space: Space, search: Search, screened: Setting) -> StudyResults:
    """Compare the candidates as `search.running.finals.StudyFinals` does."""
    candidates = candidates_of(table.study(space, search.tried, {}), CANDIDATES, screened)
    done = {table.index[setting]: 0 for setting in candidates}
    while True:
        study = table.study(space, search.tried, done)
        elimination = elimination_of(study, candidates)
        remaining, rounds = elimination.remaining, study.rounds
        if len(remaining) < 2 or elimination.rounds == rounds or elimination.gain < WORTHWHILE:
            return study
        done |= {table.index[setting]: elimination.rounds + 1 for setting in remaining}


Rule = Callable[[Table, StudyResults, Search], int]


def by_product(table: Table, study: StudyResults, _search: Search) -> int:
    answer = answer_of(study, elimination_of(study))
    return table.index[answer] if answer else by_trials(table, study, _search)


def by_leader(table: Table, study: StudyResults, search: Search) -> int:
    remaining = elimination_of(study).remaining
    return table.index[remaining[0]] if remaining else by_trials(table, study, search)


def by_trials(table: Table, _study: StudyResults, search: Search) -> int:
    return max(search.tried, key=lambda index: int(table.right[index, 0].sum()))


RULES: Mapping[str, Rule] = {"answer": by_product, "leader of the rounds": by_leader, "best trial": by_trials}


def recommended(table: Table, screening: Screening) -> int:
    """Return the setting that a screening recommends, with the linear head."""
    return table.index[replace(Setting.from_dict(json.loads(screening["answer"])), head="linear")]


def outcome(table: Table, space: Space, search: Search, screening: Screening) -> dict[str, Any]:
    """Return losses by rule, passes, and whether what is stated holds."""
    study = finals(table, space, search, table.settings[recommended(table, screening)])
    found: dict[str, Any] = {
        "passes": search.passes,
        "recommendation": table.loss_to_best(recommended(table, screening)),
        "recommendation, by halves": table.loss_by_halves(recommended(table, screening)),
        "passes of the screening": screening["passes"] / (table.images * len(space.timesteps)),
    }
    for name, rule in RULES.items():
        chosen = rule(table, study, search)
        found[name] = table.loss_to_best(chosen)
        found[f"{name}, by halves"] = table.loss_by_halves(chosen)
        found[f"{name}, cost"] = float(table.costs[chosen])
    if (result := selection(study)) is not None and result.expected_loss is not None:
        answer, truth = table.index[result.answer.setting], 100 * table.outside.mean(axis=1)
        leader = table.index[result.leader]
        loss = result.expected_loss
        found |= {
            "stated": 100 * loss.value,
            "end": 100 * loss.high,
            "true": table.loss_to_best(answer, search.tried),
            "holds": float((table.losses(answer, search.tried) <= 100 * loss.high + 1e-9).mean()),
            "holds for all": float((table.losses(answer) <= 100 * loss.high + 1e-9).mean()),
            "compared": [
                bool(
                    100 * one.loss.low - 1e-9
                    <= truth[leader] - truth[table.index[one.setting]]
                    <= 100 * one.loss.high + 1e-9
                )
                for one in result.candidates
                if one.setting != result.leader
            ],
        }
    return found


ALWAYS = ("passes", "recommendation", "recommendation, by halves", "passes of the screening")


def summary(outcomes: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """outcomes: draw → of each seed. Errors are over draws where there are several, else over seeds."""
    flat = [found for of_draw in outcomes.values() for found in of_draw]
    stated = [found for found in flat if "stated" in found]
    compared = [found["compared"] for found in stated]
    return {
        "searches": len(flat),
        **{name: fmean(found[name] for found in flat) for name in ALWAYS},
        **{
            name: fmean(found[name] for found in flat)
            for rule in RULES
            for name in (rule, f"{rule}, by halves", f"{rule}, cost")
        },
        "true": fmean(found["true"] for found in stated),
        "stated": fmean(found["stated"] for found in stated),
        "end": fmean(found["end"] for found in stated),
        "holds": sum(found["holds"] for found in stated),
        "holds for all": sum(found["holds for all"] for found in stated),
        "stated losses": len(stated),
        "compared": sum(map(len, compared)),
        "compared hold": sum(map(sum, compared)),
        "all compared hold": sum(map(all, compared)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--known-truth", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    space = space_of_truth(given.folder)
    results: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(dict)
    for file in sorted(given.folder.glob("*.npz")):
        table = Table.read(file)
        results[table.task][table.draw] = []
        for seed in range(given.seeds):
            judged = table.resampled(seed) if given.known_truth else table
            search = run_search(judged, space, seed, table.screening)
            results[table.task][table.draw].append(outcome(judged, space, search, table.screening))
        print(table.task, table.draw, {k: round(v, 2) for k, v in summary(results[table.task]).items()}, flush=True)
    if given.out is not None:
        rows = {task: summary(outcomes) for task, outcomes in results.items()}
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
