"""Builds a probe in the worker that runs it, so that the driver of the search need not load torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from objectives.probe_spec import ProbeSpec

if TYPE_CHECKING:
    from objectives.probe import Probe


@final
@dataclass(frozen=True)
class ProbeBuilder:
    """The data from which a worker builds its probe: everything except the loaded network."""

    spec: ProbeSpec

    def build(self, threads: int) -> "Probe":
        """Build the probe with its network, on this process's GPU if there is one, else on `threads` CPU threads."""
        from objectives.probe import Probe

        return Probe.build(self.spec, threads)
