r"""Every head at its best setting, and several taps against one, as a person would search for them.

    python tests/benchmarks/comparison.py --dataset cub --data-root DIR --trials 60 --home HOME --out FILE.json

A row is a study: `search run` with the words of `ROWS`, all in one home folder, so that each timestep is passed once
for all. Rows of a home that has them already are not searched again. Prints a Markdown table: validation and test
accuracy with 95 % intervals (means over the seeds of the finals), what a pass of an image costs at inference, and the
mean seconds of a fit of the chosen setting. The setting is chosen on validation, the test split is read once.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.formatting import head_text
from objectives.home import Home
from objectives.results import Finalist, StudyResults
from search.database.store import Store

SEVERAL = ["--taps", "1-3"]
ROWS: dict[str, list[str]] = {
    **{name: ["--heads", name] for name in ("linear", "ridge", "knn", "prototype", "mlp", "cnn", "attention")},
    "linear, up to 3 taps": ["--heads", "linear", *SEVERAL],
    "ridge, up to 3 taps": ["--heads", "ridge", *SEVERAL],
    "attention, up to 3 taps": ["--heads", "attention", *SEVERAL],
}


@dataclass(frozen=True)
class Row:
    name: str
    study: StudyResults

    @property
    def best(self) -> Finalist:
        return self.study.finalists[0]

    @property
    def gmacs(self) -> float:
        """The GMAC of all forward passes of one image."""
        setting, architecture = self.best.setting, self.study.architecture
        return setting.draws * sum(
            architecture.block(max(blocks)).cumulative_gmacs for blocks in setting.passes.values()
        )

    @property
    def fit_seconds(self) -> float:
        return next(t.seconds["fit"] for t in self.study.complete if t.setting == self.best.setting)

    def record(self) -> dict[str, Any]:
        best = self.best
        return {
            "row": self.name,
            "setting": best.setting.to_dict(),
            "validation": best.validation,
            "validation_interval": best.validation_interval,
            "test": best.test,
            "test_interval": best.test_interval,
            "seeds": [final.seed for final in best.finals],
            "gmacs_per_image": self.gmacs,
            "fit_seconds": self.fit_seconds,
            "trials": self.study.finished,
        }

    def line(self) -> str:
        validation, test = (
            f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"
            for value, (low, high) in (
                (self.best.validation, self.best.validation_interval),
                (self.best.test, self.best.test_interval),
            )
        )
        setting = self.best.setting
        where = f"{' + '.join(map(str, setting.taps))}, pool {setting.pool}, {head_text(setting)}"
        return f"| {self.name} | {where} | {validation} | {test} | {self.gmacs:.2f} | {self.fit_seconds:.2f} |"


def searched(name: str, words: list[str], command: list[str], home: Path) -> Row:
    """The study of a row. Its name is told by the run; a run that has nothing left to do tells it too."""
    run = [sys.executable, "-m", "search", "run", *command, *words, "--home", str(home)]
    done = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    study = next(line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("study "))
    with Store.open(Home.at(home).storage) as store:
        return Row(name, store.read_study(study))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-root")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), help=f"of: {'; '.join(ROWS)}")
    parser.add_argument("--home", type=Path, required=True, help="where studies and features are kept")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    command = ["--dataset", given.dataset, "--trials", str(given.trials)]
    if given.data_root:
        command += ["--data-root", given.data_root]
    rows = []
    print("| head | setting | validation % | test % | GMAC an image | seconds a fit |\n| --- " + 5 * "| --- " + "|")
    for name in given.rows:
        rows.append(searched(name, ROWS[name], command, given.home))
        print(rows[-1].line(), flush=True)
    if given.out is not None:
        given.out.write_text(json.dumps([row.record() for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
