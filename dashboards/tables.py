"""Tables of numbers that several reports share: estimates, and the cells and groups of settings that were compared."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from dashboards.statistics import unpaired_difference
from objectives.results import ACCURACY, Accuracy, Difference, IntervalEstimate, Metric
from spaces import Block, Setting

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value and its 95 % interval. images: how many it was measured on."""

    value: float
    low: float
    high: float
    images: int
    metric: Metric = ACCURACY

    @classmethod
    def from_accuracy(cls, accuracy: Accuracy) -> Self:
        return cls(accuracy.value, *accuracy.interval(), accuracy.total)

    @classmethod
    def from_measured(cls, measured: IntervalEstimate, images: int, metric: Metric) -> Self:
        return cls(measured.value, measured.low, measured.high, images, metric)

    @property
    def score(self) -> float:
        """The value, or its negative where lower is better. Higher is better."""
        return self.metric.score(self.value)

    def difference(self, other: Self) -> Difference:
        """This value minus another, compared by the two intervals alone.

        This takes the images as independent. Where both were measured on the same ones, the interval is too wide, so
        that a real difference may be called not significant, but hardly the reverse.
        """
        return unpaired_difference(
            IntervalEstimate(self.value, self.low, self.high), IntervalEstimate(other.value, other.low, other.high)
        )

    def tied_with(self, other: Self) -> bool:
        """Whether the two do not differ significantly."""
        return not self.difference(other).significant


@dataclass(frozen=True, slots=True)
class Cell:
    """The best of the `count` settings tried at one block and timestep, over pooling, head and the rest.

    trial: the number of its trial; None for a screened setting, which has no trial.
    """

    block: Block
    timestep: int | None
    count: int
    trial: int | None
    setting: Setting
    best: Estimate


SCREENED_ONLY = "screened, not tried"


@dataclass(frozen=True)
class BlockByTimestep:
    """The settings that read one tap, by block and timestep.

    blocks: those of the space, in execution order. timesteps: those of the space, ascending; an encoder's is None.
    cells: by (block number, timestep), the best first; a pair that was not tried is missing, never zero. best: the cell
    of the study's answer or of the recommended setting, which a figure frames; None if there is none. measured: the
    word before the metric, "validation". screened: the pairs that the screening before a search scored.
    empty_word: what the legend calls a pair without a cell.
    """

    blocks: tuple[Block, ...]
    timesteps: tuple[int | None, ...]
    cells: Mapping[tuple[int, int | None], Cell]
    best: Cell | None
    measured: str = "validation"
    screened: frozenset[tuple[int, int | None]] = frozenset()
    empty_word: str = "not tried"

    @property
    def empty(self) -> dict[str, list[tuple[int, int | None]]]:
        """The pairs without a cell, by what is known of them: `empty_word`, "screened, not tried"."""
        pairs: dict[str, list[tuple[int, int | None]]] = {self.empty_word: [], SCREENED_ONLY: []}
        for timestep in self.timesteps:
            for block in self.blocks:
                pair = block.number, timestep
                if pair not in self.cells:
                    pairs[SCREENED_ONLY if pair in self.screened else self.empty_word].append(pair)
        return {state: empty for state, empty in pairs.items() if empty}


@dataclass(frozen=True, slots=True)
class ExpectedCell:
    """A model's expectation of the best setting at one block and timestep: a metric's value and its 95 % interval.

    deviation: the standard deviation of the model's prediction on the same images.
    """

    setting: Setting
    value: float
    low: float
    high: float
    deviation: float


@dataclass(frozen=True)
class ExpectedCells:
    """A model's expectation of every cell of a space: by (block number, timestep), tried or not.

    head, draws: those of all its settings. trials: from how many it was made.
    """

    cells: Mapping[tuple[int, int | None], ExpectedCell]
    head: str
    draws: int
    trials: int


@dataclass(frozen=True, slots=True)
class Group:
    """The settings that share one choice, such as the pool size.

    name: the choice they share, such as "4". setting: the best of them, and best: its value and interval. values: the
    metric of all of them, the best first. chosen: whether the answer, or the recommended setting, is in the group.
    """

    name: str
    setting: Setting
    best: Estimate
    values: tuple[float, ...]
    chosen: bool = False

    @property
    def median(self) -> float:
        middle = len(self.values) // 2
        return (self.values[middle] + self.values[-1 - middle]) / 2


def ascending(timesteps: Iterable[int | None]) -> tuple[int | None, ...]:
    """The distinct timesteps in ascending order; an encoder's None comes first."""
    return tuple(sorted(set(timesteps), key=lambda timestep: -1 if timestep is None else timestep))


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items by key, each list in the given order."""
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
