"""Turns what a person wrote, such as `block=19,timestep=90,pool=4,head=linear`, into a setting of a space."""

from collections.abc import Mapping
from typing import Any

from search.database.optuna_storage.parameters import Params, param_name, to_params, to_setting
from spaces import InvalidSpaceError, Setting, Space, UsageError
from spaces.errors import shown


def parsed_setting(text: str) -> dict[str, str]:
    """Parse `block=19,head=linear` → {"block": "19", "head": "linear"}. Raises UsageError for another form."""
    pairs = [part.partition("=") for part in text.split(",")]
    if any(not name.strip() or not value.strip() for name, _, value in pairs):
        raise UsageError(
            f"`setting` must be names and values such as block=19,timestep=90,pool=4,head=linear, got {shown(text)}"
        )
    values = {name.strip(): value.strip() for name, _, value in pairs}
    if len(values) < len(pairs):
        raise UsageError(f"`setting` must name each part once, got {shown(text)}")
    return values


def setting_text(setting: Setting) -> str:
    """Return a setting as a person types it: the inverse of `parsed_setting`."""
    return ",".join(f"{name}={value}" for name, value in to_params(setting).items())


def chosen_setting(given: Setting | Mapping[str, Any], space: Space) -> Setting:
    """Return the setting of the space that a person means.

    given: values by the names of the space's dimensions, also as text; an option of a head may leave out the head's
    name. What is left out has the only value of the space; `draws` has the fewest, an option of a head its middle one.
    Raises InvalidSpaceError where a part is missing, unknown or not in the space.
    """
    values: dict[str, Any] = dict(to_params(given) if isinstance(given, Setting) else given)
    head = values.get("head", space.heads[0] if len(space.heads) == 1 else None)
    params: Params = {}
    known = {name for choice in space.dimensions for name in (param_name(choice), choice.name)}
    if unknown := [name for name in values if name not in known]:
        names = ", ".join(dict.fromkeys(choice.name for choice in space.dimensions))
        raise InvalidSpaceError(f"a setting has no {', '.join(unknown)}; it has {names}")
    if "taps" not in values and max(space.taps) > 1:
        values["taps"] = 1 + sum(name.startswith("block ") for name in values)
    taps = _value_in(space.taps, "taps", values["taps"]) if "taps" in values else 1
    for choice in space.dimensions:
        if choice.head not in (None, head) or choice.taps > taps:
            continue
        written = [name for name in dict.fromkeys((param_name(choice), choice.name)) if name in values]
        if written:
            params[param_name(choice)] = _value_in(choice.values, written[0], values.pop(written[0]))
        elif choice.head or choice.name == "draws" or len(choice.values) == 1:
            params[param_name(choice)] = choice.values[len(choice.values) // 2 if choice.head else 0]
        else:
            raise InvalidSpaceError(f"a setting needs {choice.name}; valid: {', '.join(map(str, choice.values))}")
    if values:
        names = ", ".join(choice.name for choice in space.dimensions if choice.head in (None, head))
        raise InvalidSpaceError(f"a setting of head {head} has no {', '.join(values)}; it has {names}")
    setting = to_setting(params)
    outside = space.why_not(setting)
    if outside is not None:
        raise InvalidSpaceError(outside)
    return setting


def _value_in(valid: tuple[Any, ...], name: str, value: Any) -> Any:
    """Return the value of the space that is equal to the given one, or spelled like it."""
    for known in valid:
        if value == known or str(value) == str(known) or _number(value) == known:
            return known
    raise InvalidSpaceError(f"{name} {shown(value)} is not in the space; valid: {', '.join(map(str, valid))}")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
