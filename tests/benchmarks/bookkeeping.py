r"""What a trial costs the driver, beside what a trial costs plain Optuna, in milliseconds of CPU time.

    python tests/benchmarks/bookkeeping.py --database sqlite --trials 50 5000 --writers 1
    python tests/benchmarks/bookkeeping.py --database postgresql --trials 50 5000 --writers 8

A study in a new database is filled up to each number of trials. Then every writer, a process of its own, makes some
trials with the `StudyDriver`: `next_trial`, one `report_epoch`, `complete`, with all rows that they write. And it makes
as many with plain Optuna in another study of as many trials, with the same sampler and the same parameters: `ask` and
`tell` alone. The two take turns, so that both meet the same load. "lock": for how long a driver held the lock of the
study, in milliseconds of wall time and of CPU time; the time in which it waited for the lock is not counted. "memory":
how much the writer's memory grew when it read its study, and while it made its trials, in KiB for each trial.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import psutil
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from objectives.results import METRICS, Accuracy, CorrectMask, Evaluation, IntervalEstimate, Scores
from search.database.optuna_storage.parameters import all_distributions
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Architecture, Block, Setting, Space
from tests.support.postgresql import running_server

OURS, PLAIN = "ours", "plain"
PER_WRITER = 24
"""Trials that each writer measures, of each kind."""


def make_space() -> Space:
    """Return a space of 200 timesteps, 12 blocks, 3 pools and 2 heads: 12,000 settings or a few less."""
    sides = (16, 16, 8, 4, 4, 4, 4, 4, 4, 8, 16, 16)
    blocks = tuple(
        Block(number, f"block.{number}", "encoder" if number < 7 else "decoder", 32, side, 0.01, 0.01 * number)
        for number, side in enumerate(sides, start=1)
    )
    architecture = Architecture("small", 16, blocks, tuple(0.9999 - 0.9998 * t / 999 for t in range(1000)))
    return Space(architecture, tuple(range(0, 1000, 5)), tuple(range(1, 13)), (1, 2, 4), ("linear", "ridge"))


def make_record(space: Space) -> StudyRecord:
    counts = {"train": 800, "validation": 200, "test": 500}
    return StudyRecord("digits", "d" * 64, "bundled", "w" * 64, "default", space, ("zero", "one"), counts, {})


def score(setting: Setting) -> float:
    return 0.9 - 0.01 * abs(setting.block - 5) - 0.0001 * abs((setting.timestep or 0) - 90) + 0.005 * setting.pool


def evaluate(setting: Setting) -> Evaluation:
    correct = round(1000 * score(setting))
    estimate = IntervalEstimate(correct / 1000, correct / 1000 - 0.02, correct / 1000 + 0.02)
    return Evaluation(
        Accuracy(correct, 1000),
        {"extract": 1.23456, "wait": 0.1, "read": 0.2, "fit": 0.5},
        passes_made=1000,
        passes_needed=2000,
        details={"l2": 0.01, "gmacs": 0.25},
        scores=Scores(1000, dict.fromkeys(METRICS, estimate)),
        correct_mask=CorrectMask(1000, 2**correct - 1),
    )


def optuna_sampler(name: str, seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, constant_liar=True) if name == "tpe" else RandomSampler(seed)


@dataclass
class LockTimes:
    """For how long the lock of a study was held, each time: in seconds, and in seconds of CPU time of its holder."""

    wall: list[float]
    cpu: list[float]

    def of(self, store: Store) -> None:
        """Measure a store from now on."""
        inner = store.exclusive

        @contextmanager
        def timed(study: str) -> Iterator[Callable[[], None]]:
            with inner(study) as check:
                began, cpu = time.perf_counter(), time.thread_time()
                yield check
                self.wall.append(time.perf_counter() - began)
                self.cpu.append(time.thread_time() - cpu)

        store.exclusive = timed  # type: ignore[method-assign]


def trial(driver: StudyDriver) -> None:
    request = driver.next_trial()
    assert isinstance(request, TrialRequest), request
    driver.report_epoch(request.number, 1, 0.5)
    driver.complete(request.number, evaluate(request.setting))


def make_driver(store: Store, name: str, space: Space, sampler: str, seed: int) -> StudyDriver:
    run = store.begin_run(name, RunRecord(workers=1, command="bookkeeping", versions={}))
    proposer = sampler_named(sampler, seed)
    return StudyDriver(store, name, space, proposer, seed=seed, budget=10**6, run_id=run)


def write(url: str, name: str, sampler: str, seed: int) -> None:
    """Measure some trials in this process, and print the result as JSON."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, cpu = make_space(), {OURS: list[float](), PLAIN: list[float]()}
    kinds = all_distributions(space)
    with Store.open(url) as store:
        locks, process = LockTimes([], []), psutil.Process()
        driver = make_driver(store, name, space, sampler, seed)
        before = process.memory_info().rss
        trial(driver)
        grown = process.memory_info().rss - before
        plain = optuna.load_study(study_name=PLAIN, storage=str(store.address) if store.address.file else url)
        plain.sampler = optuna_sampler(sampler, seed)
        plain.tell(plain.ask(kinds), 0.5)
        locks.of(store)
        for _ in range(PER_WRITER):
            started = time.process_time()
            trial(driver)
            cpu[OURS].append(time.process_time() - started)
            started = time.process_time()
            asked = plain.ask(kinds)
            plain.tell(asked, 0.5)
            cpu[PLAIN].append(time.process_time() - started)
            if len(cpu[PLAIN]) == PER_WRITER // 2:
                middle = process.memory_info().rss
        store.end_run(driver.run_id, "finished")
        sys.stdout.write(
            json.dumps(
                {
                    **cpu,
                    "wall": locks.wall,
                    "cpu": locks.cpu,
                    "grown": grown,
                    "later": process.memory_info().rss - middle,
                }
            )
        )


