"""Describes backbones without loading their weights, and remembers descriptions in the cache folder.

    CACHE/descriptions/<digest>.json    the block table and the noise schedule of one network
    CACHE/descriptions/weights.json     sha256 of files of weights, by path, size, time of change and inode

<digest> is that of everything a description follows from: the network's name, every JSON file of its folder, the
versions of the libraries that build it, and the code of this room. With a remembered description a process needs
neither torch nor diffusers to describe a backbone.
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
from objectives.backbones.files import backbone_digest
from objectives.backbones.schedule import Schedule
from objectives.downloads import sha256
from spaces import Architecture, Block

LIBRARIES = ("torch", "diffusers", "transformers")
SETTLED_SECONDS = 2.0
"""The digest of a file that changed more recently is not remembered: its next change may leave its time as it is."""


@final
@dataclass(frozen=True)
class Description:
    """architecture: the network's. folders: those whose weights and configurations its features depend on."""

    architecture: Architecture
    folders: tuple[Path, ...]

    def digest(self, precision: str, digest: Callable[[Path], str] = sha256) -> str:
        """The backbone's digest, as a loaded network has it. digest: gives the sha256 of one file."""
        architecture = self.architecture
        schedule = None
        if architecture.noised:
            schedule = Schedule(architecture.alphas_cumprod, str(architecture.prediction))
        return backbone_digest(self.folders, precision, schedule, digest)

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """JSON-ready; folders relative to the network's own."""
        return {
            "architecture": asdict(self.architecture),
            "folders": [part.relative_to(folder).as_posix() for part in self.folders],
        }

    @classmethod
    def from_dict(cls, values: Any, folder: Path) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for anything else."""
        fields = dict(values["architecture"])
        blocks = tuple(Block(**block) for block in fields.pop("blocks"))
        alphas = tuple(float(alpha) for alpha in fields.pop("alphas_cumprod"))
        architecture = Architecture(**fields, blocks=blocks, alphas_cumprod=alphas)
        return cls(architecture, tuple(folder / name for name in values["folders"]))


@final
@dataclass
class FileDigests:
    """Digests of files, remembered in the JSON file `memory` while a file's size and time of change stay the same."""

    memory: Path
    _entries: dict[str, list[int | str]] = field(init=False)

    def __post_init__(self) -> None:
        entries = _read_json(self.memory)
        self._entries = entries if isinstance(entries, dict) else {}

    def sha256(self, path: Path) -> str:
        """sha256 hex of a file's bytes."""
        name, stat = str(path.resolve()), path.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        entry = self._entries.get(name)
        if isinstance(entry, list) and entry[:-1] == state:
            return str(entry[-1])
        digest = sha256(path)
        if time.time() - stat.st_mtime > SETTLED_SECONDS:
            self._entries[name] = [*state, digest]
            _write_json(self.memory, self._entries)
        return digest


@final
@dataclass(frozen=True)
class Descriptions:
    """The descriptions remembered in a folder."""

    memory: Path

    def described(self, name: str, folder: Path, describe: Callable[[], Description]) -> Description:
        """The description of the network in a folder: the remembered one, else what `describe` returns."""
        path = self.memory / f"{_configuration_digest(name, folder)}.json"
        try:
            return Description.from_dict(_read_json(path), folder)
        except (AttributeError, KeyError, TypeError, ValueError):  # there is none, or it is damaged
            description = describe()
            _write_json(path, description.to_dict(folder))
            return description

    @property
    def weights(self) -> FileDigests:
        return FileDigests(self.memory / "weights.json")


def _configuration_digest(name: str, folder: Path) -> str:
    """sha256 hex of all that the description of the network in a folder follows from."""
    files = sorted([*folder.glob("*.json"), *folder.glob("*/*.json")])
    configuration = [f"{file.relative_to(folder).as_posix()} {sha256(file)}" for file in files]
    return _digest([name, *configuration, *_versions(), _code()])


@cache
def _versions() -> Sequence[str]:
    return [f"{library} {version(library)}" for library in LIBRARIES]


@cache
def _code() -> str:
    """sha256 hex of the source files that make descriptions, so that a change in them makes descriptions again."""
    return _digest(
        [sha256(file) for file in [*sorted(Path(__file__).parent.glob("*.py")), Path(spaces.blocks.__file__)]]
    )


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _read_json(path: Path) -> Any:
    """The JSON value in a file; None where there is no such file or it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _write_json(path: Path, value: Any) -> None:
    """Write a JSON file at once and whole. Where the folder cannot be written nothing is remembered."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(value))
        part.replace(path)
