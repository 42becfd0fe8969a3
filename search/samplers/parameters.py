"""Settings as Optuna's parameters, and back."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import Trial

from spaces import Choice, Setting, Space, Tap

Params = dict[str, Any]

CORE = ("timestep", "block", "pool", "draws", "head")
"""Parameters that every setting has."""


def to_params(setting: Setting) -> Params:
    """A setting as Optuna stores and its dashboard shows it; a head's options carry its name, as in `mlp.width`, and
    further taps their place, as in `block 2`."""
    core: Params = {name: getattr(setting, name) for name in CORE}
    if setting.further:
        core["taps"] = len(setting.taps)
        for place, tap in enumerate(setting.further, start=2):
            core |= {f"block {place}": tap.block, f"timestep {place}": tap.timestep}
    return core | {f"{setting.head}.{name}": value for name, value in setting.options}


def to_setting(params: Mapping[str, Any]) -> Setting:
    """The inverse of `to_params`; options of other heads are ignored, and so is a tap that comes again."""
    head = params["head"]
    options = [(name.split(".", 1)[1], value) for name, value in params.items() if name.startswith(f"{head}.")]
    places = range(2, params.get("taps", 1) + 1)
    first = Tap(params["block"], params["timestep"])
    taps = {first: None} | {Tap(params[f"block {place}"], params[f"timestep {place}"]): None for place in places}
    setting = Setting(first.timestep, first.block, params["pool"], head, params["draws"], tuple(options))
    return setting.reading(*taps)


def distributions(space: Space, setting: Setting) -> dict[str, BaseDistribution]:
    """Of every parameter that the setting has: the space's own values, one of which may be the only one."""
    choices = all_distributions(space)
    return {name: choices[name] for name in to_params(setting)}


def all_distributions(space: Space) -> dict[str, BaseDistribution]:
    """Of every parameter that some setting has."""
    return {param(choice): CategoricalDistribution(choice.values) for choice in space.dimensions}


def suggested(trial: Trial, space: Space) -> Setting:
    """A setting for an objective function of one's own. It may lie outside the space (`Space.why_not` says why), unless
    the study's sampler is the cost-aware one."""
    params: Params = {}
    for choice in space.dimensions:
        if choice.head in (None, params.get("head")) and choice.taps <= params.get("taps", 1):
            params[param(choice)] = trial.suggest_categorical(param(choice), choice.values)
    return to_setting(params)


def param(choice: Choice) -> str:
    return f"{choice.head}.{choice.name}" if choice.head else choice.name
