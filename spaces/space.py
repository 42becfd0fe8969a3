"""A space: every setting that may be tried on one architecture. It can be counted, enumerated and asked."""

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Self

from spaces.blocks import Architecture
from spaces.dimensions import HEAD_OPTIONS, Choice
from spaces.errors import InvalidSpaceError, UnknownNameError
from spaces.setting import Setting

NARROWABLE = ("timesteps", "blocks", "pools", "heads", "draws")


@dataclass(frozen=True)
class Space:
    """The product of its dimensions, less what cannot be: a pool must divide the block's map, options follow the head.

    An encoder's only timestep is None, and one draw is all there is to average.

    Raises InvalidSpaceError where a dimension is empty, repeats a value or holds one that the architecture cannot give.
    """

    architecture: Architecture
    timesteps: tuple[int | None, ...]
    blocks: tuple[int, ...]
    pools: tuple[int, ...]
    heads: tuple[str, ...]
    draws: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name in NARROWABLE:
            values = getattr(self, name)
            if not values:
                raise InvalidSpaceError(f"{name} needs at least one value, got none")
            if len(set(values)) != len(values):
                raise InvalidSpaceError(f"{name} holds a value twice: {', '.join(map(str, values))}")
        for head in self.heads:
            if head not in HEAD_OPTIONS:
                raise UnknownNameError("head", head, HEAD_OPTIONS)
        architecture = self.architecture
        self._check("block", self.blocks, 1, len(architecture.blocks))
        if architecture.noised:
            self._check("timestep", self.timesteps, 0, len(architecture.alphas_cumprod) - 1)
            self._check("number of draws", self.draws, 1, 64)
        elif self.timesteps != (None,) or self.draws != (1,):
            raise InvalidSpaceError(
                f"backbone {architecture.name} adds no noise: it has no timesteps and no draws to choose from; "
                "leave both out"
            )
        for pool in self.pools:
            if not any(pool in architecture.block(b).pools for b in self.blocks):
                valid = sorted({p for b in self.blocks for p in architecture.block(b).pools})
                raise InvalidSpaceError(
                    f"pool {pool} fits no map of the chosen blocks (it must divide the map's side); "
                    f"valid: {', '.join(map(str, valid))}"
                )
        for number in self.blocks:
            if not self.pools_at(number):
                block = architecture.block(number)
                raise InvalidSpaceError(
                    f"no chosen pool divides the {block.side}x{block.side} map of block {number}; "
                    f"valid for it: {', '.join(map(str, block.pools))}"
                )

    def _check(self, what: str, values: Sequence[int | None], low: int, high: int) -> None:
        for value in values:
            if value is None or not low <= value <= high:
                name = self.architecture.name
                raise InvalidSpaceError(f"{what} {value} does not exist for backbone {name}; valid: {low} to {high}")

    def pools_at(self, block: int) -> tuple[int, ...]:
        """The space's pools that the block's map can give."""
        return tuple(p for p in self.pools if p in self.architecture.block(block).pools)

    def grid_at(self, block: int) -> int:
        """Side of the finest grid from which every pool of the block follows by exact averaging."""
        return math.lcm(*self.pools_at(block))

    @property
    def grids(self) -> dict[int, int]:
        """Block → `grid_at`: everything that one pass should keep."""
        return {block: self.grid_at(block) for block in self.blocks}

    @property
    def dimensions(self) -> tuple[Choice, ...]:
        """Every dimension as a flat list; those of one head carry its name."""
        core = (
            Choice("timestep", self.timesteps),
            Choice("block", self.blocks),
            Choice("pool", self.pools),
            Choice("draws", self.draws),
            Choice("head", self.heads),
        )
        return core + tuple(choice for head in self.heads for choice in HEAD_OPTIONS[head])

    def settings(self) -> Iterator[Setting]:
        """All settings; timesteps outermost, since each costs a pass and all else is nearly free."""
        for draws, timestep, block in product(self.draws, self.timesteps, self.blocks):
            for pool, head in product(self.pools_at(block), self.heads):
                names = [choice.name for choice in HEAD_OPTIONS[head]]
                for values in product(*(choice.values for choice in HEAD_OPTIONS[head])):
                    options = tuple(zip(names, values, strict=True))
                    yield Setting(timestep, block, pool, head, draws, options)

    def __len__(self) -> int:
        per_pool = sum(math.prod(len(choice.values) for choice in HEAD_OPTIONS[head]) for head in self.heads)
        pools = sum(len(self.pools_at(block)) for block in self.blocks)
        return len(self.draws) * len(self.timesteps) * pools * per_pool

    def __contains__(self, setting: object) -> bool:
        return isinstance(setting, Setting) and self.why_not(setting) is None

    def why_not(self, setting: Setting) -> str | None:
        """What keeps a setting out of the space, in words; None where it belongs."""
        checks = (
            ("timestep", setting.timestep, self.timesteps),
            ("block", setting.block, self.blocks),
            ("draws", setting.draws, self.draws),
            ("head", setting.head, self.heads),
        )
        for name, value, valid in checks:
            if value not in valid:
                return f"{name} {value} is not in the space; valid: {', '.join(map(str, valid))}"
        if setting.pool not in self.pools_at(setting.block):
            valid_pools = ", ".join(map(str, self.pools_at(setting.block)))
            return f"pool {setting.pool} is not in the space at block {setting.block}; valid: {valid_pools}"
        choices = {choice.name: choice.values for choice in HEAD_OPTIONS[setting.head]}
        options = dict(setting.options)
        if options.keys() != choices.keys():
            return f"head {setting.head} takes the options {sorted(choices)}, got {sorted(options)}"
        for name, chosen in options.items():
            if chosen not in choices[name]:
                return f"{name} {chosen} is not in the space; valid: {', '.join(map(str, choices[name]))}"
        return None

    def narrow(self, **dimensions: Sequence[Any] | None) -> Self:
        """The same space with some dimensions replaced; None leaves one as it is.

        Pools that fit none of the newly chosen blocks fall away unless pools were named, and the other way round.
        """
        given: dict[str, Any] = {name: tuple(values) for name, values in dimensions.items() if values is not None}
        for name, values in given.items():
            if name not in NARROWABLE:
                raise UnknownNameError("dimension", name, NARROWABLE)
            wanted: type = str if name == "heads" else int
            for value in values:
                if not isinstance(value, wanted) or isinstance(value, bool):
                    raise InvalidSpaceError(f"{name} takes {wanted.__name__} values, got {value!r}")
        table = self.architecture.blocks
        if "blocks" in given and "pools" not in given:
            possible = {p for b in given["blocks"] if 1 <= b <= len(table) for p in table[b - 1].pools}
            given["pools"] = tuple(p for p in self.pools if p in possible) or (1,)
        elif "pools" in given and "blocks" not in given:
            fitting = tuple(b for b in self.blocks if set(table[b - 1].pools) & set(given["pools"]))
            given["blocks"] = fitting or self.blocks
        return replace(self, **given)

    def narrow_from_file(self, path: Path) -> Self:
        """Narrow by a TOML file such as `blocks = [13, 16]`. Raises InvalidSpaceError for what it cannot read."""
        try:
            values = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise InvalidSpaceError(f"there is no space file {path}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidSpaceError(f"space file {path} is not TOML: {error}") from None
        for name, value in values.items():
            if not isinstance(value, list):
                raise InvalidSpaceError(f"{name} in {path} must be a list such as [1, 2], got {value!r}")
        return self.narrow(**values)

    def to_dict(self) -> dict[str, list[Any]]:
        """The dimensions, JSON-ready; the architecture is the backbone's to tell."""
        return {name: list(getattr(self, name)) for name in NARROWABLE}

    @classmethod
    def from_dict(cls, architecture: Architecture, values: Mapping[str, Sequence[Any]]) -> Self:
        return cls(architecture, **{name: tuple(values[name]) for name in NARROWABLE})

    def to_toml(self) -> str:
        """A file that `narrow_from_file` reads back to this space."""
        chosen = {name: values for name, values in self.to_dict().items() if values != [None]}
        return "".join(f"{name} = {json.dumps(values)}\n" for name, values in chosen.items())

    def digest(self) -> str:
        """Changes whenever the set of settings or the architecture's name does; 64 hex digits."""
        options = {head: [(c.name, c.values) for c in HEAD_OPTIONS[head]] for head in self.heads}
        content = json.dumps([self.architecture.name, self.to_dict(), options])
        return hashlib.sha256(content.encode()).hexdigest()
