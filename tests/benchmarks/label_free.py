r"""Whether criteria that need no labels rank settings as their accuracy does, beside leave-one-out.

    python tests/benchmarks/label_free.py --home HOME --out docs/data/label-free.json \
        --task digits --task cub-50=DIR --task flowers-17=DIR [--images 500]

Each criterion scores all 456 settings of the default space by the first `--images` training images. The table has
Spearman's rank correlation with the truth of `selection_truth.py`, which is the linear head's accuracy in five folds,
over all settings, and over those of pool 4 at all timesteps and of all pools at one timestep, where a criterion cannot
gain by the length of the features alone.

- `leave-one-out`: the negative squared error of the screening, which needs labels.
- `RankMe`: the effective rank, exp of the entropy of the normalised singular values of the features
  (Garrido et al. 2023, RankMe, equation 1).
- `entropy`: of the eigenvalues of the Gram matrix, normalised to the sum 1 (Skean et al. 2025, Layer by Layer,
  section 3; matrix-based entropy of order 1).
- `high frequencies`: the share of the energy of the pooled map above half of the highest frequency, by a cosine
  transform. A-SelecT (arXiv 2603.25758) ranks timesteps by such a share, of whole maps of a transformer; here the map
  is the pooled one, so that pool 1 has none.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.fft import dctn
from scipy.stats import spearmanr

from objectives.datasets.splits import stratified_order
from objectives.features.extraction import Clock
from objectives.probing.probe import Probe
from objectives.probing.screening import screen
from objectives.probing.spec import ProbeSpec
from spaces import Setting
from tests.benchmarks.selection_truth import FOLDS, TASKS, Truth, space_of_truth


def scores(features: torch.Tensor, labels: torch.Tensor, classes: int) -> dict[str, float]:
    """features: float32 (n, c, p, p)."""
    maps, flat = features.numpy(), features.flatten(1).double()
    flat = flat - flat.mean(dim=0)
    gram = flat @ flat.T if flat.shape[0] < flat.shape[1] else flat.T @ flat
    eigenvalues = torch.linalg.eigvalsh(gram).clamp(min=0).numpy()
    side = maps.shape[-1]
    energy = np.square(dctn(maps, axes=(2, 3), norm="ortho")).sum(axis=(0, 1))
    is_high = np.add.outer(np.arange(side), np.arange(side)) >= side
    return {
        "leave-one-out": -float(screen(features, labels, classes).errors.mean()),
        "RankMe": entropy(np.sqrt(eigenvalues)),
        "entropy": entropy(eigenvalues),
        "high frequencies": float(energy[is_high].sum() / energy.sum()),
    }


def entropy(values: np.ndarray) -> float:
    """The entropy of values that are normalised to the sum 1. Its exponential has the same ranks."""
    shares = values / values.sum()
    return float(-(shares * np.log(shares + 1e-12)).sum())


def correlations(table: dict[Setting, dict[str, float]], truth: dict[Setting, float]) -> dict[str, dict[str, float]]:
    """Return criterion → group of settings → mean rank correlation in the groups."""
    groups: dict[str, list[list[Setting]]] = {
        "all": [[*table]],
        "pool 4": [[setting for setting in table if setting.pool == 4]],
        "one timestep": [
            [setting for setting in table if setting.timestep == timestep]
            for timestep in dict.fromkeys(setting.timestep for setting in table)
        ],
    }

    def correlation(name: str, part: list[Setting]) -> float:
        return float(spearmanr([table[s][name] for s in part], [truth[s] for s in part]).statistic)

    return {
        name: {group: round(fmean(correlation(name, part) for part in parts), 2) for group, parts in groups.items()}
        for name in next(iter(table.values()))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", required=True, metavar="TASK[=DIR]")
    parser.add_argument("--home", type=Path, required=True, help="its cache keeps the features")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    space, results = space_of_truth(given.home / "cache"), dict[str, Any]()
    for task, _, root in (text.partition("=") for text in given.task):
        dataset = TASKS[task].load(Path(root) if root else None)
        spec = ProbeSpec(dataset, "bundled", "float32", given.home / "cache", space.grids)
        (view,) = Probe.build(spec, threads=1)._views
        training = np.flatnonzero(~dataset.is_test)
        images = training[stratified_order(dataset.labels[training], seed=0)[: given.images]]
        labels, table = torch.from_numpy(dataset.labels[images]), {}
        for setting in space.settings():
            for _ in view.fill(images, [setting.timestep], setting.draws, Clock()):
                pass
            features = view.read(images, setting)
            assert features is not None
            table[setting] = scores(features, labels, len(dataset.classes))
        truth = Truth.read(Path(__file__).parent / "truth" / f"{task}.json")
        results[task] = correlations(table, {setting: truth.accuracy(setting, range(FOLDS)) for setting in table})
        print(task, results[task], flush=True)
    if given.out is not None:
        given.out.write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
