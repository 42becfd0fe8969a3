"""The finite choices a space is made of, and which of them belong to which head."""

from dataclasses import dataclass

Value = int | float | str | None
"""None is the timestep of an encoder."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A named, ordered, finite set of values. head: set where the choice exists for that head alone. taps: it exists
    for settings of at least so many."""

    name: str
    values: tuple[Value, ...]
    head: str | None = None
    taps: int = 1


RECIPES = {"mlp": 2, "cnn": 2, "attention": 2}
"""Raised where a head makes something else of the same options, so that its new scores begin a new study."""

# Learning rate and weight decay belong to each head's search: recipes move accuracy by tens of points.
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
