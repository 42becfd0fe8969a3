"""The part of the machine or the cluster that a run may use."""

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
