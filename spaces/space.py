"""A space: all settings that a search may try on one architecture. It can be counted, listed, sampled and tested."""

import hashlib
import json
import math
import random
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any, Self

from spaces.blocks import Architecture
from spaces.dimensions import HEAD_OPTIONS, RECIPES, Choice
from spaces.errors import InvalidSpaceError, UsageError, shown
from spaces.files import read_small
from spaces.lookup import check_name
from spaces.notebook import brief, html_table, ranges
from spaces.setting import Setting, Tap
from spaces.text import decoded

NARROWABLE = ("timesteps", "blocks", "pools", "heads", "draws", "taps")
MOST_TAPS = 8
MOST_VALUES = 100_000
"""The most values of one dimension that are given."""

MOST_FILE_BYTES = 2**20
"""The most bytes of a file that narrows a space."""

MOST_POINTS = 1000
"""The most points in a line of such a file. tomllib takes minutes for a name such as a.a.a… of many parts."""

MOST_SETTINGS = 2**63 - 1
"""The largest number that `len` and the study database take."""


@dataclass(frozen=True, repr=False)
class Space:
    """The product of its dimensions, without the combinations that cannot exist.

    A pool size must divide the side of the block's map, and a setting has only the options of its head. An encoder has
    the single timestep None and a single draw. draws: the numbers of noise draws that a setting may average; 0 is a
    clean pass, as in `Setting`. taps: how many (block, timestep) pairs a setting may read; the maps of all of them are
    pooled to the same size.

    Raises InvalidSpaceError where a dimension is empty, repeats a value or holds one that the architecture cannot give.
    """

    architecture: Architecture
    timesteps: tuple[int | None, ...]
    blocks: tuple[int, ...]
    pools: tuple[int, ...]
    heads: tuple[str, ...]
    draws: tuple[int, ...] = (1,)
    taps: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name in NARROWABLE:
            values = getattr(self, name)
            if not values:
                raise InvalidSpaceError(f"{name} needs at least one value, got none")
            if len(set(values)) != len(values):
                twice = next(value for value, count in Counter(values).items() if count > 1)
                raise InvalidSpaceError(f"{name} holds {shown(twice)} more than once")
        for head in self.heads:
            check_name("head", head, HEAD_OPTIONS)
        architecture = self.architecture
        self._check("block", self.blocks, 1, len(architecture.blocks))
        if architecture.noised:
            self._check("timestep", self.timesteps, 0, len(architecture.alphas_cumprod) - 1)
            self._check("number of draws", self.draws, 0, 64)
        elif self.timesteps != (None,) or self.draws != (1,):
            raise InvalidSpaceError(
                f"backbone {architecture.name} adds no noise: it has no timesteps and no draws to choose from; "
                "leave both out"
            )
        self._check_pools()
        pairs = max(len(self._fitting(pool)) for pool in self.pools) * len(self.timesteps)
        for count in self.taps:
            if not 1 <= count <= min(pairs, MOST_TAPS):
                raise InvalidSpaceError(
                    f"a setting cannot read {shown(count)} taps here; valid: 1 to {min(pairs, MOST_TAPS)}"
                    f" (pairs of block and timestep of one pool size in the space: {pairs})"
                )

        if self._size > MOST_SETTINGS:
            raise InvalidSpaceError(
                f"the space has about {self._size:.1e} settings, and at most {MOST_SETTINGS:.1e} can be counted; "
                "give fewer taps or timesteps"
            )

    def _check_pools(self) -> None:
        architecture = self.architecture
        for pool in self.pools:
            if not self._fitting(pool):
                valid = sorted({p for b in self.blocks for p in architecture.block(b).pools})
                raise InvalidSpaceError(
                    f"pool {shown(pool)} fits no map of the chosen blocks (it must divide the map's side); "
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
                raise InvalidSpaceError(
                    f"{what} {shown(value)} does not exist for backbone {name}; valid: {low} to {high}"
                )

    def pools_at(self, block: int) -> tuple[int, ...]:
        """The pool sizes of the space that divide the side of the block's map."""
        return tuple(p for p in self.pools if p in self.architecture.block(block).pools)

    def _fitting(self, pool: int) -> tuple[int, ...]:
        """The blocks of the space whose maps have a side that the pool size divides."""
        return tuple(b for b in self.blocks if pool in self.architecture.block(b).pools)

    def grid_at(self, block: int) -> int:
        """The side of the finest grid from which every pool size of the block follows by exact averaging."""
        return math.lcm(*self.pools_at(block))

    @property
    def grids(self) -> dict[int, int]:
        """Block → `grid_at`: everything that a forward pass should keep."""
        return {block: self.grid_at(block) for block in self.blocks}

    @property
    def forward_passes(self) -> dict[tuple[int | None, bool], int]:
        """(timestep, whether clean) → the most forward passes of an image there that a setting reads.

        A clean pass reads the image without noise. Settings of several numbers of draws share their draws.
        """
        noised = [(False, max(self.draws))] if any(self.draws) else []
        clean = [(True, 1)] if 0 in self.draws else []
        return {(timestep, kind): count for timestep in self.timesteps for kind, count in (*noised, *clean)}

    @property
    def dimensions(self) -> tuple[Choice, ...]:
        """All dimensions. The options of a head carry its name, the dimensions of further taps their number."""
        core = (
            Choice("timestep", self.timesteps),
            Choice("block", self.blocks),
            Choice("pool", self.pools),
            Choice("draws", self.draws),
            Choice("head", self.heads),
        )
        several = [Choice("taps", self.taps)] if self.taps != (1,) else []
        for number in range(2, max(self.taps) + 1):
            several.append(Choice(f"block {number}", self.blocks, taps=number))
            several.append(Choice(f"timestep {number}", self.timesteps, taps=number))
        return *core, *several, *(choice for head in self.heads for choice in HEAD_OPTIONS[head])

    def settings(self) -> Iterator[Setting]:
        """All settings: by number of taps, then by timestep, since each timestep costs a forward pass."""
        pairs = [Tap(block, timestep) for timestep, block in product(self.timesteps, self.blocks)]
        for count in sorted(self.taps):
            for draws, (first, *further) in product(self.draws, combinations(pairs, count)):
                pools = [p for p in self.pools_at(first.block) if all(p in self.pools_at(t.block) for t in further)]
                for pool, (head, options) in product(pools, self._fits):
                    yield Setting(first.timestep, first.block, pool, head, draws, options, tuple(further))

    @property
    def _fits(self) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
        """Every head with every combination of its options."""
        fits: list[tuple[str, tuple[tuple[str, Any], ...]]] = []
        for head in self.heads:
            names = [choice.name for choice in HEAD_OPTIONS[head]]
            for values in product(*(choice.values for choice in HEAD_OPTIONS[head])):
                fits.append((head, tuple(zip(names, values, strict=True))))
        return tuple(fits)

    @property
    def _ways(self) -> dict[tuple[int, int], int]:
        """(number of taps, pool size) → the number of ways to choose the taps."""
        pairs = {pool: len(self._fitting(pool)) * len(self.timesteps) for pool in self.pools}
        return {(count, pool): math.comb(pairs[pool], count) for count, pool in product(self.taps, self.pools)}

    @property
    def _size(self) -> int:
        """The number of settings, however large."""
        return len(self.draws) * sum(self._ways.values()) * len(self._fits)

    def __repr__(self) -> str:
        facts = self._facts()
        return brief(f"Space({', '.join(f'{name.lower()} {value}' for name, value in facts.items() if value)})")

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        return html_table("Space", self._facts())

    def _facts(self) -> dict[str, str | None]:
        return {
            "Network": self.architecture.name,
            "Settings": f"{len(self):,}",
            "Blocks": ranges(self.blocks),
            "Timesteps": ranges(self.timesteps),
            "Pools": ranges(self.pools),
            "Heads": ", ".join(self.heads),
            "Draws": ranges(self.draws) if self.draws != (1,) else None,
            "Taps": ranges(self.taps) if self.taps != (1,) else None,
        }

    def __len__(self) -> int:
        return self._size

    def sample(self, generator: random.Random) -> Setting:
        """A random setting; all are equally likely."""
        ways = self._ways
        count, pool = generator.choices(list(ways), weights=list(ways.values()))[0]
        blocks = self._fitting(pool)
        first, *further = (
            Tap(blocks[index % len(blocks)], self.timesteps[index // len(blocks)])
            for index in generator.sample(range(len(blocks) * len(self.timesteps)), count)
        )
        head, options = generator.choice(self._fits)
        draws = generator.choice(self.draws)
        return Setting(first.timestep, first.block, pool, head, draws, options, tuple(further))

    def __contains__(self, setting: object) -> bool:
        return isinstance(setting, Setting) and self.why_not(setting) is None

    def why_not(self, setting: Setting) -> str | None:
        """Say why a setting is not in the space, in words; None if it is."""
        checks = (
            *(("timestep", tap.timestep, self.timesteps) for tap in setting.taps),
            *(("block", tap.block, self.blocks) for tap in setting.taps),
            ("number of taps", len(setting.taps), self.taps),
            ("draws", setting.draws, self.draws),
            ("head", setting.head, self.heads),
        )
        for name, value, valid in checks:
            if value not in valid:
                return f"{name} {value} is not in the space; valid: {', '.join(map(str, valid))}"
        for tap in setting.taps:
            if setting.pool not in self.pools_at(tap.block):
                valid_pools = ", ".join(map(str, self.pools_at(tap.block)))
                return f"pool {setting.pool} is not in the space at block {tap.block}; valid: {valid_pools}"
        choices = {choice.name: choice.values for choice in HEAD_OPTIONS[setting.head]}
        options = dict(setting.options)
        if options.keys() != choices.keys():
            return f"head {setting.head} takes the options {sorted(choices)}, got {sorted(options)}"
        for name, chosen in options.items():
            if chosen not in choices[name]:
                return f"{name} {chosen} is not in the space; valid: {', '.join(map(str, choices[name]))}"
        return None

    def narrow(self, **dimensions: Sequence[Any] | None) -> Self:
        """The same space with some dimensions replaced; a dimension that is None stays as it is.

        Where blocks are given and pools are not, the pool sizes that fit none of the blocks are dropped, and the other
        way round. Raises UnknownNameError for another dimension, InvalidSpaceError for a wrong value.
        """
        for name, values in dimensions.items():
            if values is not None and (not isinstance(values, Iterable) or isinstance(values, str)):
                raise InvalidSpaceError(f"{name} takes a list of values, got {shown(values)}")
        given: dict[str, Any] = {
            name: _limited(name, values) for name, values in dimensions.items() if values is not None
        }
        for name, values in given.items():
            check_name("dimension", name, NARROWABLE)
            wanted: type = str if name == "heads" else int
            for value in values:
                if not isinstance(value, wanted) or isinstance(value, bool):
                    kind = "names" if wanted is str else "whole numbers"
                    raise InvalidSpaceError(f"{name} takes {kind}, got {shown(value)}")
        table = self.architecture.blocks
        if "blocks" in given and "pools" not in given:
            possible = {p for b in given["blocks"] if 1 <= b <= len(table) for p in table[b - 1].pools}
            given["pools"] = tuple(p for p in self.pools if p in possible) or (1,)
        elif "pools" in given and "blocks" not in given:
            fitting = tuple(b for b in self.blocks if set(table[b - 1].pools) & set(given["pools"]))
            given["blocks"] = fitting or self.blocks
        return replace(self, **given)

    def narrow_from_file(self, path: Path) -> Self:
        """Narrow the space by a TOML file such as `blocks = [13, 16]`.

        Raises InvalidSpaceError, which names the file, where it cannot be read or `narrow` refuses what it says.
        """
        values = read_space_file(path)
        try:
            return self.narrow(**values)
        except UsageError as error:
            raise InvalidSpaceError(f"space file {path}: {error}") from None

    def to_dict(self) -> dict[str, list[Any]]:
        """The dimensions as JSON-ready data; without the architecture, which the backbone describes."""
        dimensions = {name: list(getattr(self, name)) for name in NARROWABLE}
        if self.taps == (1,):  # the form, and so the digest, that a space had before a setting could read several taps
            del dimensions["taps"]
        return dimensions

    @classmethod
    def from_dict(cls, architecture: Architecture, values: Mapping[str, Sequence[Any]]) -> Self:
        return cls(architecture, **{name: tuple(values[name]) for name in NARROWABLE if name in values})

    def to_toml(self) -> str:
        """The text of a file from which `narrow_from_file` makes this space."""
        chosen = {name: values for name, values in self.to_dict().items() if values != [None]}
        return "".join(f"{name} = {json.dumps(values)}\n" for name, values in chosen.items())

    def digest(self) -> str:
        """A sha256, in hex, of the set of settings, the versions of the heads and the name of the architecture."""
        options = {head: [(c.name, c.values) for c in HEAD_OPTIONS[head]] for head in self.heads}
        recipes = {head: RECIPES[head] for head in self.heads if head in RECIPES}
        content = json.dumps([self.architecture.name, self.to_dict(), options, *([recipes] if recipes else [])])
        return hashlib.sha256(content.encode()).hexdigest()


def read_space_file(path: Path) -> dict[str, list[Any]]:
    """Read the dimensions of a TOML file that narrows a space. Their values are not checked.

    Raises InvalidSpaceError, which names the file, where it cannot be read, or names another dimension.
    """
    try:
        text = re.sub("\r\n?", "\n", decoded(read_small(path, MOST_FILE_BYTES)))
        if any(line.count(".") > MOST_POINTS for line in text.splitlines()):
            raise RecursionError
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise InvalidSpaceError(f"there is no space file {path}") from None
    except OSError as error:
        raise InvalidSpaceError(f"space file {path} cannot be read: {error.strerror}; give a TOML file") from None
    except RecursionError:
        raise InvalidSpaceError(f"space file {path} nests too deeply; write lines such as blocks = [13, 16]") from None
    except ValueError as error:  # also of integers with thousands of digits
        raise InvalidSpaceError(
            f"space file {path} is not TOML: {error}; write lines such as blocks = [13, 16]"
        ) from None
    try:
        for name, value in values.items():
            check_name("dimension", name, NARROWABLE)
            if not isinstance(value, list):
                raise InvalidSpaceError(f"{name} must be a list such as [1, 2], got {shown(value)}")
    except UsageError as error:
        raise InvalidSpaceError(f"space file {path}: {error}") from None
    return values


def _limited(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Return values as a tuple. Raises InvalidSpaceError for more than `MOST_VALUES`, before they fill the memory."""
    given = tuple(islice(values, MOST_VALUES + 1))
    if len(given) > MOST_VALUES:
        raise InvalidSpaceError(f"{name} takes at most {MOST_VALUES:,} values, got more")
    return given
