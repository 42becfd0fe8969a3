"""Runs a fuzzer: makes and reads numbered inputs with a time limit, counts the outcomes, and has the command line."""

import argparse
import faulthandler
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_EACH = 60

Outcomes = tuple[Counter[str], dict[str, str]]
"""(outcome → number of inputs, fault → its first example). Each outcome but "read" and "refused" is a fault."""

Make = Callable[[Path, random.Random], tuple[str, Callable[[], str]]]
"""Makes an input at a path that does not exist yet, whose name is the number of the input. Returns a description for
people, and a function that reads the input and returns "read", "refused", or a fault in words."""


class TooSlowError(BaseException):
    """An input took longer than SECONDS_EACH; no library may catch it."""


def count_outcomes(make: Make, seed: int, numbers: Iterable[int], seconds: float) -> Outcomes:
    """Make and read the numbered inputs of a seed, until `seconds` have passed."""
    outcomes: Counter[str] = Counter()
    faults: dict[str, str] = {}
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as work:
        for number in numbers:
            if time.monotonic() > end:
                break
            root = Path(work) / f"{number}"
            description = "not made"
            try:
                with _limited(SECONDS_EACH):
                    description, read = make(root, random.Random(f"{seed} {number}"))
                    outcome = detail = read()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a panic of a library in Rust is no Exception
                outcome, detail = _raised(error), traceback.format_exc()
            outcome = outcome.replace(str(root), "ROOT")
            outcomes[outcome] += 1
            if outcome not in ("read", "refused"):
                faults.setdefault(outcome, f"input {number} ({description}): {detail}")
            shutil.rmtree(root, ignore_errors=True)
    return outcomes, faults


def run_command(description: str | None, fuzz: Callable[[int, Iterable[int], float], Outcomes]) -> None:
    """Run a fuzzer with the options of the command line, and print the outcomes. Exits with 1 if there are faults.

    fuzz: called with the seed, the numbers of the inputs, and the seconds.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="number of a single input")
    options = parser.parse_args()
    start = options.start if options.only is None else options.only
    numbers = range(start, sys.maxsize if options.only is None else start + 1)
    faulthandler.enable()  # a damaged file may crash a library
    began = time.monotonic()
    outcomes, faults = fuzz(options.seed, numbers, options.seconds)
    elapsed = time.monotonic() - began
    print(f"seed {options.seed}: {outcomes.total():,} inputs from number {start:,} in {elapsed:,.0f} s")
    print(
        f"{outcomes['read']:,} read completely, {outcomes['refused']:,} refused in one line, "
        f"{len(faults)} different faults"
    )
    for outcome, example in faults.items():
        print(f"\n{outcomes[outcome]} x {outcome}\n{example}")
    sys.exit(bool(faults))


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _raised(error: BaseException) -> str:
    """Return the kind of an error, and the last line of this product that it passed."""
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    ours = [frame for frame in frames if "/objectives/" in frame or "/spaces/" in frame]
    return f"{type(error).__name__} from {(ours or frames)[-1]}"
