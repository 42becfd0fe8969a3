"""Reads JSON files in a network's folder, and checks the numbers in them before anything is built."""

import json
import os
from pathlib import Path
from typing import Any

from spaces import BackboneError
from spaces.files import read_small

MOST_BYTES = 2**26
"""The most bytes of a JSON file. An index of shards has some megabytes."""

LARGEST = 2**31 - 1
"""The largest number in a network's configuration."""

MOST_LAYERS = 1000
"""The most layers of a level or of a network. Published networks have fewer than 100."""

LAYER_COUNTS = (
    "layers_per_block",
    "transformer_layers_per_block",
    "reverse_transformer_layers_per_block",
    "num_layers",
    "num_hidden_layers",
    "depths",
)
"""Entries of configurations that say how many layers are built."""

LARGEST_SIDE = 4096
"""The largest side of an image, in pixels."""


def is_there(path: Path) -> bool:
    """Return whether a path exists. A link to a file that does not exist counts, so that reading it is refused."""
    return os.path.lexists(path)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a UTF-8 file. Raises BackboneError, which names the file, for anything else."""
    try:
        text = read_small(path, MOST_BYTES).decode()
        if text.startswith("\ufeff"):
            raise BackboneError(f"{path} begins with a byte-order mark; save it as UTF-8 without one")
        values = json.loads(text)
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise BackboneError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8, or fetch it again") from None
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"{path} is not JSON: {error}; fetch it again") from None
    if not isinstance(values, dict):
        raise BackboneError(f"{path} must hold a JSON object, {{…}}, got {_kind(values)}; fetch it again")
    return values


def read_configuration(path: Path) -> dict[str, Any]:
    """Read the configuration of a network. Raises BackboneError as `read_object` does, and for numbers out of range."""
    config = read_object(path)
    if config.get("quantization_config"):
        raise BackboneError(f"{path} is of quantised weights (quantization_config); only floating-point ones are known")
    pending: list[tuple[str, Any]] = list(config.items())
    while pending:
        entry, value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.items())
        elif isinstance(value, list):
            pending.extend((entry, item) for item in value)
        elif isinstance(value, int | float):
            if not abs(value) <= LARGEST:  # so that NaN is refused too
                raise BackboneError(f"`{entry}` in {path} must be at most {LARGEST:,}, got {_short(value)}")
            if entry in LAYER_COUNTS and value > MOST_LAYERS:
                raise BackboneError(f"`{entry}` in {path} must be at most {MOST_LAYERS:,} layers, got {_short(value)}")
            if entry in ("layers_per_block", "num_layers", "num_hidden_layers") and value < 1:
                raise BackboneError(f"`{entry}` in {path} must be at least 1, got {_short(value)}")
    layers = _unet_layers(config)
    if layers > MOST_LAYERS:
        raise BackboneError(
            f"`layers_per_block` in {path} must give at most {MOST_LAYERS:,} layers in all levels together, got about "
            f"{layers:,}"
        )
    return config


def _unet_layers(config: dict[str, Any]) -> int:
    """Count the layers of a U-Net or an autoencoder, on the way down and up; 0 where the entries do not say it."""
    levels, layers = config.get("down_block_types"), config.get("layers_per_block")
    if not isinstance(levels, list):
        return 0
    if isinstance(layers, list):
        return 2 * sum(count for count in layers if isinstance(count, int)) + len(layers)
    return (2 * layers + 1) * len(levels) if isinstance(layers, int) else 0


def unreadable(path: Path, error: OSError) -> BackboneError:
    """Return the error for a file that the system cannot read."""
    if path.is_symlink() and not path.exists():
        return BackboneError(f"{path} is a link to a file that does not exist; restore that file, or remove the link")
    return BackboneError(f"{path} cannot be read: {error.strerror or error}; it must be a file that can be read")


def square_side(value: object) -> int | None:
    """Return the side of a square, from a whole number or from two equal ones; None for anything else."""
    if isinstance(value, list | tuple) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    return value if type(value) is int and value > 0 else None


def check_image_side(name: str, side: int) -> None:
    """Raises BackboneError for an image side that no network has."""
    if side > LARGEST_SIDE:
        raise BackboneError(
            f"backbone {name} must read images of at most {LARGEST_SIDE:,} pixels a side, got {_short(side)}"
        )


def _kind(value: object) -> str:
    kinds = {type(None): "null", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "a number")


def _short(value: float) -> str:
    if isinstance(value, int) and abs(value) >= 10**15:
        return f"a number of {len(str(abs(value)))} digits"
    return f"{value:,}"
