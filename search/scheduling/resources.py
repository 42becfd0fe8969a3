"""The part of the machine or the cluster that a run may use."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spaces import UsageError

CPU, GPU, GPU_TYPE = "CPU", "GPU", "accelerator_type:"
"""Ray's names of cores and GPUs, and the prefix of its name of a GPU's type. A machine has 1 of each of its types."""

TYPE_SHARE = 0.001
"""The amount of a GPU's type that a worker takes: so little that the type never limits the number of workers."""


@dataclass(frozen=True, slots=True)
class Resources:
    """The workers of a run.

    workers: trials that run at a time, at least 1. cpus: CPU threads of each worker. gpus: GPUs of each worker; a
    fraction shares one. address: HOST:PORT of a running Ray cluster; None for a private Ray on this machine. gpu_type:
    of the GPUs, as Ray names it; None for any.
    """

    workers: int
    cpus: int = 1
    gpus: float = 0.0
    address: str | None = None
    gpu_type: str | None = None

    @property
    def of_worker(self) -> dict[str, float]:
        """The resources of one worker, by Ray's names."""
        needs = {CPU: float(self.cpus), GPU: self.gpus}
        types = {} if self.gpu_type is None else {GPU_TYPE + self.gpu_type: TYPE_SHARE}
        return {name: amount for name, amount in needs.items() if amount} | types


def workers_on(gpus: int, share: float) -> int:
    """Return how many workers fit on a number of GPUs, where each takes a share: a fraction of one, or several."""
    return gpus * int(1 / share + 1e-9) if share < 1 else int(gpus / share)


def equal_share(gpus: int, workers: int) -> float:
    """Return the GPUs of each worker where workers share them equally: a fraction of one, or several whole ones."""
    return float(gpus // workers) if workers <= gpus else 1 / math.ceil(workers / gpus)


def resources_of_cluster(
    machines: Sequence[Mapping[str, float]],
    address: str,
    workers: int | None = None,
    gpus: float | None = None,
    gpu_type: str | None = None,
) -> Resources:
    """Return the workers of a run on a cluster.

    machines: what each machine has, by Ray's names. workers, gpus: as asked for; None for one worker on each GPU, or
    where the cluster has no GPU, on each core. The cores of a machine are divided among the workers that it gets if all
    machines get about as many. Raises UsageError where no machine has GPUs of the type.
    """
    if gpu_type is not None:
        types = {name.removeprefix(GPU_TYPE) for machine in machines for name in machine if name.startswith(GPU_TYPE)}
        if gpu_type not in types:
            raise UsageError(
                f"`gpu_type` is {gpu_type}, and no machine of the cluster has such a GPU; it has "
                f"{', '.join(sorted(types)) or 'none of a known type'}"
            )
        machines = [machine for machine in machines if GPU_TYPE + gpu_type in machine]
    if gpus is None:
        gpus = 1.0 if any(machine.get(GPU, 0) >= 1 for machine in machines) else 0.0
    usable = []  # the cores of each machine that has room, and for how many workers
    for machine in machines:
        cores = int(machine.get(CPU, 0))
        if most := min(workers_on(int(machine.get(GPU, 0)), gpus), cores) if gpus else cores:
            usable.append((cores, most))
    workers = workers or max(sum(most for _, most in usable), 1)
    evenly = 1  # the most workers of a machine if all machines get about as many
    while evenly < workers and sum(min(most, evenly) for _, most in usable) < workers:
        evenly += 1
    cpus = min((cores // min(most, evenly) for cores, most in usable), default=1)
    return Resources(workers, cpus, gpus, address, gpu_type)
