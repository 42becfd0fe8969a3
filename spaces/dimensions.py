"""The dimensions of a space: named finite choices, some of which belong to one head."""

from dataclasses import dataclass

Value = int | float | str | None
"""One value of a choice. None is the timestep of an encoder."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A named, ordered, finite set of values.

    head: the only head that has the choice; None where every head has it.
    taps: the smallest number of taps of a setting that has the choice.
    """

    name: str
    values: tuple[Value, ...]
    head: str | None = None
    taps: int = 1


RECIPES = {"mlp": 2, "cnn": 2, "attention": 2}
"""Head → version of how it is fitted.

If you change how a head is fitted, raise its version; otherwise old and new scores would mix in one study.
"""
# The calibration of ridge, knn and prototype moved by about 1e-9 when a root finder replaced a bisection. No printed
# score changed, so their versions stayed.

FOLDS_TOGETHER = frozenset({"linear", "linear-unit", "ridge"})
"""The heads that fit the folds of a cross-validation together, and choose one value for all folds."""

# Learning rate and weight decay are searched for each head: they change the accuracy by tens of points.
HEAD_OPTIONS: dict[str, tuple[Choice, ...]] = {
    "linear": (),
    "linear-unit": (),
    "mlp": (
        Choice("width", (128, 512), head="mlp"),
        Choice("learning_rate", (3e-4, 1e-3, 3e-3), head="mlp"),
        Choice("weight_decay", (1e-3, 1e-1), head="mlp"),
    ),
    "ridge": (),
    "knn": (Choice("neighbours", (1, 5, 20), head="knn"),),
    "prototype": (),
    "cnn": (
        Choice("width", (64, 128), head="cnn"),
        Choice("depth", (1, 2), head="cnn"),
        Choice("learning_rate", (1e-3, 3e-3, 1e-2), head="cnn"),
        Choice("weight_decay", (1e-3, 1e-1), head="cnn"),
    ),
    "attention": (
        Choice("width", (128, 256), head="attention"),
        Choice("depth", (1, 2), head="attention"),
        Choice("learning_rate", (3e-4, 1e-3, 3e-3), head="attention"),
        Choice("weight_decay", (1e-3, 1e-1), head="attention"),
    ),
}
