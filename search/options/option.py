"""The definition of one option, and the checks of its value."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from spaces import UsageError
from spaces.errors import shown
from spaces.space import MOST_VALUES

MOST = 2**31 - 1
"""The largest number of anything that is counted: databases and libraries keep counts in 32 bits."""

MOST_SEED = 2**32 - 1
"""The largest seed of numpy and scikit-learn."""

LONGEST_PART = 255
"""The most bytes of a file's name."""

Notation = Literal["integers", "names", "size", "duration", "repeated"]
"""The spelling of a value on the command line: `10,13-18`, `linear,mlp`, `200GB`, `1h30m`, or the option once for each
value."""


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """The facts of an option beside its type and default.

    help: one or two sentences. metavar: the command line's name for the value. low, high: the range of a number, both
    included; both or none. notation: how text becomes the value. flag: its name on the command line, where that is not
    made from the field's. former: a former name that still works on the command line. path: whether the text may name a
    file or folder. Then Python also takes a Path, kept as absolute text. secret: whether the value may hold a
    password, and is never shown or kept.
    """

    help: str
    metavar: str | None = None
    low: float | None = None
    high: float | None = None
    notation: Notation | None = None
    flag: str | None = None
    former: str | None = None
    path: bool = False
    secret: bool = False


def option(default: Any, help: str, **info: Any) -> Any:
    """Define a field of an options class. info: as of `OptionInfo`."""
    metadata = OptionInfo(help, **info)
    return field(default=default, repr=not metadata.secret, metadata={"option": metadata})


def option_info(option_field: "Field[Any]") -> OptionInfo | None:
    """Return what is known of a field; None for a field that is no option."""
    info: OptionInfo | None = option_field.metadata.get("option")
    return info


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raise UsageError where a value has not the type of its option, and for a text that is empty."""
    kinds = set(get_args(hint)) or {hint}
    if value is None and type(None) in kinds:
        return
    if bool in kinds:
        rule, fits = "True or False", isinstance(value, bool)
    elif float in kinds:
        rule, fits = "a number", isinstance(value, (int, float)) and not isinstance(value, bool)
    elif int in kinds:
        rule, fits = "a whole number", isinstance(value, int) and not isinstance(value, bool)
    elif str in kinds:
        rule, fits = "text", isinstance(value, str) or (Path in kinds and isinstance(value, Path))
    else:
        rule, fits = "a list or another sequence", _is_sequence(value)
    if fits and str in kinds and "\0" in str(value):
        rule, fits = "text without the character NUL", False
    parts = str(value).split("/") if fits and str in kinds and name not in ("storage", "prompt", "on_finish") else []
    if any(len(part.encode(errors="replace")) > LONGEST_PART for part in parts):
        rule, fits = f"text of which no part is longer than {LONGEST_PART} bytes, as names of files are", False
    if not fits:
        raise UsageError(f"`{name}` must be {rule}, got {shown(value)}")
    if value == "" and str in kinds:
        raise UsageError(f"`{name}` must not be empty, got ''; give a value, or leave it out")


def _is_sequence(value: Any) -> bool:
    """Return whether a value is a list, a range, an array or the like, but no text and no mapping."""
    return hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, (str, Mapping))


def check_range(option_field: "Field[Any]", value: Any) -> None:
    """Raise UsageError where a number lies outside the range of its option, or a list is too long."""
    info = option_info(option_field)
    if info is None or value is None:
        return
    name = option_field.name
    if _is_sequence(value):
        check_length(name, value)
    elif info.low is not None and info.high is not None:
        check_number(name, value, info.low, info.high)


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raise UsageError where a number is not from low to high, both included; NaN never is."""
    if not low <= value <= high:
        raise UsageError(f"`{name}` must be from {low:,} to {high:,}, got {shown(value)}")


def check_length(name: str, values: Sequence[Any]) -> None:
    """Raise UsageError where there are too many values to be made into a list."""
    if isinstance(values, range):  # a range that is too long for memory has no length either
        values = values[: MOST_VALUES + 1]
    if len(values) > MOST_VALUES:
        raise UsageError(f"`{name}` takes at most {MOST_VALUES:,} values, got more")
