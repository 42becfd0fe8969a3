r"""What a ladder saves: searches that stop bad settings on a part of the images, beside searches that do not.

    python tests/benchmarks/ladder.py --home HOME --task digits --task flowers-17=FLOWERS --task cub-50=CUB --out FILE

TPE over the default space with the linear head on the bundled network, by the driver of `search run`, a trial at a
time; every seed has its own split and sampler, the same for all rows. The home's cache, which is filled first, spares
the passes; each search is charged as if it had begun without: 350 images a second for those of each timestep that no
trial before it needed, and the processor seconds of reading and fitting. Proposals are free. Regret is what the best
complete trial on validation loses to the best of all settings by the exhaustive tables of `selection_truth.py`, means
of five folds, in points; a search without an answer yet has that of a random setting.

A task is a name of `selection_truth.py`, and after "=" where its images lie.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from objectives.datasets.splits import Split, rung
from objectives.features.extraction import Clock
from objectives.probe import LADDER, Probe, _images
from objectives.probe_spec import ProbeSpec
from objectives.results import Evaluation, Extracted
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.display.counter import counted
from search.samplers.catalog import sampler_named
from search.scheduling.driver import StudyDriver
from search.scheduling.halving import Halving
from search.scheduling.requests import TrialRequest
from spaces import Setting, Space
from tests.benchmarks.selection_searches import PASSES_PER_SECOND
from tests.benchmarks.selection_truth import FOLDS, TASKS, Truth, space_of_truth

TABLES = Path(__file__).with_name("truth")
ALL = 1.0
PASSES = (1, 2, 3, 4, 5, 6, 7)
"""Over all images, at which the searches are compared."""
SECONDS = (5, 10, 20, 30, 40, 60)


@dataclass(frozen=True)
class Ladder:
    """fractions: of the rungs below all images. always: also where the features of all images are there already."""

    fractions: tuple[float, ...]
    halving: Halving = field(default_factory=Halving)
    always: bool = False


LADDERS: Mapping[str, Ladder] = {
    "no ladder": Ladder(()),
    "ladder": Ladder(LADDER),
    "ladder, four others first": Ladder(LADDER, Halving(min_others=4)),
    "ladder, also where no pass is saved": Ladder(LADDER, always=True),
}


@dataclass(frozen=True)
class Step:
    """After a trial: what the search has spent, what its answer loses in points, and of what fraction the trial was."""

    passes: int
    seconds: float
    regret: float
    fraction: float = 0.0


@dataclass(frozen=True)
class Scores:
    """Of settings on fractions of the images, each fitted once for all searches of a seed."""

    probe: Probe
    splits: tuple[Split, ...]
    seed: int
    known: dict[tuple[Setting, float], tuple[int, float, Evaluation]] = field(default_factory=dict)

    def at(self, setting: Setting, fraction: float) -> tuple[int, float, Evaluation]:
        """The images of the fraction, the processor seconds without passes, and what they come to."""
        if (setting, fraction) not in self.known:
            splits = rung(self.probe.spec.dataset, self.splits, fraction, self.seed)
            images, since = _images(splits), time.process_time()
            evaluation = self._drained(images, splits, setting)
            self.known[setting, fraction] = len(images), time.process_time() - since, evaluation
        return self.known[setting, fraction]

    def _drained(self, images: np.ndarray, splits: Sequence[Split], setting: Setting) -> Evaluation:
        reports = self.probe._evaluated(images, splits, setting, Clock())
        while True:
            try:
                report = next(reports)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(report, Extracted) and report.made:
                raise SystemExit(f"{setting}: its features are missing in the cache, and were made; start again")


def search(scores: Scores, space: Space, truth: Truth, halving: Ladder, trials: int) -> Iterator[Step]:
    """A step a trial."""
    judges, whole = range(FOLDS), len(scores.probe._training)
    best = truth.accuracy(truth.best(judges), judges)
    yield Step(0, 0.0, best - fmean(truth.accuracy(setting, judges) for setting in truth.right))
    passed: Counter[int | None] = Counter()
    complete: dict[Setting, float] = {}
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/studies.db") as store:
        study = store.ensure_study(StudyRecord(truth.task, "", "bundled", "", "default", space, (), {}, {}))
        driver = StudyDriver(
            store,
            study,
            space,
            sampler_named("tpe", scores.seed),
            seed=scores.seed,
            budget=trials,
            run_id=store.begin_run(study, RunRecord(1, "", {})),
            halving=halving.halving,
        )
        while isinstance(asked := driver.next_trial(), TrialRequest):
            setting = asked.setting
            climbed = halving.fractions if halving.always or passed[setting.timestep] < whole else ()
            for fraction in (*climbed, ALL):
                images, fit, evaluation = scores.at(setting, fraction)
                made = max(0, images - passed[setting.timestep])
                passed[setting.timestep] += made
                seconds += made / PASSES_PER_SECOND + fit
                if fraction < ALL and driver.report_rung(asked.number, images, evaluation.score):
                    driver.prune(asked.number, evaluation)
                    break
            else:
                driver.complete(asked.number, evaluation)
                complete[setting] = evaluation.score
            answer = max(complete, key=lambda each: (complete[each], -each.block))
            yield Step(passed.total(), seconds, best - truth.accuracy(answer, judges), fraction)


Walks = Mapping[str, Sequence[Sequence[Step]]]


def spent(walk: Sequence[Step], within: Callable[[Step], bool]) -> float:
    """The regret of the last step within what may be spent."""
    return [step for step in walk if within(step)][-1].regret


def mean(values: Sequence[float]) -> float:
    return round(fmean(values), 4)


def row(walks: Sequence[Sequence[Step]], baseline: Sequence[Sequence[Step]], images: int) -> dict[str, Any]:
    """Means over the seeds; of regret also how much less it is than the baseline's of the same seed, and the standard
    error of that."""

    def compared(within: Callable[[Step], bool]) -> dict[str, float]:
        regrets = [spent(walk, within) for walk in walks]
        less = [spent(walk, within) - regret for walk, regret in zip(baseline, regrets, strict=True)]
        return {"regret": mean(regrets), "less": mean(less), "error": round(stdev(less) / len(less) ** 0.5, 4)}

    last = [walk[-1] for walk in walks]
    of = Counter(step.fraction for walk in walks for step in walk[1:])
    return {
        "passes over all images": mean([step.passes / images for step in last]),
        "seconds": mean([step.seconds for step in last]),
        "at the end": compared(lambda step: True),
        "at passes": {n: compared(lambda step, n=n: step.passes <= n * images) for n in PASSES},  # type: ignore[misc]
        "at seconds": {s: compared(lambda step, s=s: step.seconds <= s) for s in SECONDS},  # type: ignore[misc]
        "trials by last fraction": {fraction: of[fraction] / len(walks) for fraction in sorted(of)},
    }


def show(task: str, rows: Mapping[str, Any]) -> None:
    """As Markdown. In brackets, how much less regret than without a ladder."""
    heads = ["trials by last fraction", "passes", "seconds", "regret at the end"]
    heads += [*(f"at {n} passes" for n in PASSES), *(f"{s} s" for s in SECONDS)]
    print(f"\n| {task} | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
    for name, facts in rows.items():
        trials = ", ".join(f"{count:.1f} at {fraction}" for fraction, count in facts["trials by last fraction"].items())
        spent = f"{facts['passes over all images']:.2f} | {facts['seconds']:.1f}"
        cells = [facts["at the end"], *facts["at passes"].values(), *facts["at seconds"].values()]
        told = [f"{cell['regret']:.1f} ({cell['less']:+.1f} ± {cell['error']:.1f})" for cell in cells]
        print(f"| {name} | {trials} | {spent} | {' | '.join(told)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="its cache has the features, or gets them")
    parser.add_argument("--task", action="append", required=True, help="NAME or NAME=FOLDER")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True, help="JSON")
    given = parser.parse_args()
    cache = given.home / "cache"
    space = space_of_truth(cache)
    found = {}
    for name, _, root in (words.partition("=") for words in given.task):
        truth = Truth.read(TABLES / f"{name}.json")
        spec = ProbeSpec(TASKS[name].load(Path(root) if root else None), "bundled", "float32", cache, space.grids)
        probe = Probe.build(spec, threads=1)
        for timestep in counted(space.timesteps, len(space.timesteps), "timesteps"):
            list(probe.extract(replace(next(iter(truth.right)), timestep=timestep)))
        walks: dict[str, list[list[Step]]] = {halving: [] for halving in LADDERS}
        for seed in counted(range(given.seeds), given.seeds, "seeds"):
            scores = Scores(probe, spec.splits(seed), seed)
            for halving, mine in walks.items():
                mine.append(list(search(scores, space, truth, LADDERS[halving], given.trials)))
        images = len(probe._training)
        rows = {halving: row(mine, walks["no ladder"], images) for halving, mine in walks.items()}
        show(f"{name}, {images:,} images", rows)
        found[name] = {"images": images, "seeds": given.seeds, "trials": given.trials, "rows": rows}
    given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
