"""Finds the setting that a person means who enqueues a trial with Optuna's `Study.enqueue_trial`."""

import random
from collections.abc import Collection, Mapping
from typing import Any

from search.database.optuna_storage.parameters import Params, param_name, to_setting
from spaces import InvalidSpaceError, Setting, Space

MAX_DRAWS = 1000
"""Random choices of the parameters that a person left out, before the trial is refused."""


def enqueued_setting(
    given: Mapping[str, Any], space: Space, taken: Collection[Setting], generator: random.Random
) -> Setting:
    """Return the setting of the space that has the given parameters, and random values of all others.

    taken: settings that must not be returned. Raises InvalidSpaceError, with the reason, where there is no such
    setting.
    """
    chosen = {name: _value_in(space, name, value) for name, value in given.items()}
    reason = ""
    for _ in range(MAX_DRAWS):
        params: Params = {}
        for choice in space.dimensions:
            if choice.head in (None, params.get("head")) and choice.taps <= params.get("taps", 1):
                name = param_name(choice)
                params[name] = chosen[name] if name in chosen else generator.choice(choice.values)
        setting = to_setting(params)
        reason = _why_not(setting, params, chosen, space, taken)
        if not reason:
            return setting
    raise InvalidSpaceError(reason)


def _why_not(
    setting: Setting, params: Params, chosen: Mapping[str, Any], space: Space, taken: Collection[Setting]
) -> str:
    """Return why a setting cannot be tried, or nothing where it can."""
    unused = next((name for name in chosen if name not in params), None)
    if unused is not None:
        return f"{unused} does not belong to the setting {setting}; leave it out"
    return space.why_not(setting) or ("the study has a trial of this setting already" if setting in taken else "")


def _value_in(space: Space, name: str, value: Any) -> Any:
    """Return the value of the space that is equal to the given one. Raises InvalidSpaceError where there is none."""
    values = {param_name(choice): choice.values for choice in space.dimensions}
    if name not in values:
        raise InvalidSpaceError(f"the space has no parameter {name!r}; it has {', '.join(values)}")
    if not isinstance(value, bool):
        for valid in values[name]:
            if valid == value:
                return valid
    raise InvalidSpaceError(f"{name} {value!r} is not in the space; valid: {', '.join(map(str, values[name]))}")
