r"""Whether the intervals of `search.reports.evidence.expectation` contain the truth.

    python tests/benchmarks/expected.py --home HOME [--task digits --task cub-50]

The truth are the tables of `selection_truth.py`: the linear head at every setting of the default space, in five folds.
A search of 20, 40 and 100 trials sees one fold, by each of three samplers and by one dimension at a time. What the
report expects of each cell is then compared with two truths: `same`: the value on the same fold, of cells without a
trial at the setting that the model names; `other`: the accuracy over the other four folds, of all cells.

Factors (`REACH`, `REACH_UNTRIED`) are judged on the task that they do not come from: `needed` is, of each task, the
factor that contains 95 of 100 values of `same`; `judged` is the coverage with the largest factor of the other tasks.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np

from objectives.results import Accuracy, Trial
from search.reports.evidence import expectation
from search.surrogates.past_tasks import PriorKnowledge
from spaces import Setting, Space
from tests.benchmarks import selection_searches
from tests.benchmarks.selection_searches import Work, one_dimension_at_a_time, sampled
from tests.benchmarks.selection_truth import TASKS, Truth, space_of_truth
from tests.support.studies import small_results

FOLDS, COUNTS = range(2), (20, 40, 100)
SEARCHES = {
    "random": sampled("random"),
    "TPE": sampled("tpe"),
    "cost-aware": sampled("cost-aware"),
    "one at a time": one_dimension_at_a_time,
}
Row = tuple[str, bool, float, bool, bool, bool]
"""Task, whether the timestep was tried, the error in standard deviations, whether the setting was tried, `same` and
`other` inside the interval."""


def rows_of(task: str, truth: Truth, space: Space) -> Iterator[tuple[str, int, Row]]:
    for fold in FOLDS:
        size = truth.sizes[fold]

        def see(setting: Setting, fold: int = fold, size: int = size) -> float:
            return truth.right[setting][fold] / size

        for name, search in SEARCHES.items():
            work = Work(1500, 0.3, PriorKnowledge(truth.classes, 1500))
            settings = list(dict.fromkeys(search(space, see, fold, work)))
            for count in COUNTS:
                if len(settings) >= 0.6 * count:
                    for row in _rows(task, truth, space, settings[:count], fold):
                        yield name, count, row


def _rows(task: str, truth: Truth, space: Space, settings: list[Setting], fold: int) -> Iterator[Row]:
    size = truth.sizes[fold]
    trials = tuple(
        Trial(number, "complete", setting, Accuracy(truth.right[setting][fold], size))
        for number, setting in enumerate(settings)
    )
    study = replace(small_results(trials, space_size=len(space)), architecture=space.architecture, space=space)
    expected = expectation.expected_cells(study)
    if expected is None:
        return
    timesteps, tried = {setting.timestep for setting in settings}, set(settings)
    rest = [other for other in range(len(truth.sizes)) if other != fold]
    for cell in expected.cells.values():
        here = cell.setting.timestep in timesteps
        same, other = truth.right[cell.setting][fold] / size, truth.accuracy(cell.setting, rest) / 100
        yield (
            task,
            here,
            abs(same - cell.value) / max(cell.deviation, 1e-9),
            cell.setting in tried,
            cell.low <= same <= cell.high,
            cell.low <= other <= cell.high,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the block table")
    parser.add_argument("--task", action="append", choices=list(TASKS))
    given = parser.parse_args()
    selection_searches.TRIALS = max(COUNTS)
    space, folder = space_of_truth(given.home / "cache"), Path(__file__).parent / "truth"
    rows = [row for task in given.task or TASKS for row in rows_of(task, Truth.read(folder / f"{task}.json"), space)]

    def show(label: str, part: list[Row]) -> None:
        new = [row for row in part if not row[3]]
        same, other = (100 * fmean(inside) for inside in ([row[4] for row in new], [row[5] for row in part]))
        print(f"{label:28} same {same:5.1f} % of {len(new):6,}   other {other:5.1f} % of {len(part):6,}")

    show("all", [row for _, _, row in rows])
    for here in (True, False):
        show(f"timestep {'tried' if here else 'untried'}", [row for _, _, row in rows if row[1] == here])
    for name in SEARCHES:
        show(name, [row for search, _, row in rows if search == name])
    for count in COUNTS:
        show(f"{count} trials", [row for _, trials, row in rows if trials == count])
    tasks = list(dict.fromkeys(row[0] for _, _, row in rows))
    for task in tasks:
        show(task, [row for _, _, row in rows if row[0] == task])
    needed = {
        (task, here): float(np.quantile([r[2] for _, _, r in rows if r[:2] == (task, here) and not r[3]], 0.95))
        for task in tasks
        for here in (True, False)
    }
    print("needed", {f"{task}, {'tried' if here else 'untried'}": round(f, 2) for (task, here), f in needed.items()})
    if len(tasks) > 1:
        for task in tasks:
            largest = {here: max(needed[other, here] for other in tasks if other != task) for here in (True, False)}
            mine = [row for _, _, row in rows if row[0] == task and not row[3]]
            print(f"judged {task:20} {100 * fmean(row[2] <= largest[row[1]] for row in mine):5.1f} %")


if __name__ == "__main__":
    main()