def fill(store: Store, name: str, space: Space, trials: int) -> None:
    """Add trials to both studies until each has as many as asked for."""
    driver = make_driver(store, name, space, "random", 10**6)
    while len(store.trials(name).own) < trials:
        trial(driver)
    store.end_run(driver.run_id, "finished")
    plain = optuna.load_study(study_name=PLAIN, storage=store.optuna)
    lacking = trials - len(plain.get_trials(deepcopy=False))
    own = store.trials(name).own[:lacking]
    plain.add_trials(
        optuna.trial.create_trial(params=t.params, distributions=t.distributions, values=t.values) for t in own
    )


@contextmanager
def new_database(kind: str) -> Iterator[str]:
    """Yield the URL of an empty database."""
    with ExitStack() as stack:
        if kind == "postgresql":
            yield stack.enter_context(running_server()).url
        else:
            yield f"sqlite:///{stack.enter_context(TemporaryDirectory())}/studies.db"


def measure(url: str, name: str, sampler: str, writers: int) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--study", url, name, "--sampler", sampler, "--seed"]
    started = [subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE) for seed in range(writers)]
    outputs = [process.communicate()[0] for process in started]
    assert all(process.returncode == 0 for process in started)
    return [json.loads(output) for output in outputs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 5000])
    parser.add_argument("--writers", type=int, default=1)
    parser.add_argument("--sampler", choices=["random", "tpe"], default="random")
    parser.add_argument("--study", nargs=2, help=argparse.SUPPRESS)  # of a writer: the URL, and the name of the study
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.study:
        url, name = args.study
        write(url, name, args.sampler, args.seed)
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = make_space()
    with new_database(args.database) as url, Store.open(url) as store:
        name = store.ensure_study(make_record(space))
        optuna.create_study(storage=store.optuna, study_name=PLAIN, direction="maximize", load_if_exists=True)
        for trials in args.trials:
            fill(store, name, space, trials)
            load = psutil.getloadavg()[0]
            results = measure(url, name, args.sampler, args.writers)
            ours, plain = ([1000 * value for result in results for value in result[kind]] for kind in (OURS, PLAIN))
            wall, cpu = ([1000 * value for result in results for value in result[kind]] for kind in ("wall", "cpu"))
            grown, later = (fmean(result[name] for result in results) / 1024 for name in ("grown", "later"))
            middle = f"{median(ours):.1f} and {median(plain):.1f} ms, {median(ours) / median(plain):.2f}"
            lock = f"{median(wall):.1f} ms (longest {max(wall):.1f}; CPU {median(cpu):.1f}, longest {max(cpu):.1f})"
            memory = f"{grown / trials:.1f} and {later / (PER_WRITER // 2):.1f} KiB a trial"
            print(
                f"{args.database}, {args.writers} writers, {args.sampler}, {trials} trials: ours and plain {middle} "
                f"(means {fmean(ours):.1f} and {fmean(plain):.1f} ms, {fmean(ours) / fmean(plain):.2f}), "
                f"lock {lock}, memory {memory}, load {load:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
