r"""Whether the intervals of importances contain the truth, by the number of trials and by the share of values tried.

    python tests/benchmarks/importances.py

The truth are the tables of `selection_truth.py`: the linear head at every timestep, block and pool size of the default
space. The true importance of a choice by fANOVA is the variance of the means of its values, of that of all three
choices; by PED-ANOVA it is what the evaluator gives to all settings. Each row draws random settings, of all timesteps
or of a part of them, and compares the bootstrap intervals of `search.reports.evidence.importances` with the truth.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning

from search.reports.evidence.importances import _interval, _shares
from spaces import Setting
from tests.benchmarks.selection_truth import TASKS, Truth

CHOICES = ("timestep", "block", "pool")
COUNTS, TIMESTEPS, DRAWS, AT = (10, 20, 30, 50, 100), (2, 3, 4, 6, 8), 4, 50


def shares_of(settings: Sequence[Setting], scores: np.ndarray) -> dict[str, np.ndarray]:
    values = {choice: [getattr(setting, choice) for setting in settings] for choice in CHOICES}
    return _shares({choice: sorted(set(values[choice])) for choice in CHOICES}, values, scores)


def true_shares(settings: Sequence[Setting], scores: np.ndarray) -> dict[str, np.ndarray]:
    variances = []
    for choice in CHOICES:
        values = np.array([getattr(setting, choice) for setting in settings])
        means = np.array([scores[values == value].mean() for value in values])
        variances.append(means.var())
    ped = shares_of(settings, scores)["PED-ANOVA"].mean(axis=0)
    return {"fANOVA": np.array(variances) / sum(variances), "PED-ANOVA": ped}


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", ExperimentalWarning)
    rows: dict[tuple[str, int], list[tuple[str, np.ndarray, np.ndarray]]] = {}
    for task in TASKS:
        truth = Truth.read(Path(__file__).parent / "truth" / f"{task}.json")
        settings = list(truth.right)
        scores = np.array([truth.accuracy(setting, [0]) for setting in settings])
        real, timesteps = true_shares(settings, scores), sorted({setting.timestep or 0 for setting in settings})
        designs = [("trials", count, len(timesteps)) for count in COUNTS] + [("timesteps", k, k) for k in TIMESTEPS]
        for kind, number, few in designs:
            for draw in range(DRAWS):
                generator = np.random.default_rng(1000 * number + draw)
                here = set(generator.choice(timesteps, few, replace=False).tolist())
                pool = [index for index, setting in enumerate(settings) if setting.timestep in here]
                chosen = generator.choice(pool, number if kind == "trials" else AT, replace=False)
                for name, samples in shares_of([settings[i] for i in chosen], scores[chosen]).items():
                    ends = np.array([_interval(samples[:, column]) for column in range(len(CHOICES))])
                    inside = (ends[:, 0] <= real[name]) & (real[name] <= ends[:, 1])
                    rows.setdefault((kind, number), []).append((name, inside, ends[:, 1] - ends[:, 0]))
    for (kind, number), part in rows.items():
        for name in ("fANOVA", "PED-ANOVA"):
            mine = [row for row in part if row[0] == name]
            inside = 100 * np.mean([row[1] for row in mine], axis=0)
            width = 100 * np.mean([row[2] for row in mine], axis=0)
            told = ", ".join(
                f"{choice} {share:3.0f} % inside, {wide:3.0f} points wide"
                for choice, share, wide in zip(CHOICES, inside, width, strict=True)
            )
            print(f"{number:3} {kind:9} {name:9} {told}", flush=True)


if __name__ == "__main__":
    main()
