"""The part of the machine or the cluster that a run may use."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resources:
    """The workers of a run.

    workers: trials that run at a time, at least 1. cpus: CPU threads of each worker. gpus: GPUs of each worker; a
    fraction shares one. address: HOST:PORT of a running Ray cluster; None for a private Ray on this machine.
    """

    workers: int
    cpus: int = 1
    gpus: float = 0.0
    address: str | None = None


def workers_on(gpus: int, share: float) -> int:
    """Return how many workers fit on a number of GPUs, where each takes a share: a fraction of one, or several."""
    return gpus * int(1 / share + 1e-9) if share < 1 else int(gpus / share)


def equal_share(gpus: int, workers: int) -> float:
    """Return the GPUs of each worker where workers share them equally: a fraction of one, or several whole ones."""
    return float(gpus // workers) if workers <= gpus else 1 / math.ceil(workers / gpus)
