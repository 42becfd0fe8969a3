r"""Measures the cost of a good setting: screening, random, TPE, GP, the paper's setting, one dimension at a time.

    python tests/benchmarks/selection.py --out docs/data/selection.json --picture selection.html

All is looked up in `truth/`: what every setting is worth (`selection_truth.py`), what screening answered on the same
images (`selection_screens.py`). So it needs no images, and some minutes, most of them GP's; `--strategies` takes fewer.

**Who judges.** Two of the five folds judge an answer, each pair of them in its turn; the searches validate on the
other three. A trial sees one of these, as a user's validation split, or is a fit on each, as with --folds 3; its heads
train on all folds but the one, those of the judges included. A search answers with the best that it has seen.
Screening has the images of the three folds alone, of which it takes few. Regret is what the answer loses on the judges'
folds to the best setting there, in points of accuracy. That best is the luckiest of 456 and so biased upwards, for all
strategies alike: even who knows every setting on the other folds has some regret, which the rows "exhaustive" show.

**What it costs.** A timestep that a trial is the first to read takes a pass of every image; other trials none. Seconds
are those passes at `PASSES_PER_SECOND` and the processor seconds of a trial with its features cached, measured on the
task; nothing for proposals. Screening has its own passes and measured processor seconds. Before its first trial is
done a search has nothing to say, and any setting is as good.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from scipy.stats import spearmanr

from objectives.results import Accuracy
from search.surrogates.past_tasks import PUBLISHED_TASKS, PriorKnowledge, past_task_of
from spaces import Setting, Space
from tests.benchmarks.selection_picture import Point, picture
from tests.benchmarks.selection_screens import JUDGES
from tests.benchmarks.selection_searches import (
    PASSES_PER_SECOND,
    ROUNDS,
    STRATEGIES,
    See,
    Work,
    papers_setting,
    sampled,
    trials_to_the_papers_best,
)
from tests.benchmarks.selection_truth import FOLDS, Truth, space_of_truth

AFTER_SCREENING = (
    ("screening, then cost-aware", "cost-aware", 1),
    ("screening, then cost-aware, 3 folds", "cost-aware", 3),
    ("screening, then TPE", "tpe", 1),
)
"""Name, sampler, and how many folds a trial sees."""

GOOD = 1.0
"""Points of regret."""


@dataclass(frozen=True)
class Step:
    """The cost of a search so far, and the regret of its best setting."""

    passes: int
    seconds: float
    regret: float


Walk = Sequence[Step]


@dataclass(frozen=True)
class Judge:
    truth: Truth
    folds: Sequence[int]

    @property
    def others(self) -> list[int]:
        return [fold for fold in range(FOLDS) if fold not in self.folds]

    @cached_property
    def best(self) -> float:
        return self.truth.accuracy(self.truth.best(self.folds), self.folds)

    def regret(self, setting: Setting) -> float:
        return self.best - self.truth.accuracy(setting, self.folds)

    @property
    def start(self) -> Step:
        """The step before the first trial: the mean regret of all settings."""
        return Step(0, 0.0, fmean(map(self.regret, self.truth.right)))


def walk(tried: Iterator[Setting], see: See, judge: Judge, work: Work, before: Sequence[Step] = ()) -> Walk:
    """Return the steps of a search, one for each new setting. A repeated setting costs nothing.

    before: the steps of a screening from which the search starts. Its passes are not made again.
    """
    steps, seen, timesteps = list(before) or [judge.start], dict[Setting, float](), set[int | None]()
    began, cached = steps[-1], work.known.cached_passes if before and work.known else {}
    for setting in tried:
        if setting in seen:
            continue
        seen[setting] = see(setting)
        timesteps.add(setting.timestep)
        passes = round(sum(1 - cached.get((timestep, False), 0.0) for timestep in timesteps) * work.images)
        seconds = passes / PASSES_PER_SECOND + len(seen) * work.fit_seconds
        regret = judge.regret(max(seen, key=lambda candidate: seen[candidate]))
        steps.append(Step(began.passes + passes, began.seconds + seconds, regret))
    return steps


def by_passes(steps: Walk, passes: float) -> Step:
    """Return the last step of a search within a number of passes. Trials that need no pass cost nothing."""
    return [step for step in steps if step.passes <= passes][-1]


def by_seconds(steps: Walk, seconds: float) -> Step:
    return [step for step in steps if step.seconds <= seconds][-1]


def reached(steps: Walk, regret: float) -> Step | None:
    """Return the first step with at most this regret, even if it was reached by luck."""
    return next((step for step in steps if step.regret <= regret), None)


def seconds_to_mean(walks: Sequence[Walk], regret: float) -> float | None:
    """Return the seconds after which the mean regret of all walks is at most this; None if it never is."""
    for seconds in sorted({step.seconds for steps in walks for step in steps}):
        if fmean(by_seconds(steps, seconds).regret for steps in walks) <= regret:
            return seconds
    return None


def curves_of(walks: Mapping[str, Sequence[Walk]]) -> dict[str, dict[str, list[Point]]]:
    """Return the curves of the picture. Exhaustion is a level from left to right."""
    curves: dict[str, dict[str, list[Point]]] = {}
    searches = [steps for name, mine in walks.items() if not name.startswith("exhaustive") for steps in mine]
    for cost, at in (("passes", by_passes), ("seconds", by_seconds)):
        spent = {getattr(step, cost) for steps in searches for step in steps} - {0}
        left, right = min(spent) / 2, max(spent)
        curves[cost] = {}
        for name, mine in walks.items():
            level = name.startswith("exhaustive") or len(mine[0]) == 1
            own = {right} if level else {getattr(step, cost) for steps in mine for step in steps} - {0}
            regrets = {
                x: [(steps[-1] if level else at(steps, x)).regret for steps in mine] for x in sorted({left} | own)
            }
            curves[cost][name] = [Point(x, fmean(each), stdev(each)) for x, each in regrets.items()]
    return curves


def linear(cell: Sequence[int]) -> Setting:
    timestep, block, pool = cell
    return Setting(timestep, block, pool, "linear")


def screening(screened: Mapping[str, Any], judge: Judge, columns: slice = slice(2, 5)) -> Walk:
    answered = (
        Step(answer[0], answer[0] / PASSES_PER_SECOND + answer[1], judge.regret(linear(answer[columns])))
        for answer in screened["answers"]
    )
    return [judge.start, *answered]


def known_from(screened: Mapping[str, Any], truth: Truth, space: Space) -> PriorKnowledge:
    """The result of a screening for a search that starts from it: errors, recommended setting, and passes."""
    found = [(linear(cell), -error) for *cell, error in screened["scores"]]
    images = screened["images"]
    past_task = past_task_of("screened", space.architecture, found, truth.classes, images)
    cached = dict.fromkeys((setting.timestep for setting, _ in found), screened["answers"][0][0] / sum(truth.sizes))
    answer = linear(screened["answers"][-1][2:5])
    return PriorKnowledge(truth.classes, images, (*PUBLISHED_TASKS, past_task), (answer,), cached)


def walks_of(truth: Truth, screens: Mapping[str, Any], space: Space, names: Sequence[str]) -> dict[str, list[Walk]]:
    judges = [Judge(truth, folds) for folds in JUDGES]
    images, seconds = sum(truth.sizes), screens["trial seconds"]
    rows = [row["held out"] for row in screens["screens"]]
    walks: dict[str, list[Walk]] = {
        "screening": [screening(row["alone"], judge) for row, judge in zip(rows, judges, strict=True)],
        "screening, memory": [screening(row["memory"], judge) for row, judge in zip(rows, judges, strict=True)],
        "the paper's setting": [[Step(0, 0.0, judge.regret(papers_setting(space)))] for judge in judges],
    }
    for name in names:
        strategy, folds = STRATEGIES[name]
        walks[name] = []
        work = Work(images, folds * seconds)
        for seed in range(ROUNDS):
            judge, turn = judges[seed % len(judges)], seed // len(judges)
            see = accuracies(truth, (judge.others * 2)[turn : turn + folds])
            walks[name].append(walk(strategy(space, see, seed, work), see, judge, work))
    for name, sampler, folds in AFTER_SCREENING:
        walks[name] = []
        for seed, (row, judge) in enumerate(zip(rows, judges, strict=True)):
            work = Work(images, folds * seconds, known_from(row["alone"], truth, space))
            see = accuracies(truth, judge.others[:folds])
            before = screening(row["alone"], judge)
            walks[name].append(walk(sampled(sampler)(space, see, seed, work), see, judge, work, before))
    passes = truth.timesteps * sum(truth.sizes)
    for name, folds in (("exhaustive, 1 fold", 1), ("exhaustive, 3 folds", 3)):
        spent = passes / PASSES_PER_SECOND + len(truth.right) * folds * seconds
        answers = [judge.regret(truth.best(judge.others[:folds])) for judge in judges]
        walks[name] = [
            [judge.start, Step(passes, spent, answer)] for judge, answer in zip(judges, answers, strict=True)
        ]
    return walks


def accuracies(truth: Truth, folds: Sequence[int]) -> See:
    return {setting: truth.accuracy(setting, folds) for setting in truth.right}.__getitem__


def summary(walks: Mapping[str, Sequence[Walk]]) -> Iterator[dict[str, Any]]:
    ends = [steps[-1] for steps in walks["screening"]]
    budget, goal = fmean(end.passes for end in ends), fmean(end.regret for end in ends)
    tpe = fmean(steps[-1].regret for steps in walks["TPE"]) if "TPE" in walks else None
    for name, mine in walks.items():
        regrets = [by_passes(steps, budget).regret for steps in mine]
        first = [reached(steps, GOOD) for steps in mine]
        passes, seconds = (
            median([float("inf") if step is None else getattr(step, what) for step in first])
            for what in ("passes", "seconds")
        )
        yield {
            "strategy": name,
            "regret": fmean(regrets),
            "deviation": stdev(regrets),
            "begun": any(by_passes(steps, budget) is steps[-1] or by_passes(steps, budget).passes for steps in mine),
            "regret at the end": fmean(steps[-1].regret for steps in mine),
            "seconds in all": fmean(steps[-1].seconds for steps in mine),
            "passes to 1 point": None if passes == float("inf") else passes,
            "seconds to 1 point": None if seconds == float("inf") else seconds,
            "seconds to screening's regret": seconds_to_mean(mine, goal),
            "seconds to TPE's regret": None if tpe is None else seconds_to_mean(mine, tpe),
        }


def ranks(truth: Truth, screens: Mapping[str, Any]) -> dict[str, float]:
    """Mean rank correlations over all settings, those that were not screened too; "halves" is that of linear heads on
    the searches' folds with those on the judges'."""
    found: dict[str, list[float]] = {"halves": []}
    for row in screens["screens"]:
        judge = Judge(truth, row["judges"])
        parts = ([truth.accuracy(each, folds) for each in truth.right] for folds in (judge.others, judge.folds))
        found["halves"].append(float(spearmanr(*parts).statistic))
        for memory, screened in row["held out"].items():
            found.setdefault(f"{memory}, with the judges", []).append(screened["ranks"]["judges"])
            found.setdefault(f"{memory}, whole, with all folds", []).append(row["whole"][memory]["ranks"]["all"])
    return {name: fmean(values) for name, values in found.items()}


def aims(truth: Truth, screens: Mapping[str, Any], memory: str) -> dict[str, float]:
    """Return the accuracies that screenings of the whole task aim at, by all five folds."""
    every, images = range(FOLDS), sum(truth.sizes)
    best = truth.accuracy(truth.best(every), every)
    low = 100 * Accuracy(sum(truth.right[truth.best(every)]), images).interval()[0]
    ends = [row["whole"][memory]["answers"][-1] for row in screens["screens"]]
    answers = [truth.accuracy(linear(end[2:5]), every) for end in ends]
    return {
        "best": best,
        "lost": best - fmean(answers),
        "lost by least error": best - fmean(truth.accuracy(linear(end[5:8]), every) for end in ends),
        "within half a point": fmean(best - answer <= 0.5 for answer in answers),
        "within the interval": fmean(best - answer <= 0.5 or answer >= low for answer in answers),
        "share of passes": fmean(end[0] for end in ends) / (truth.timesteps * images),
    }


def table(task: str, found: Mapping[str, Any]) -> Iterator[str]:
    for name in ("ranks", "alone", "memory"):
        yield f"**{task}**, {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in found[name].items())
    yield ""
    yield "| | regret | at the end | after | passes to 1 point | seconds to it | to screening's regret | to TPE's |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in found["strategies"]:
        regret = f"{row['regret']:.1f} ± {row['deviation']:.1f}" if row["begun"] else "no trial yet"
        passes = "not reached" if row["passes to 1 point"] is None else f"{row['passes to 1 point']:,.0f}"
        times = [row[f"seconds to {what}"] for what in ("1 point", "screening's regret", "TPE's regret")]
        told = " | ".join("not reached" if seconds is None else f"{seconds:.1f}" for seconds in times)
        end = f"{row['regret at the end']:.1f} | {row['seconds in all']:.1f} s"
        yield f"| {row['strategy']} | {regret} | {end} | {passes} | {told} |"
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, default=Path(__file__).parent / "truth", help="folder of the tables")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(STRATEGIES))
    parser.add_argument("--out", type=Path, help="JSON of the tables")
    parser.add_argument("--picture", type=Path, help="HTML of regret by passes and by seconds")
    given = parser.parse_args()
    space = space_of_truth(given.truth)
    results, walks = dict[str, Any](), dict[str, Mapping[str, Sequence[Walk]]]()
    for file in sorted(given.truth.glob("*-screens.json")):
        screens = json.loads(file.read_text())
        task = screens["task"]
        truth = Truth.read(given.truth / f"{task}.json")
        walks[task] = walks_of(truth, screens, space, given.strategies)
        results[task] = {
            "strategies": list(summary(walks[task])),
            "ranks": ranks(truth, screens),
            "alone": aims(truth, screens, "alone"),
            "memory": aims(truth, screens, "memory"),
        }
        print("\n".join(table(task, results[task])), flush=True)
    paper = trials_to_the_papers_best()
    print(f"Median trials to the paper's best on CUB, of 48 settings: {paper}")
    if given.out is not None:
        given.out.write_text(json.dumps(results | {"paper": paper}, indent=1) + "\n")
    if given.picture is not None:
        picture({task: curves_of(each) for task, each in walks.items()}, given.picture)


if __name__ == "__main__":
    main()
