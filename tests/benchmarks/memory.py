r"""Whether past tasks make a search better or worse: each task with the studies of the other datasets in memory.

    python tests/benchmarks/memory.py FOLDER --home HOME --root cub-50=DIR --root flowers-17=DIR --out FILE

The tables are those of `search_tables.py`. A task is searched twice: with the published tasks alone, and with them and
a study of `PAST` random settings of each table of the other datasets, which share no image with it. The past tasks
choose the timesteps of the screening, and help the sampler. All else is as in `searches.py`.

Losses are in points, on the images outside the draw: of the recommended setting, of the best trial after 20 and after
all trials, and of the answer. "gain": how much less is lost with memory, and its standard error, over the searches of a
task, and in the row "all" over tasks.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.stats import sem

from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from search.surrogates.past_tasks import PUBLISHED_TASKS, PastTask, past_task_of
from spaces import Space
from tests.benchmarks.search_tables import KINDS, drawn, load, screened
from tests.benchmarks.searches import RULES, SEEDS, Screening, Search, Table, by_trials, finals, recommended, run_search
from tests.benchmarks.selection_truth import space_of_truth

PAST = 100
EARLY = 20


def dataset_of(table: Table) -> str:
    """Return the name of the dataset whose images a table has."""
    return KINDS[table.task.rpartition("-")[0]][0]


def study_of(table: Table, space: Space, seed: int) -> PastTask:
    """Return a past study of some settings of a table."""
    some = np.random.default_rng(seed).permutation(len(table.settings))[:PAST]
    scores = [(table.settings[index], float(table.right[index, 0].mean())) for index in some]
    return past_task_of(table.task, space.architecture, scores, table.classes, table.images)


def losses(table: Table, space: Space, seed: int, screening: Screening, past: Sequence[PastTask]) -> dict[str, float]:
    search = run_search(table, space, seed, screening, past)
    study = finals(table, space, search, table.settings[recommended(table, screening)])
    chosen = {
        "recommendation": recommended(table, screening),
        f"after {EARLY} trials": by_trials(table, study, Search(search.tried[:EARLY], 0)),
        "best trial": by_trials(table, study, search),
        "answer": RULES["answer"](table, study, search),
    }
    return {name: table.loss_to_best(index) for name, index in chosen.items()} | {"passes": search.passes}


def compared(
    tables: Sequence[Table], space: Space, home: Path, roots: Mapping[str, Path], seeds: int, draws: int
) -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
    """Yield the losses of each search without memory, and with it."""
    for table in tables:
        if table.draw >= draws:
            continue
        task = table.task.rpartition("-")[0]
        spec = ProbeSpec(load(task, roots.get(dataset_of(table))), "bundled", "float32", home / "cache", space.grids)
        probe = Probe.build(replace(spec, dataset=drawn(spec.dataset, table.images, table.draw)), threads=1)
        others = [other for other in tables if dataset_of(other) != dataset_of(table) and other.draw == 0]
        for seed in range(seeds):
            past = [study_of(other, space, seed) for other in others]
            remembered = screened(probe, space, [*PUBLISHED_TASKS, *past])
            yield (
                table.task,
                losses(table, space, seed, table.screening, ()),
                losses(table, space, seed, remembered, past),
            )


def summary(pairs: Sequence[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    row: dict[str, Any] = {"searches": len(pairs)}
    for name in pairs[0][0]:
        alone, memory = ([pair[side][name] for pair in pairs] for side in (0, 1))
        gains = np.subtract(alone, memory)
        row[name] = {"alone": fmean(alone), "memory": fmean(memory), "gain": float(gains.mean())}
        row[name]["error"] = float(sem(gains)) if len(pairs) > 1 else None
    return row


def means(pairs: Sequence[tuple[dict[str, float], dict[str, float]]], side: int) -> dict[str, float]:
    """Return the mean losses of a task without memory (side 0) or with it (1)."""
    return {name: fmean(pair[side][name] for pair in pairs) for name in pairs[0][side]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--root", action="append", default=[], metavar="DATASET=DIR")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--draws", type=int, default=1, help="of each task that are searched")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    space = space_of_truth(given.home / "cache")
    roots = {name: Path(folder) for name, _, folder in (text.partition("=") for text in given.root)}
    tables = [Table.read(file) for file in sorted(given.folder.glob("*.npz"))]
    results: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = defaultdict(list)
    for task, alone, memory in compared(tables, space, given.home, roots, given.seeds, given.draws):
        results[task].append((alone, memory))
        rows = {name: summary(pairs) for name, pairs in results.items()}
        rows["all"] = summary([(means(pairs, 0), means(pairs, 1)) for pairs in results.values()])
        print(task, json.dumps(rows[task]), flush=True)
        if given.out is not None:
            given.out.write_text(json.dumps(rows, indent=1) + "\n")
    print("all", json.dumps(rows["all"]))


if __name__ == "__main__":
    main()
