"""Divides the cores and GPUs of a machine among its workers."""

import os
import random
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from objectives.devices import available_cores, gpu_count
from search.database.jobs.worker_table import Choice, Worker
from spaces import UsageError, check_name

NO_GPU = "none"
"""The name that a person types for a worker without GPUs."""

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"


def choose(others: Sequence[Worker], cores: int | None = None, gpus: Sequence[str] | None = None) -> Choice:
    """Return the cores and the GPUs of a new worker.

    others: the other live workers of this machine. cores: how many; None for all that no other has. gpus: their names;
    `NO_GPU` alone for none; None for all that no other has. Raises UsageError where they are not free.
    """
    return choose_cores(usable_cores(), available_cores(), others, cores), choose_gpus(usable_gpus(), others, gpus)


def usable_cores() -> list[int]:
    """Return the numbers of the cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(available_cores())]


def usable_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    visible = os.environ.get(VISIBLE_GPUS)
    return [name.strip() for name in visible.split(",")][: gpu_count()] if visible else [*map(str, range(gpu_count()))]


def choose_cores(usable: Sequence[int], most: int, others: Sequence[Worker], wanted: int | None) -> list[int]:
    """Return the numbers of so many cores that no other worker has.

    usable: the cores of this process. most: how many of them it may keep busy, which a container may limit; then which
    ones are taken is left to chance, so that containers of one machine do not take the same ones.
    """
    taken = {core for worker in others for core in worker.cores}
    free = [core for core in usable if core not in taken]
    room = min(len(free), max(most - (len(usable) - len(free)), 0))
    if not room or (wanted is not None and wanted > room):
        rule = f"`cores` must be at most {room}" if room else "`search worker` needs a core that no other worker has"
        has = f"this process may use {most} core{'' if most == 1 else 's'}"
        workers = "".join(f", worker {worker.pid} has {core_list(worker.cores)}" for worker in others)
        raise UsageError(f"{rule}: {has}{workers}; end a worker, or start it with fewer cores")
    if wanted is None:
        return free
    return sorted(random.sample(free, wanted)) if most < len(usable) else free[:wanted]


def choose_gpus(usable: Sequence[str], others: Sequence[Worker], wanted: Sequence[str] | None) -> list[str]:
    """Return the names of GPUs that no other worker has: the wanted ones, or all."""
    owners = {name: worker for worker in others for name in worker.gpus}
    if wanted is None:
        return [name for name in usable if name not in owners]
    if [*wanted] == [NO_GPU]:
        return []
    for name in wanted:
        check_name("GPU", name, [*usable, NO_GPU])
        if name in owners:
            raise UsageError(f"`gpus`: worker {owners[name].pid} has GPU {name}; name others, or end that worker")
    return [*dict.fromkeys(wanted)]


def take(cores: Sequence[int], gpus: Sequence[str]) -> dict[str, str]:
    """Let this process and its children run on these cores alone, and return the environment of their jobs."""
    if hasattr(os, "sched_setaffinity"):
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
    most = min(len(cores), available_cores())
    environment = {**os.environ, VISIBLE_GPUS: ",".join(gpus)} if gpus or usable_gpus() else {**os.environ}
    threads = environment.get("OMP_NUM_THREADS", "")
    too_many = int(threads) > most if threads.isdecimal() else most < len(cores)
    if too_many:  # otherwise libraries follow the cores by themselves
        environment["OMP_NUM_THREADS"] = str(most)
    return environment


def core_list(cores: Sequence[int]) -> str:
    """Return numbers of cores in words: `[0, 1, 2, 5]` → "cores 0-2,5"."""
    runs = []
    for _, group in groupby(enumerate(sorted(cores)), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        runs.append(str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}")
    return f"core{'' if len(cores) == 1 else 's'} {','.join(runs)}"
