"""Reads the caches of a cluster's other machines, where each machine has a cache folder of its own."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

ANSWER_SECONDS = 20.0
"""Longest wait for a machine to list its shards, or to send a piece of one. Its first answer starts a process."""

PIECE_BYTES = 2**26
"""Bytes of a shard that a machine sends at a time: they lie in the memory of both machines."""


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _listed(folder: str) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".safetensors")}
    except OSError:
        return {}


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _piece(file: str, start: int) -> bytes:
    with Path(file).open("rb") as content:
        content.seek(start)
        return content.read(PIECE_BYTES)


@final
@dataclass
class RayMachines:
    """The other machines of the cluster that this worker is on, as `OtherMachines` has them."""

    _holders: dict[Path, str] = field(default_factory=dict)

    def turn(self) -> float:
        machines = _machines(with_cores=True)  # the others have no workers
        return machines.index(_this()) / len(machines)

    def shards(self, folder: Path) -> Mapping[str, int]:
        others = [machine for machine in _machines() if machine != _this()]
        answers = {_on(machine, _listed).remote(str(folder)): machine for machine in others}
        ready, late = ray.wait(list(answers), num_returns=len(answers), timeout=ANSWER_SECONDS) if answers else ([], [])
        for answer in late:
            ray.cancel(answer)
        shards: dict[str, int] = {}
        for answer in ready:
            try:
                listed = ray.get(answer)
            except ray.exceptions.RayError:  # the machine has died meanwhile
                continue
            shards |= listed
            self._holders |= {folder / name: answers[answer] for name in listed}
        return shards

    def read(self, file: Path, size: int) -> Iterator[bytes]:
        for start in range(0, size, PIECE_BYTES):
            try:
                piece: bytes = ray.get(
                    _on(self._holders[file], _piece).remote(str(file), start), timeout=ANSWER_SECONDS
                )
            except ray.exceptions.RayError as error:  # of a timeout too
                raise ConnectionError(f"{file} cannot be copied: {error}") from error
            yield piece


def _machines(with_cores: bool = False) -> list[str]:
    alive = [node for node in ray.nodes() if node["Alive"]]
    return sorted(node["NodeID"] for node in alive if not with_cores or node["Resources"].get("CPU"))


def _this() -> str:
    node: str = ray.get_runtime_context().get_node_id()
    return node


def _on(machine: str, task: Any) -> Any:
    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=False))
