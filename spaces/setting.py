"""A setting, which is one point of a space, and the taps that it reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Self

from spaces.dimensions import Value
from spaces.errors import InvalidSpaceError, shown
from spaces.notebook import MOST_CHARACTERS, brief, html_table


@dataclass(frozen=True, slots=True)
class Tap:
    """A (block, timestep) pair at which a setting reads a map.

    block: 1-based, in execution order. timestep: 0 ≤ timestep < the length of the noise schedule; None for an encoder,
    which adds no noise.
    """

    block: int
    timestep: int | None

    def __str__(self) -> str:
        return f"block {self.block}" if self.timestep is None else f"block {self.block} at t {self.timestep}"


@dataclass(frozen=True, slots=True, repr=False)
class Setting:
    """The place where features are read, and the head that is trained on them.

    timestep, block: the first tap. further: the other taps. Taps are sorted by timestep, then block, whatever order
    they are given in. pool: side of the grid to which the map of every tap is average-pooled.
    head: a key of `HEAD_OPTIONS`. draws: the number of noise draws that are averaged, ≥ 1; or 0 for a clean pass, in
    which a diffusion network reads the image itself at the timestep, without noise.
    options: the head's own choices as sorted (name, value) pairs, e.g. (("width", 256),).

    Raises InvalidSpaceError where two taps are equal, and for 0 draws without a timestep.
    """

    timestep: int | None
    block: int
    pool: int
    head: str
    draws: int = 1
    options: tuple[tuple[str, Value], ...] = ()
    further: tuple[Tap, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted((name, value) for name, value in self.options)))
        if not self.draws and self.timestep is None:
            raise InvalidSpaceError("a setting of an encoder, which has no timestep, has 1 as its draws, got 0")
        if self.further:
            first, *others = taps = sorted((Tap(self.block, self.timestep), *self.further), key=_order)
            if len(set(taps)) < len(taps):
                raise InvalidSpaceError(f"a setting reads a tap once, got {' + '.join(map(str, taps))}")
            for name, value in (("timestep", first.timestep), ("block", first.block), ("further", tuple(others))):
                object.__setattr__(self, name, value)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """All taps, sorted by timestep, then block. Their features are concatenated in this order."""
        return Tap(self.block, self.timestep), *self.further

    @property
    def passes(self) -> dict[int | None, tuple[int, ...]]:
        """Timestep → the blocks that are read at it. Each timestep takes `passes_per_timestep` forward passes."""
        groups = groupby(self.taps, key=lambda tap: tap.timestep)
        return {timestep: tuple(tap.block for tap in taps) for timestep, taps in groups}

    @property
    def passes_per_timestep(self) -> int:
        """The number of forward passes of an image at each timestep: one for each noise draw, or a clean one."""
        return max(self.draws, 1)

    def reading(self, *taps: Tap) -> Self:
        """The same setting with other taps, at least one."""
        first, *others = taps
        return replace(self, block=first.block, timestep=first.timestep, further=tuple(others))

    def to_dict(self) -> dict[str, Any]:
        """The setting as JSON-ready data: block, timestep, further taps, pool, draws, head, options of the head."""
        further = [{"block": tap.block, "timestep": tap.timestep} for tap in self.further]
        return {
            "block": self.block,
            "timestep": self.timestep,
            **({"further": further} if further else {}),
            "pool": self.pool,
            "draws": self.draws,
            "head": self.head,
            **dict(self.options),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises InvalidSpaceError where a field is missing or has the wrong type."""
        if not isinstance(values, Mapping):
            raise InvalidSpaceError(
                f"a setting is made from names and values, as `to_dict` returns, got {shown(values)}"
            )
        rest = dict(values)
        core: dict[str, Any] = {}
        for name, kind in (("timestep", int), ("block", int), ("pool", int), ("head", str), ("draws", int)):
            value = rest.pop(name, 1 if name == "draws" else None)
            clean = name == "timestep" and name in values and value is None
            if not clean and (not isinstance(value, kind) or isinstance(value, bool)):
                raise InvalidSpaceError(f"a setting needs {name} as {kind.__name__}, got {shown(value)}")
            core[name] = value
        others = rest.pop("further", ())
        if not isinstance(others, Sequence) or isinstance(others, str):
            raise InvalidSpaceError(f"a setting needs further as a list of taps, got {shown(others)}")
        further = tuple(map(_tap, others))
        return cls(**core, options=tuple(rest.items()), further=further)

    def __str__(self) -> str:
        words = [f"block {self.block}"]
        if self.further:
            words = [" + ".join(map(str, self.taps))]
        elif self.timestep is not None:
            words.append(f"t {self.timestep}")
        if self.draws != 1:
            words.append(draws_text(self.draws))
        words += [f"pool {self.pool}", self.head]
        return ", ".join(words + [f"{name.replace('_', ' ')} {value}" for name, value in self.options])

    def __repr__(self) -> str:
        """Python that makes the setting; words for one of so many taps that this would be too long."""
        names = ("timestep", "block", "pool", "head", "draws", "options", "further")
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        code = f"Setting({fields})"
        return code if len(code) <= MOST_CHARACTERS else brief(f"Setting({self})")

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        facts = {
            ("Taps" if self.further else "Block"): " + ".join(map(str, self.taps)) if self.further else self.block,
            "Timestep": None if self.further else self.timestep,
            "Noise draws": self.draws if self.draws != 1 else None,
            "Pool": f"{self.pool} × {self.pool}",
            "Head": self.head,
            **{name.replace("_", " ").capitalize(): value for name, value in self.options},
        }
        return html_table("Setting", facts)

    def to_json(self) -> str:
        return json.dumps(self.to_dict())


def draws_text(draws: int) -> str:
    """Return a number of noise draws in words: "4 draws"; "no noise" for a clean pass, whose number is 0."""
    return f"{draws} draw{'' if draws == 1 else 's'}" if draws else "no noise"


def _order(tap: Tap) -> tuple[int, int]:
    return -1 if tap.timestep is None else tap.timestep, tap.block


def _tap(values: Any) -> Tap:
    try:
        block, timestep = values["block"], values["timestep"]
    except (KeyError, TypeError):
        raise InvalidSpaceError(
            f"a further tap needs a block and a timestep, such as {{'block': 13, 'timestep': 50}}, got {shown(values)}"
        ) from None
    for value in (block, 0 if timestep is None else timestep):
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidSpaceError(f"a further tap needs whole numbers as block and timestep, got {shown(values)}")
    return Tap(block, timestep)
