r"""Measures the accuracy of each head on a backbone's features, by learning rate, and the time of a fit.

    python tests/benchmarks/heads.py --dataset cub --data-root DIR --blocks 9,15,21 --timesteps 20,90 --out FILE.jsonl

Every head of `--heads` with each of its learning rates and, of its other options, the first value and of weight decay
the last, at every block and timestep, pooled to `--pool`: a line each in the file, its epochs' validation counts
included. Then a table by head and learning rate: the mean over blocks and timesteps of validation accuracy, the 95 %
interval of one such cell, the mean seconds of a fit, and those as a ratio to the linear head's in the same cells.
The test split is not read.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

import torch

from objectives.datasets.catalog import load_dataset
from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import Accuracy, Epoch, Evaluation
from spaces import HEAD_OPTIONS, Setting
from spaces.dimensions import Value


@dataclass(frozen=True)
class Fitted:
    setting: Setting
    validation: Accuracy
    seconds: float
    curve: tuple[int, ...]

    @property
    def row(self) -> tuple[str, Value]:
        return self.setting.head, dict(self.setting.options).get("learning_rate")

    def line(self) -> str:
        counts = {"correct": self.validation.correct, "total": self.validation.total}
        return json.dumps(self.setting.to_dict() | counts | {"seconds": self.seconds, "curve": self.curve}) + "\n"


def options_of(head: str) -> Iterator[Mapping[str, Value]]:
    choices = {choice.name: choice.values for choice in HEAD_OPTIONS[head]}
    kept = {name: values[-1 if name == "weight_decay" else 0] for name, values in choices.items()}
    for rate in choices.get("learning_rate", (None,)):
        yield kept | ({} if rate is None else {"learning_rate": rate})


def fitted(probe: Probe, setting: Setting) -> Fitted:
    *reports, last = probe(setting)
    assert isinstance(last, Evaluation)
    curve = tuple(report.validation.correct for report in reports if isinstance(report, Epoch))
    return Fitted(setting, last.validation, last.seconds["fit"], curve)


def table(results: list[Fitted]) -> Iterator[str]:
    linear = fmean([one.seconds for one in results if one.row[0] == "linear"] or [float("nan")])
    for row in dict.fromkeys(one.row for one in results):
        cells = [one for one in results if one.row == row]
        seconds, total = fmean(one.seconds for one in cells), cells[0].validation.total
        mean = fmean(one.validation.value for one in cells)
        low, high = Accuracy(round(mean * total), total).interval()
        head, rate = row
        accuracy = f"{100 * mean:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        yield f"| {head} | {rate or ''} | {accuracy} | {seconds:.1f} | {seconds / linear:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--backbone", default="bundled")
    parser.add_argument("--blocks", default="9,15,21")
    parser.add_argument("--timesteps", default="20,90")
    parser.add_argument("--pool", type=int, default=4)
    parser.add_argument("--heads", default=",".join(HEAD_OPTIONS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder of features; without it they are made anew")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    blocks, timesteps = ([int(word) for word in words.split(",")] for words in (given.blocks, given.timesteps))
    dataset = load_dataset(given.dataset, given.data_root)
    results: list[Fitted] = []
    with tempfile.TemporaryDirectory() as temporary:
        grids = dict.fromkeys(blocks, given.pool)
        spec = ProbeSpec(dataset, given.backbone, "float32", given.cache or Path(temporary), grids)
        probe = Probe.build(spec, given.threads)
        for head, block, timestep in product(given.heads.split(","), blocks, timesteps):
            for options in options_of(head):
                setting = Setting(timestep, block, given.pool, head, options=tuple(options.items()))
                results.append(fitted(probe, setting))
                if given.out is not None:
                    with given.out.open("a") as file:
                        file.write(results[-1].line())
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
