"""Builds a probe in the worker that runs it, so that the driver of the search need not load torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from objectives.datasets.splits import Split
from objectives.probing.spec import ProbeSpec

if TYPE_CHECKING:
    from objectives.probing.probe import Probe


@final
@dataclass(frozen=True)
class ProbeBuilder:
    """The data from which a worker builds its probe: everything except the loaded network.

    splits: seed → splits of `spec` that are known already. To make them takes the seconds of loading scikit-learn.
    """

    spec: ProbeSpec
    splits: Mapping[int, tuple[Split, ...]] = field(default_factory=dict)

    def build(self, threads: int) -> "Probe":
        """Build the probe with its network, on this process's GPU if there is one, else on `threads` CPU threads."""
        from objectives.probing.probe import Probe

        probe = Probe.build(self.spec, threads)
        probe.know(self.splits)
        return probe
