"""Describes backbones without loading their weights, and remembers descriptions in the cache folder.

    CACHE/descriptions/<digest>.json    the block table and the noise schedule of one network
    CACHE/descriptions/weights.json     sha256 of files of weights, by path, size, time of change and inode

Each file has a digest of its content, so that damage leads to no wrong block table and to no wrong weights.

<digest> covers everything that a description depends on: the network's name, every JSON file of its folder, the
versions of the libraries that build it, and the code of this package. A process that finds a description there needs
neither torch nor diffusers. Nothing is kept until there is a cache folder.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, final

import spaces.blocks
from objectives.atomic_write import replacing
from objectives.backbones.files import backbone_digest
from objectives.backbones.folders.configuration import unreadable
from objectives.backbones.pipeline.schedule import Schedule
from objectives.backbones.reading import Reading
from objectives.downloads import sha256
from spaces import Architecture, Block
from spaces.files import check_ends

LIBRARIES = ("torch", "diffusers", "transformers")
SETTLED_SECONDS = 2.0
"""Digests of files that changed more recently are not kept: a next change might leave the time of change as it is."""


@final
@dataclass(frozen=True)
class Description:
    """The properties of a backbone that are known without its weights.

    folders: the folders with the weights and configurations on which the features depend. changes: as of `Network`.
    """

    architecture: Architecture
    folders: tuple[Path, ...]
    changes: tuple[str, ...] = ()

    def digest(self, precision: str, file_digest: Callable[[Path], str] = sha256) -> str:
        """Return the digest of the loaded backbone. file_digest: returns the sha256 hex of one file."""
        architecture = self.architecture
        schedule = None
        if architecture.noised:
            schedule = Schedule(architecture.alphas_cumprod, str(architecture.prediction))
        return backbone_digest(self.folders, precision, schedule, self.changes, file_digest)

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """Return the description for JSON, with folders relative to the network's folder."""
        return {
            "architecture": asdict(self.architecture),
            "folders": [part.relative_to(folder).as_posix() for part in self.folders],
            "changes": self.changes,
        }

    @classmethod
    def from_dict(cls, values: Any, folder: Path) -> Self:
        """Invert `to_dict`. Raises AttributeError, KeyError, TypeError or ValueError for other values."""
        fields = dict(values["architecture"])
        blocks = tuple(Block(**block) for block in fields.pop("blocks"))
        alphas = tuple(float(alpha) for alpha in fields.pop("alphas_cumprod"))
        architecture = Architecture(**fields, blocks=blocks, alphas_cumprod=alphas)
        return cls(architecture, tuple(folder / name for name in values["folders"]), tuple(values["changes"]))


@final
@dataclass
class FileDigests:
    """Digests of files, kept in the JSON file `memory`.

    A digest is valid while the file's size, time of change and inode stay the same. The time of change is the system's
    own (ctime): copying a file can keep its time of modification, but not this one.
    """

    memory: Path
    _entries: dict[str, list[int | str]] = field(init=False)

    def __post_init__(self) -> None:
        entries = _read_json(self.memory)
        self._entries = entries if isinstance(entries, dict) else {}

    def sha256(self, path: Path) -> str:
        """Return the sha256 hex of a file's bytes."""
        stat = path.stat()  # first: it raises OSError for a link to itself
        name = str(path.resolve())
        state = [stat.st_size, stat.st_ctime_ns, stat.st_ino]
        entry = self._entries.get(name)
        if isinstance(entry, list) and entry[:-1] == state:
            return str(entry[-1])
        digest = sha256(path)
        if time.time() - stat.st_ctime > SETTLED_SECONDS:
            self._entries[name] = [*state, digest]
            _write_json(self.memory, self._entries)
        return digest


@final
@dataclass(frozen=True)
class Descriptions:
    """The descriptions kept in the folder `memory`."""

    memory: Path

    def described(self, name: str, folder: Path, reading: Reading, describe: Callable[[], Description]) -> Description:
        """Return the stored description of the network in a folder; if there is none, call `describe` and store it."""
        path = self.memory / f"{_configuration_digest(name, folder, reading)}.json"
        try:
            return Description.from_dict(_read_json(path), folder)
        except (AttributeError, KeyError, TypeError, ValueError):  # no description, or a damaged one
            description = describe()
            _write_json(path, description.to_dict(folder))
            return description

    @property
    def weights(self) -> FileDigests:
        return FileDigests(self.memory / "weights.json")


def _configuration_digest(name: str, folder: Path, reading: Reading) -> str:
    """Return the sha256 hex of everything on which the description of the network in a folder depends.

    Raises BackboneError, which names the file, if one cannot be read.
    """
    file, configuration = folder, []
    try:
        for file in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
            configuration.append(f"{os.fsencode(file.relative_to(folder))!r} {sha256(file)}")
    except OSError as error:
        raise unreadable(file, error) from None
    return _digest(
        [name, repr((reading.image_side, reading.text, reading.taps_inside)), *configuration, *_versions(), _code()]
    )


@cache
def _versions() -> Sequence[str]:
    return [f"{library} {version(library)}" for library in LIBRARIES]


@cache
def _code() -> str:
    """Return the sha256 hex of the source files that make descriptions; after a change, descriptions are made again."""
    return _digest(
        [sha256(file) for file in [*sorted(Path(__file__).parent.rglob("*.py")), Path(spaces.blocks.__file__)]]
    )


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def _read_json(path: Path) -> Any:
    """Return the JSON value in a file; None if there is no such file, or if it is not as `_write_json` wrote it."""
    try:
        check_ends(path)
        values = json.loads(path.read_text(encoding="utf-8"))
        whole = values["digest"] == _digest([json.dumps(values["content"])])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return values["content"] if whole else None


def _write_json(path: Path, value: Any) -> None:
    """Write a value and its digest to a JSON file, which appears only when it is complete.

    Do nothing if the folder cannot be written, or if there is no cache folder yet: a refused search leaves no trace.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as part:
            digest = _digest([json.dumps(value)])
            part.write_text(json.dumps({"digest": digest, "content": value}), encoding="utf-8")
