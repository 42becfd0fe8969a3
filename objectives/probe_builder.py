"""Builds a probe in the process that runs it, so that the process which plans the search needs no network library."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from objectives.probe_spec import ProbeSpec

if TYPE_CHECKING:
    from objectives.probe import Probe


@final
@dataclass(frozen=True)
class ProbeBuilder:
    """What is sent to a worker: everything but the loaded network."""

    spec: ProbeSpec

    def build(self, threads: int) -> "Probe":
        """The probe with its network, on the GPU that this process sees, else on `threads` CPU threads."""
        from objectives.probe import Probe

        return Probe.build(self.spec, threads)
