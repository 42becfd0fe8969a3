"""Reads a head's options."""

from collections.abc import Mapping

from spaces.dimensions import Value


def number_option(options: Mapping[str, Value], name: str, least: float) -> float:
    """Return a numeric option. Raises ValueError if it is missing, no number, less than `least` or not finite."""
    value = options.get(name)
    if not isinstance(value, int | float) or not least <= value < float("inf"):
        raise ValueError(f"this head needs option {name!r}, a number of at least {least:g}, not {value!r}")
    return value
