r"""Measures what successive halving saves: searches with it, beside searches without.

    python tests/benchmarks/halving.py --home HOME --task digits --task flowers-17=FLOWERS --task cub-50=CUB --out FILE

TPE searches the default space with the linear head on the bundled network, by the driver of `search run`, one trial at
a time. Each seed has its own split and sampler, the same for all rows. The cache of the home is filled first, so no
search makes passes. Each search is charged as if it had begun with an empty cache: the passes of each timestep that no
earlier trial needed, at 350 images a second, and the processor seconds of reading and fitting. Proposals are free.
Regret is in points: the best accuracy of all settings, in the exhaustive tables of `selection_truth.py` (means of five
folds), minus the accuracy of the best complete trial on validation. Before its first complete trial, a search has the
regret of a random setting.

A task is a name of `selection_truth.py`; after "=" comes the folder of its images.
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
from objectives.probing.fitting import images_of
from objectives.probing.probe import RUNGS, Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import Evaluation, Extracted
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.display.counter import counted
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from search.scheduling.trials.stopping import Halving
from spaces import Setting, Space
from tests.benchmarks.selection_searches import PASSES_PER_SECOND
from tests.benchmarks.selection_truth import FOLDS, TASKS, Truth, space_of_truth

TABLES = Path(__file__).with_name("truth")
ALL = 1.0
PASSES = (1, 2, 3, 4, 5, 6, 7)
"""Passes of every image at which the searches are compared."""
SECONDS = (5, 10, 20, 30, 40, 60)


@dataclass(frozen=True)
class Variant:
    """A way to halve. fractions: of the images, at the rungs below all of them. always: also where all are cached."""

    fractions: tuple[float, ...]
    halving: Halving = field(default_factory=Halving)
    always: bool = False


VARIANTS: Mapping[str, Variant] = {
    "no ladder": Variant(()),
    "ladder": Variant(RUNGS),
    "ladder, four others first": Variant(RUNGS, Halving(min_others=4)),
    "ladder, also where no pass is saved": Variant(RUNGS, always=True),
}


@dataclass(frozen=True)
class Step:
    """The state of a search after a trial: its cost, its regret in points, and the last rung of the trial."""

    passes: int
    seconds: float
    regret: float
    fraction: float = 0.0


@dataclass(frozen=True)
class Scores:
    """Scores of settings on fractions of the images. Each is fitted once for all searches of a seed."""

    probe: Probe
    splits: tuple[Split, ...]
    seed: int
    cached: dict[tuple[Setting, float], tuple[int, float, Evaluation]] = field(default_factory=dict)

    def evaluated(self, setting: Setting, fraction: float) -> tuple[int, float, Evaluation]:
        """Return the number of images, the processor seconds without passes, and the evaluation."""
        if (setting, fraction) not in self.cached:
            splits = rung(self.probe.spec.dataset, self.splits, fraction, self.seed)
            images, since = images_of(splits), time.process_time()
            evaluation = self._drained(images, splits, setting)
            self.cached[setting, fraction] = len(images), time.process_time() - since, evaluation
        return self.cached[setting, fraction]

    def _drained(self, images: np.ndarray, splits: Sequence[Split], setting: Setting) -> Evaluation:
        reports = self.probe._evaluated(images, splits, setting, Clock())
        while True:
            try:
                report = next(reports)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(report, Extracted) and report.made:
                raise SystemExit(f"{setting}: its features are missing in the cache, and were made; start again")


def search(scores: Scores, space: Space, truth: Truth, variant: Variant, trials: int) -> Iterator[Step]:
    """Yield the state of a search after each trial."""
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
            halving=variant.halving,
        )
        while isinstance(request := driver.next_trial(), TrialRequest):
            setting = request.setting
            rungs = variant.fractions if variant.always or passed[setting.timestep] < whole else ()
            for fraction in (*rungs, ALL):
                images, fit, evaluation = scores.evaluated(setting, fraction)
                made = max(0, images - passed[setting.timestep])
                passed[setting.timestep] += made
                seconds += made / PASSES_PER_SECOND + fit
                if fraction < ALL and driver.report_rung(request.number, images, evaluation.score):
                    driver.prune(request.number, evaluation)
                    break
            else:
                driver.complete(request.number, evaluation)
                complete[setting] = evaluation.score
            best_so_far = max(complete, key=lambda setting: (complete[setting], -setting.block))
            yield Step(passed.total(), seconds, best - truth.accuracy(best_so_far, judges), fraction)


Walks = Mapping[str, Sequence[Sequence[Step]]]


def regret_within(walk: Sequence[Step], within: Callable[[Step], bool]) -> float:
    """Return the regret after the last step that is within a limit of passes or seconds."""
    return [step for step in walk if within(step)][-1].regret


def mean(values: Sequence[float]) -> float:
    return round(fmean(values), 4)


def row(walks: Sequence[Sequence[Step]], baseline: Sequence[Sequence[Step]], images: int) -> dict[str, Any]:
    """Return means over the seeds. Regret also has the mean difference from the baseline's of the same seed ("less"),
    and the standard error of that difference."""

    def compared(within: Callable[[Step], bool]) -> dict[str, float]:
        regrets = [regret_within(walk, within) for walk in walks]
        less = [regret_within(walk, within) - regret for walk, regret in zip(baseline, regrets, strict=True)]
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
    """Print a Markdown table. In brackets is how much less regret there is than without halving."""
    heads = ["trials by last fraction", "passes", "seconds", "regret at the end"]
    heads += [*(f"at {n} passes" for n in PASSES), *(f"{s} s" for s in SECONDS)]
    print(f"\n| {task} | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
    for name, facts in rows.items():
        trials = ", ".join(f"{count:.1f} at {fraction}" for fraction, count in facts["trials by last fraction"].items())
        spent = f"{facts['passes over all images']:.2f} | {facts['seconds']:.1f}"
        cells = [facts["at the end"], *facts["at passes"].values(), *facts["at seconds"].values()]
        printed = [f"{cell['regret']:.1f} ({cell['less']:+.1f} ± {cell['error']:.1f})" for cell in cells]
        print(f"| {name} | {trials} | {spent} | {' | '.join(printed)} |")


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
        walks: dict[str, list[list[Step]]] = {variant: [] for variant in VARIANTS}
        for seed in counted(range(given.seeds), given.seeds, "seeds"):
            scores = Scores(probe, spec.splits(seed), seed)
            for variant, searches in walks.items():
                searches.append(list(search(scores, space, truth, VARIANTS[variant], given.trials)))
        images = len(probe._training)
        rows = {variant: row(searches, walks["no ladder"], images) for variant, searches in walks.items()}
        show(f"{name}, {images:,} images", rows)
        found[name] = {"images": images, "seeds": given.seeds, "trials": given.trials, "rows": rows}
    given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
