"""Fetches the published ADM networks by name, checks them against their digests, and converts them once."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import final

from objectives.backbones.checkpoints.adm_settings import AdmSettings, AttentionOrder
from objectives.downloads import Content, Kind, check_placed, claim, download, listener
from spaces.errors import BackboneError
from spaces.lookup import lookup

__all__ = ["PUBLISHED", "Content", "PublishedCheckpoint", "folder_of"]

ADDRESS = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021"
BACKBONE = Kind("backbone", "checkpoint", BackboneError)


@final
@dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint on guided-diffusion's server.

    words: a description for people. parameters: number of weights. content: None if no public source gives a digest;
    the checkpoint is then never downloaded.
    """

    words: str
    url: str
    content: Content | None
    settings: AdmSettings
    order: AttentionOrder
    parameters: float = 553e6

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


# Addresses and settings are those in the README of github.com/openai/guided-diffusion.
ADM_256 = AdmSettings(
    image_size=256,
    num_channels=256,
    num_res_blocks=2,
    attention_resolutions=(32, 16, 8),
    num_head_channels=64,
    learn_sigma=True,
    resblock_updown=True,
    noise_schedule="linear",
)
ADM_256_CLASSES = AdmSettings(**(vars(ADM_256) | {"class_cond": True}))
ADM_256_LSUN = AdmSettings(**(vars(ADM_256) | {"dropout": 0.1}))
ADM_64 = AdmSettings(
    image_size=64,
    num_channels=192,
    num_res_blocks=3,
    attention_resolutions=(32, 16, 8),
    num_head_channels=64,
    learn_sigma=True,
    class_cond=True,
    resblock_updown=True,
    use_new_attention_order=True,
    dropout=0.1,
    noise_schedule="cosine",
)

PUBLISHED: dict[str, PublishedCheckpoint] = {
    "adm-256": PublishedCheckpoint(
        "ADM of ImageNet, without classes",
        f"{ADDRESS}/256x256_diffusion_uncond.pt",
        # The model table of Disco Diffusion's later notebooks and several independent records of the file at this
        # address agree on this digest and size. (983e3de6…, in the earlier notebooks, is the digest of another file.)
        Content("a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1", 2_211_383_297),
        ADM_256,
        "legacy",
    ),
    "adm-256-cond": PublishedCheckpoint(
        "ADM of ImageNet, with classes",
        f"{ADDRESS}/256x256_diffusion.pt",
        None,
        ADM_256_CLASSES,
        "legacy",
        554e6,
    ),
    "adm-64": PublishedCheckpoint(
        "ADM of ImageNet, with classes",
        f"{ADDRESS}/64x64_diffusion.pt",
        # Source: experiments/download_cross_scale_baselines.sh in github.com/blueherat/test, which checks them.
        Content("a18558f9a2499615a3ff9759ad12299690ad36ee3378c395adbb94855e2b634f", 1_183_736_577),
        ADM_64,
        "new",
        296e6,
    ),
    "adm-lsun-bedroom": PublishedCheckpoint(
        "ADM of LSUN bedrooms", f"{ADDRESS}/lsun_bedroom.pt", None, ADM_256_LSUN, "legacy"
    ),
    "adm-lsun-cat": PublishedCheckpoint("ADM of LSUN cats", f"{ADDRESS}/lsun_cat.pt", None, ADM_256_LSUN, "legacy"),
    "adm-lsun-horse": PublishedCheckpoint(
        "ADM of LSUN horses", f"{ADDRESS}/lsun_horse.pt", None, ADM_256_LSUN, "legacy"
    ),
}


def folder_of(name: str, cache: Path, *, keep_download: bool = False) -> Path:
    """Return the folder of the converted network within `cache`. The first call downloads and converts the checkpoint.

    A checkpoint that a person put into `cache` under its published name replaces the download, and is kept. An
    interrupted download is resumed by the next call. The download is removed after the conversion, unless
    `keep_download`. Concurrent processes make the folder once. Raises UnknownNameError for an unknown name. Raises
    BackboneError if the checkpoint cannot be downloaded, differs from the published one, or cannot be converted.
    """
    checkpoint = lookup("published checkpoint", name, PUBLISHED)
    folder = cache / name
    if folder.is_dir():
        return folder
    placed = cache / checkpoint.file_name
    with claim(BACKBONE, name, cache):
        if folder.is_dir():
            return folder
        for orphan in cache.glob(f"{name}.*.part"):
            shutil.rmtree(orphan, ignore_errors=True)
        if placed.is_file():
            if checkpoint.content is not None:
                check_placed(BACKBONE, name, checkpoint.content, placed)
            _convert(placed, checkpoint, folder)
        else:
            file = _download(name, checkpoint, placed)
            _convert(file, checkpoint, folder)
            if keep_download:
                file.replace(placed)
            else:
                file.unlink()
    return folder


def _download(name: str, checkpoint: PublishedCheckpoint, placed: Path) -> Path:
    """Download a checkpoint next to `placed`, check its digest, and return its path."""
    if checkpoint.content is None:
        raise BackboneError(
            f"backbone {name} is not downloaded, since no digest is known for {checkpoint.url}; download "
            f"it by hand and place it at {placed}, or convert it with `search backbones convert "
            f"{checkpoint.file_name} …`"
        )
    return download(BACKBONE, name, checkpoint.url, checkpoint.content, placed)


def _convert(file: Path, checkpoint: PublishedCheckpoint, folder: Path) -> None:
    from objectives.backbones.checkpoints.adm import convert

    listener().begins(f"{folder.name}: converting {file.name}")
    convert(file, checkpoint.settings, checkpoint.order, folder)
