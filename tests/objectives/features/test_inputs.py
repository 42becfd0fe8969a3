from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from objectives.backbones.catalog import load_backbone
from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import FileImages
from objectives.features.batches import Batches
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from objectives.features.inputs import Inputs
from objectives.features.transfers import NoTransfers
from spaces import Setting
from tests.support import small_latents


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> TappedBackbone:
    """A small network of Stable Diffusion's kind."""
    folder = tmp_path_factory.mktemp("latent")
    small_latents.FOLDERS["UNet2DConditionModel"](folder)
    return load_backbone(str(folder))


@dataclass
class Counting:
    """A backbone that notes how many images it encoded."""

    inner: TappedBackbone
    encoded: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.encoded.append(len(pixels))
        return self.inner.encode(pixels)


TEN = np.arange(10)


def inputs_of(folder: Path, backbone: TappedBackbone | Counting, dataset: Dataset, batch: int = 4) -> Inputs:
    return Inputs(backbone, dataset, CacheUsage(folder), Batches(batch), NoTransfers())  # type: ignore[arg-type]


def test_latents_are_encoded_once_by_whoever_comes_first(
    tmp_path: Path, latent: TappedBackbone, few_digits: Dataset
) -> None:
    counting = Counting(latent)
    first = inputs_of(tmp_path, counting, few_digits).read(TEN)
    assert counting.encoded == [4, 4, 2]
    assert torch.equal(first, inputs_of(tmp_path, counting, few_digits).read(TEN))
    some = inputs_of(tmp_path, counting, few_digits).read(np.array([7, 2, 11]))
    assert counting.encoded == [4, 4, 2, 1]  # image 11 alone is new
    assert torch.equal(some[:2], first[[7, 2]])
    assert first.shape == (10, *latent.network.input_shape)
    assert first.dtype == torch.float32


def test_damaged_latents_are_made_again(tmp_path: Path, latent: TappedBackbone, few_digits: Dataset) -> None:
    first = inputs_of(tmp_path, latent, few_digits).read(TEN)
    (file,) = (tmp_path / "latents").rglob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    torch.testing.assert_close(inputs_of(tmp_path, latent, few_digits).read(TEN), first)
    assert len(list((tmp_path / "latents").rglob("*.safetensors"))) == 1


def test_images_of_files_are_decoded_once_and_those_in_memory_are_not_kept(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    names = tuple(f"{i}.png" for i in range(10))
    for i, name in enumerate(names):
        few_digits.images.read(i).save(tmp_path / name)
    files = replace(few_digits, images=FileImages(tmp_path, names), labels=few_digits.labels[:10])
    first = inputs_of(tmp_path / "cache", tiny, files).read(TEN)
    assert torch.equal(first, inputs_of(tmp_path / "other", tiny, few_digits).read(TEN))
    assert not (tmp_path / "other").exists()
    files.images.digest(9)
    for name in names:
        (tmp_path / name).unlink()
    assert torch.equal(inputs_of(tmp_path / "cache", tiny, files).read(TEN), first)


def test_a_network_of_pixels_keeps_pixels_and_reads_them_normalised(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    inputs = inputs_of(tmp_path, tiny, few_digits)
    stored = inputs.read(TEN)
    assert stored.dtype == torch.uint8
    ready = inputs.ready(stored)
    torch.testing.assert_close(ready, stored.float() / 127.5 - 1)
    assert not (tmp_path / "latents").exists()


def test_features_of_latents_go_through_the_cache(tmp_path: Path, latent: TappedBackbone, few_digits: Dataset) -> None:
    images, block = np.arange(20), latent.architecture.blocks[-1]
    extractor = Extractor(latent, few_digits, CacheUsage(tmp_path), {block.number: 1}, seed=0)
    clock = Clock()
    list(extractor.fill(images, [10, 90], 1, clock))
    assert clock.passes == 40
    one, other = (extractor.read(images, Setting(timestep, block.number, 1, "linear")) for timestep in (10, 90))
    assert one is not None
    assert other is not None
    assert one.shape == (20, block.channels, 1, 1)
    assert not torch.equal(one, other)


def test_an_encoders_features_do_not_depend_on_the_noise_seed(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    """The features of a diffusion network do depend on it, and its cache keeps both."""
    from tests.support import small_encoders

    folder = tmp_path / "encoder"
    next(iter(small_encoders.FOLDERS.values()))(folder)
    usage = CacheUsage(tmp_path)
    for backbone, timestep, passes in ((load_backbone(str(folder)), None, 0), (tiny, 44, 20)):
        for seed, expected in ((0, 20), (1, passes)):
            clock = Clock()
            list(Extractor(backbone, few_digits, usage, {2: 1}, seed).fill(np.arange(20), [timestep], 1, clock))
            assert clock.passes == expected
