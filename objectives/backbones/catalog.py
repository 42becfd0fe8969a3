"""Backbones by name: those that come with the program, a local diffusers folder, or a hub id."""

from collections.abc import Callable
from pathlib import Path

from objectives.backbones.backbone import Backbone
from objectives.backbones.unet import PRECISIONS, file_digest, load_unet
from spaces import BackboneError, UnknownNameError

BUNDLED = Path(__file__).parent / "bundled"


def _load_bundled(name: str, device: str, precision: str) -> Backbone:
    """The U-Net shipped in this package, its weights checked against the digest in `SHA256SUMS`."""
    for line in (BUNDLED / "SHA256SUMS").read_text().splitlines():
        digest, relative = line.split()
        path = BUNDLED / relative
        if not path.is_file() or file_digest(path) != digest:
            raise BackboneError(f"{path} is damaged (its sha256 is not {digest[:12]}…); install the package again")
    return load_unet(name, BUNDLED, device, precision)


BACKBONES: dict[str, Callable[[str, str, str], Backbone]] = {"bundled": _load_bundled}


def load_backbone(name: str, device: str = "cpu", precision: str = "float32") -> Backbone:
    """A known name, a diffusers folder, or a hub id `owner/model` (downloaded once by huggingface_hub).

    precision: a key of `PRECISIONS`. Raises UnknownNameError, or BackboneError where the network cannot be had.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if name in BACKBONES:
        return BACKBONES[name](name, device, precision)
    if Path(name).is_dir():
        return load_unet(name, Path(name), device, precision)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return load_unet(name, _download(name), device, precision)
    raise UnknownNameError("backbone", name, [*BACKBONES, "a diffusers folder", "a hub id owner/model"])


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BackboneError(
            f"backbone {hub_id} is no local folder and cannot be fetched from the hub: {reason}"
        ) from None
