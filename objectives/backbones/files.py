"""Reads folders of weights with clear errors, and computes their digests."""

import hashlib
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from objectives.backbones.folders.configuration import is_there, read_configuration, unreadable
from objectives.downloads import sha256
from spaces import BackboneError

DIGESTED_SUFFIXES = (".json", ".safetensors", ".bin")
"""The files of a network's folder on which its features depend: configurations and weights."""


@contextmanager
def loading(name: str, folder: Path, kind: Any = None, config: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Turn other errors in the context into a BackboneError that names the backbone, its folder and a wrong entry.

    kind, config: the class of diffusers that is built in the context, and the entries from which it is built.
    Hints, warnings and progress bars of diffusers and transformers are silent meanwhile.
    """
    with _silent_libraries():
        try:
            yield
        except BackboneError:
            raise
        except Exception as error:  # each library has its own errors for a damaged file
            reason = f"it does not know {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            wrong = "" if kind is None else "".join(f"{entry}; " for entry in _misfits(kind, config or {}))
            raise BackboneError(
                f"backbone {name} in {folder} cannot be loaded: {wrong}{reason or type(error).__name__:.500}; correct "
                f"{folder / 'config.json'}, or fetch the folder again"
            ) from error


def _misfits(kind: Any, config: Mapping[str, Any]) -> list[str]:
    """Say of each entry whose type is not the one that a class of diffusers names, what it must be."""
    options = inspect.signature(kind.__init__).parameters
    return [
        f"`{entry}` must be {getattr(hint, '__name__', hint) if isinstance(hint, type) else hint}, got {value!r:.60}"
        for entry, value in config.items()
        if entry in options and not _fits(value, hint := options[entry].annotation)
    ]


def _fits(value: object, hint: Any) -> bool:
    """Return whether a JSON value has a type such as `int | tuple[int, ...] | None`; lists stand for tuples."""
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, list | tuple)
    if hint in (None, type(None)):
        return value is None
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint if hint in (int, bool, str) else True


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Silence what would confuse users of this program, while the context lasts: hints and progress bars."""
    from transformers.utils import logging as bars

    def no_bar(_bar: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> bars.EmptyTqdm:
        return bars.EmptyTqdm(*arguments, **options)  # type: ignore[no-untyped-call]

    # A library sets its level when it is imported, so one that is not imported yet has no level to restore.
    loggers = [logging.getLogger(library) for library in ("diffusers", "transformers") if library in sys.modules]
    levels = [logger.level for logger in loggers]
    hook = bars.set_tqdm_hook(no_bar)
    diffusers_logging = sys.modules.get("diffusers.utils.logging")  # an encoder needs no diffusers
    has_bars = diffusers_logging is not None and diffusers_logging.is_progress_bar_enabled()
    if diffusers_logging is not None and has_bars:
        diffusers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        bars.set_tqdm_hook(hook)
        if diffusers_logging is not None and has_bars:
            diffusers_logging.enable_progress_bar()


def read_module(name: str, kind: Any, folder: Path, hollow: bool, **entries: object) -> Any:
    """Read a diffusers model of class `kind`, float32, in evaluation mode.

    hollow: build the model on the meta device, without weights. entries: replace those of its configuration.
    Raises BackboneError if files are missing or damaged, or if the weights are not those of the configuration.
    """
    import torch

    from objectives.backbones.folders.weights import DIFFUSERS_FILES, check_finite, check_fit, check_weight_files

    config = read_configuration(folder / "config.json") | entries
    with loading(name, folder, kind, config):
        if hollow:
            with torch.device("meta"):
                return kind.from_config(config).eval()
        module, report = kind.from_pretrained(
            folder,
            torch_dtype=torch.float32,
            low_cpu_mem_usage=False,
            use_safetensors=check_weight_files(folder, DIFFUSERS_FILES),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **entries,
        )
    check_fit(name, folder, report)
    check_finite(name, folder, module)
    return module.float()  # diffusers leaves tensors as they are if the first one is of the asked type


def load_pretrained(name: str, kind: Any, folder: Path, **options: Any) -> Any:
    """Load a transformers model of class `kind`, float32, in evaluation mode.

    The folder may hold more than this model, such as a head or a text model, but not more of the model's own parts.
    Raises BackboneError if files are missing or damaged, or if the weights are not those of the configuration.
    """
    import torch

    from objectives.backbones.folders.weights import TRANSFORMERS_FILES, check_finite, check_fit, check_weight_files

    with loading(name, folder):
        module, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=check_weight_files(folder, TRANSFORMERS_FILES),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    whole, core = f"{kind.base_model_prefix}.", getattr(module, kind.base_model_prefix, module)
    parts = tuple(f"{part}." for level in (module, core) for part, _ in level.named_children())
    check_fit(name, folder, report, may_have=lambda tensor: not tensor.removeprefix(whole).startswith(parts))
    check_finite(name, folder, module)
    return module


def pipeline_folder(folder: Path) -> Path:
    """Return the folder of the pipeline to which a folder `unet/` or `transformer/` belongs, else the folder itself.

    What lies beside the network, such as its noise schedule, is then not missed.
    """
    whole = folder.resolve()
    parent = whole.parent
    if whole.name in ("unet", "transformer") and (
        is_there(parent / "model_index.json") or is_there(parent / "scheduler")
    ):
        return parent
    return folder


def network_folder(folder: Path) -> Path:
    """Return the folder of the network: `unet/` or `transformer/` of a diffusers pipeline, or the given folder.

    Raises BackboneError if none of them holds a network, or if the pipeline has both.
    """
    parts = [part for part in (folder / "unet", folder / "transformer") if is_there(part / "config.json")]
    if len(parts) > 1:
        raise BackboneError(f"{folder} holds two networks, unet/ and transformer/; give a folder that holds one")
    for candidate in (*parts, folder):
        if is_there(candidate / "config.json"):
            return candidate
    raise BackboneError(
        f"{folder} holds no network: it needs a config.json of diffusers or transformers, there or in unet/"
    )


def backbone_digest(
    folders: Sequence[Path],
    precision: str,
    schedule: object,
    changes: Sequence[str] = (),
    file_digest: Callable[[Path], str] = sha256,
) -> str:
    """Return a backbone's digest, sha256 hex.

    schedule: the network's `Schedule`, or None; its numbers count. changes: as of `Network`. file_digest: returns the
    sha256 hex of one file.
    """
    return _combined(folder_digest(*folders, file_digest=file_digest), precision, repr(schedule), *changes)


def latents_digest(autoencoder: Path, precision: str) -> str:
    """Return the digest of an autoencoder's latents, sha256 hex."""
    return _combined(folder_digest(autoencoder), precision)


def folder_digest(*folders: Path, file_digest: Callable[[Path], str] = sha256) -> str:
    """Return the sha256 hex of names and contents of the weights and configurations directly in the folders.

    Raises BackboneError, which names the file, if one cannot be read.
    """
    total = hashlib.sha256()
    for folder in folders:
        path = folder
        try:
            for path in sorted(folder.iterdir()):
                if path.suffix in DIGESTED_SUFFIXES:
                    total.update(os.fsencode(path.name) + f" {file_digest(path)}\n".encode())
        except OSError as error:
            raise unreadable(path, error) from None
    return total.hexdigest()


def _combined(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
