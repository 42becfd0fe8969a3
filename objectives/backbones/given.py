"""Writes a network that a caller hands over as an object to a folder, where workers and later commands find it."""

import hashlib
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from spaces.errors import BackboneError, first_line


def write_given(network: Any, folder: Path) -> Path:
    """Save a network below a folder, and return its own folder, whose name follows from the content.

    network: a pipeline or model of diffusers, or a model of transformers: all have `save_pretrained`. Raises
    BackboneError where the network cannot be saved.
    """
    unfinished = folder / f".given-{secrets.token_hex(8)}"
    unfinished.mkdir(parents=True)
    try:
        network.save_pretrained(unfinished)
        digest = hashlib.sha256()
        for file in sorted(path for path in unfinished.rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(unfinished)).encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        target = folder / f"given-{digest.hexdigest()[:12]}"
        with suppress(OSError):  # it is there already
            unfinished.rename(target)
    except Exception as error:  # of the library, which raises many kinds
        raise BackboneError(f"the network cannot be saved to {folder}: {first_line(error)}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target
