"""Folders of weights: read with errors in words, and told apart by their digests."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from objectives.backbones.schedule import Schedule
from objectives.downloads import sha256
from spaces import BackboneError

WEIGHTS = (".json", ".safetensors", ".bin")


@contextmanager
def loading(name: str, folder: Path) -> Iterator[None]:
    """Turn an error in reading a network in the context into a BackboneError that names the network and its folder."""
    import transformers

    for library in ("diffusers", "transformers"):  # their hints and bars are for those who call them directly
        logging.getLogger(library).setLevel(logging.ERROR)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except Exception as error:  # each of the readers below has errors of its own kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneError(f"the weights of backbone {name} in {folder} cannot be loaded: {reason}") from error


def read_module(name: str, kind: Any, place: Path, hollow: bool) -> Any:
    """A diffusers model of class `kind`, float32, in evaluation mode; a hollow one is on the meta device.

    Raises BackboneError where files are missing or damaged.
    """
    import torch

    with loading(name, place):
        if hollow:
            with torch.device("meta"):
                return kind.from_config(kind.load_config(place)).eval()
        return kind.from_pretrained(place, torch_dtype=torch.float32, low_cpu_mem_usage=False)


def network_folder(folder: Path) -> Path:
    """The folder of the network itself: `unet/` or `transformer/` of a diffusers pipeline, or the folder given.

    Raises BackboneError where there is none.
    """
    for place in (folder / "unet", folder / "transformer", folder):
        if (place / "config.json").is_file():
            return place
    raise BackboneError(
        f"{folder} holds no network: it needs a config.json of diffusers or transformers, there or in unet/"
    )


def backbone_digest(
    folders: Sequence[Path], precision: str, schedule: Schedule | None, digest: Callable[[Path], str] = sha256
) -> str:
    """A backbone's digest, sha256 hex. digest: gives the sha256 of one file."""
    return _combined(folder_digest(*folders, digest=digest), precision, repr(schedule))


def latents_digest(autoencoder: Path, precision: str) -> str:
    """The digest of an autoencoder's latents, sha256 hex."""
    return _combined(folder_digest(autoencoder), precision)


def folder_digest(*folders: Path, digest: Callable[[Path], str] = sha256) -> str:
    """sha256 hex of the weights and configurations that lie directly in the folders, by name and content."""
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix in WEIGHTS:
                total.update(f"{path.name} {digest(path)}\n".encode())
    return total.hexdigest()


def _combined(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
