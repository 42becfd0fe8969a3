"""Runs the check: `scripts/check_gpu`; docs/gpu.md."""

import argparse
import faulthandler
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_check.machine import Machine, Sizes
    from gpu_check.rows import Result, Row


def main() -> int:
    """Run the rows and print the table. Return 0 if no row failed, else 1."""
    start = time.perf_counter()
    arguments = parser().parse_args()
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the product takes a GPU if it sees one
    os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars between the rows
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no GPU; --device cpu runs the same rows on the CPU", file=sys.stderr)
        return 1
    from gpu_check.machine import Machine, sizes_for

    sizes = sizes_for(arguments.device, arguments.quick)
    rows = chosen_rows(all_rows(sizes, arguments.with_ray), arguments.only)
    if not rows:
        names = ", ".join(row.name for row in all_rows(sizes, True))
        print(f"no row is called {' or '.join(arguments.only)}; there are {names}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        device = (
            torch.device("cuda", torch.cuda.current_device()) if arguments.device == "cuda" else torch.device("cpu")
        )
        machine = Machine(device, sizes, Path(folder), start)
        return run(rows, machine, arguments.out, arguments.commit)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    result = argparse.ArgumentParser(prog="check_gpu", description="Check and measure the product on a GPU.")
    result.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    result.add_argument("--quick", action="store_true", help="tiny sizes, to see that the check itself works")
    result.add_argument("--out", type=Path, default=Path("check-gpu.json"), help="[default: check-gpu.json]")
    result.add_argument("--only", nargs="+", metavar="NAME", default=[], help="rows by name; * stands for any letters")
    result.add_argument("--with-ray", action="store_true", help="also run a small search by Ray")
    result.add_argument("--commit", help="the commit that is checked [default: what git says]")
    return result


def all_rows(sizes: "Sizes", with_ray: bool) -> list["Row"]:
    """Return all rows in their order: first what must be right, last what may find no time."""
    from gpu_check import correctness, sharing, speed, variants, workloads

    ray = [workloads.RAY_ROW] if with_ray else []
    return [*correctness.ROWS, *sharing.ROWS, *ray, *speed.rows(sizes), *workloads.ROWS, *variants.ROWS]


def chosen_rows(rows: Sequence["Row"], patterns: Sequence[str]) -> list["Row"]:
    """Return the rows whose name fits one of the patterns; all rows if there is no pattern."""
    return [row for row in rows if not patterns or any(fnmatch(row.name, pattern) for pattern in patterns)]


def run(rows: Sequence["Row"], machine: "Machine", out: Path, commit: str | None) -> int:
    """Run the rows, and write table and JSON. The JSON is written after every row."""
    from gpu_check import report
    from gpu_check.machine import ENDS, facts
    from gpu_check.rows import run_rows

    results: list[Result] = []
    known = facts(machine, commit)

    def show() -> None:
        print(f"\n{report.heading(known)}\n\n{report.table(results)}\n")
        print(report.summary(results, machine.seconds_since_start()), flush=True)
        report.save(out, known, results, machine.seconds_since_start())

    watchdog = threading.Timer(ENDS - machine.seconds_since_start(), give_up, [rows, results, show])
    watchdog.daemon = True
    watchdog.start()
    for result in run_rows(rows, machine):
        results.append(result)
        print("  ".join(report.line(result)), flush=True)
        report.save(out, known, results, machine.seconds_since_start())
    watchdog.cancel()
    show()
    return int(any(result.outcome == "fail" for result in results))


def give_up(rows: Sequence["Row"], results: list["Result"], show: Callable[[], None]) -> None:
    """End the process and its children: a row hangs. It fails, and the rows after it are not run."""
    from gpu_check.machine import ENDS
    from gpu_check.rows import Result

    faulthandler.dump_traceback(all_threads=True)
    for number, row in enumerate(rows[len(results) :]):
        if number == 0:
            results.append(Result.without_figure(row, "fail", f"not finished after {ENDS:g} s of the check"))
        else:
            results.append(Result.without_figure(row, "not run", "no time left"))
    show()
    for process in multiprocessing.active_children():
        process.kill()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
