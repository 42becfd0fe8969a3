"""Stores a setting as parameters of an Optuna trial, and a space as their distributions."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from spaces import Choice, SearchError, Setting, Space, Tap

Params = dict[str, Any]

CORE = ("timestep", "block", "pool", "draws", "head")
"""Parameters that every setting has."""


def to_params(setting: Setting) -> Params:
    """Return the parameters under which Optuna stores a setting and Optuna Dashboard shows it.

    The options of a head carry the head's name, as in `mlp.width`. Further taps carry their number, as in `block 2`.
    """
    params: Params = {name: getattr(setting, name) for name in CORE}
    if setting.further:
        params["taps"] = len(setting.taps)
        for number, tap in enumerate(setting.further, start=2):
            params |= {f"block {number}": tap.block, f"timestep {number}": tap.timestep}
    return params | {f"{setting.head}.{name}": value for name, value in setting.options}


def to_setting(params: Mapping[str, Any]) -> Setting:
    """Return the setting of some parameters: the inverse of `to_params`.

    Options of other heads are ignored, and so is a tap that occurs twice.
    """
    head = params["head"]
    options = [(name.split(".", 1)[1], value) for name, value in params.items() if name.startswith(f"{head}.")]
    numbers = range(2, params.get("taps", 1) + 1)
    first = Tap(params["block"], params["timestep"])
    taps = {first: None} | {Tap(params[f"block {number}"], params[f"timestep {number}"]): None for number in numbers}
    setting = Setting(first.timestep, first.block, params["pool"], head, params["draws"], tuple(options))
    return setting.reading(*taps)


def setting_or_none(params: Mapping[str, Any]) -> Setting | None:
    """Return the setting of some parameters, or None where they are not those of a setting."""
    try:
        return to_setting(params)
    except (KeyError, TypeError, ValueError, AttributeError, SearchError):
        return None


def distributions(space: Space, setting: Setting) -> dict[str, BaseDistribution]:
    """Return the distribution of every parameter of the setting: all values that the space has for it."""
    every = all_distributions(space)
    return {name: every[name] for name in to_params(setting)}


def all_distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of every parameter that some setting of the space has."""
    return {param_name(choice): CategoricalDistribution(choice.values) for choice in space.dimensions}


def param_name(choice: Choice) -> str:
    """Return the name of the parameter that stores a dimension of the space."""
    return f"{choice.head}.{choice.name}" if choice.head else choice.name
