"""The settings of guided-diffusion's networks: the flags of its scripts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, final

from objectives.backbones.folders.configuration import read_object
from spaces.errors import BackboneError
from spaces.lookup import check_name

AttentionOrder = Literal["legacy", "new"]
"""The order of the rows in an attention's joint projection.

"legacy" is (heads, {q, k, v}, head width). "new" is ({q, k, v}, heads, head width).
"""

BETA_SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
"""guided-diffusion's noise_schedule → diffusers' beta_schedule."""

LEAST = {"image_size": 1, "num_channels": 1, "num_res_blocks": 1, "num_heads": 1, "diffusion_steps": 20}
"""Setting → its smallest value. With fewer than 20 steps, a linear schedule would have betas above 1."""

LISTS = ("channel_mult", "attention_resolutions")
"""The settings that are lists of numbers."""

WITHOUT_EFFECT = ("use_fp16", "use_checkpoint", "use_kl", "rescale_learned_sigmas", "timestep_respacing")
"""Flags that change neither the network nor the noise that it was trained with."""


@final
@dataclass(frozen=True)
class AdmSettings:
    """The flags of guided-diffusion that determine a network and its noise, with guided-diffusion's defaults.

    channel_mult: width of each level divided by num_channels; empty for the default of the image size.
    attention_resolutions: sides, in pixels, of the maps with attention.
    num_head_channels: channels of an attention head; -1 for num_heads heads at every width.
    use_new_attention_order: None if it is not known.
    Raises BackboneError for a value that no network can have.
    """

    image_size: int = 64
    num_channels: int = 128
    num_res_blocks: int = 2
    channel_mult: tuple[float, ...] = ()
    attention_resolutions: tuple[int, ...] = (16, 8)
    num_heads: int = 4
    num_heads_upsample: int = -1
    num_head_channels: int = -1
    learn_sigma: bool = False
    class_cond: bool = False
    use_scale_shift_norm: bool = True
    resblock_updown: bool = False
    use_new_attention_order: bool | None = None
    dropout: float = 0.0
    diffusion_steps: int = 1000
    noise_schedule: str = "linear"
    predict_xstart: bool = False
    rescale_timesteps: bool = False

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise BackboneError(f"ADM setting `{name}` must be at least {least}, got {getattr(self, name)}")
        for name in LISTS:
            if not all(0 < number < math.inf for number in getattr(self, name)):
                raise BackboneError(f"ADM setting `{name}` must hold positive numbers, got {list(getattr(self, name))}")
        for name in ("num_heads_upsample", "num_head_channels"):
            if getattr(self, name) < 1 and getattr(self, name) != -1:
                raise BackboneError(f"ADM setting `{name}` must be positive, or -1 for none, got {getattr(self, name)}")
        check_name("value of ADM setting `noise_schedule`:", self.noise_schedule, BETA_SCHEDULES)
        if self.rescale_timesteps and self.diffusion_steps != 1000:
            raise BackboneError(
                f"ADM setting `rescale_timesteps` gives the network timesteps of another scale than the "
                f"{self.diffusion_steps} of its noise, which cannot be represented; only 1000 `diffusion_steps` can"
            )

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """Make settings from a mapping of flags as in JSON.

        The two lists may also be strings as in guided-diffusion, `"32,16,8"`. Raises UnknownNameError for a flag that
        guided-diffusion does not have. Raises BackboneError for a wrong value.
        """
        defaults = {field.name: field.default for field in fields(cls)}
        checked: dict[str, Any] = {}
        for name, value in values.items():
            if name in LISTS:
                checked[name] = _numbers(name, value)
            elif name in defaults:
                kind = bool if defaults[name] is None else type(defaults[name])
                if type(value) is not kind and not (kind is float and type(value) is int):
                    raise BackboneError(f"ADM setting `{name}` must be of type {kind.__name__}, got {value!r}")
                checked[name] = value
            else:
                check_name("ADM setting", name, [*defaults, *WITHOUT_EFFECT])
        return cls(**checked)


def read_settings(path: Path) -> AdmSettings:
    """Read a file with a JSON object of guided-diffusion's flags.

    Raises BackboneError if the file cannot be read, and as `AdmSettings.of` does.
    """
    try:
        values = read_object(path)
    except BackboneError as error:
        raise BackboneError(f"cannot read the ADM settings: {error}") from None
    return AdmSettings.of(values)


def _numbers(name: str, value: object) -> tuple[float, ...]:
    parts = value.split(",") if isinstance(value, str) and value else value
    try:
        if not isinstance(parts, list | str):
            raise TypeError
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        raise BackboneError(f'ADM setting `{name}` must be a list of numbers, or "32,16,8", got {value!r}') from None
    return tuple(int(number) if number.is_integer() else number for number in numbers)
