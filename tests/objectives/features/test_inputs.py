from contextlib import ExitStack
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
from spaces import CacheError, Setting
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


def read(inputs: Inputs, indices: np.ndarray) -> torch.Tensor:
    with ExitStack() as held:
        return inputs.read(indices, held)


def saved(dataset: Dataset, folder: Path) -> Dataset:
    """Save the first ten images as files."""
    names = tuple(f"{i}.png" for i in range(10))
    for i, name in enumerate(names):
        dataset.images.read(i).save(folder / name)
    return replace(dataset, images=FileImages(folder, names), labels=dataset.labels[:10])


def test_latents_are_encoded_once_by_whoever_comes_first(
    tmp_path: Path, latent: TappedBackbone, few_digits: Dataset
) -> None:
    counting = Counting(latent)
    first = read(inputs_of(tmp_path, counting, few_digits), TEN)
    assert counting.encoded == [4, 4, 2]
    assert torch.equal(first, read(inputs_of(tmp_path, counting, few_digits), TEN))
    some = read(inputs_of(tmp_path, counting, few_digits), np.array([7, 2, 11]))
    assert counting.encoded == [4, 4, 2, 1]  # image 11 alone is new
    assert torch.equal(some[:2], first[[7, 2]])
    assert first.shape == (10, *latent.network.input_shape)
    assert first.dtype == torch.float32


def test_damaged_latents_are_made_again(tmp_path: Path, latent: TappedBackbone, few_digits: Dataset) -> None:
    first = read(inputs_of(tmp_path, latent, few_digits), TEN)
    (file,) = (tmp_path / "latents").rglob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    torch.testing.assert_close(read(inputs_of(tmp_path, latent, few_digits), TEN), first)
    assert len(list((tmp_path / "latents").rglob("*.safetensors"))) == 1


def test_images_of_files_are_decoded_once_and_those_in_memory_are_not_kept(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    files = saved(few_digits, tmp_path)
    first = read(inputs_of(tmp_path / "cache", tiny, files), TEN)
    assert torch.equal(first, read(inputs_of(tmp_path / "other", tiny, few_digits), TEN))
    assert not (tmp_path / "other").exists()
    files.images.digest(9)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    assert torch.equal(read(inputs_of(tmp_path / "cache", tiny, files), TEN), first)


def test_images_are_at_hand_as_they_will_be_in_the_cache_and_written_when_the_context_ends(
    tmp_path: Path, latent: TappedBackbone, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    files = saved(few_digits, tmp_path)
    for backbone, folder in ((tiny, tmp_path / "pixels"), (latent, tmp_path / "latents")):
        inputs = inputs_of(folder, backbone, files)
        with ExitStack() as held:
            made = inputs.read(TEN, held)
        for kind in inputs.folders():
            assert not list(kind.folder.glob("*.claim"))
        kept = inputs.folders()[-1].gather(inputs.keys[TEN], folder.name)
        assert kept is not None
        assert torch.equal(made, kept)
        assert (made.dtype, made.stride()) == (kept.dtype, kept.stride())


def test_images_that_are_in_the_cache_in_part_or_twice_in_the_dataset_are_read_in_their_order(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    files = saved(few_digits, tmp_path)
    whole = read(inputs_of(tmp_path / "one", tiny, files), TEN)
    other = inputs_of(tmp_path / "other", tiny, files)
    for chosen in ([3, 1], [5, 3, 2, 1], [7, 8, 7]):
        assert torch.equal(read(other, np.array(chosen)), whole[chosen])


def test_a_failure_to_write_pixels_is_raised_when_the_context_ends_and_ends_the_claim(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    inputs = inputs_of(tmp_path / "cache", tiny, saved(few_digits, tmp_path))
    (folder,) = inputs.folders()
    held = ExitStack()
    inputs.usage = CacheUsage(tmp_path / "cache", limit=10)
    made = inputs.read(TEN, held)
    with pytest.raises(CacheError, match="the cache may take 10 bytes"):
        held.close()
    assert not [file for file in folder.folder.iterdir() if file.suffix != ".lease"]
    with folder.claim(inputs.keys[TEN], lambda free: np.ones(len(free), bool)) as claim:
        assert claim is not None
    assert torch.equal(read(inputs_of(tmp_path / "cache", tiny, inputs.dataset), TEN), made)


def test_a_failure_to_write_pixels_ends_the_extraction(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    usage = CacheUsage(tmp_path / "cache", limit=3 * tiny.architecture.image_side**2)  # one image, or all features
    extractor = Extractor(tiny, saved(few_digits, tmp_path), usage, {2: 1}, seed=0)
    with pytest.raises(CacheError, match="`cache_size`"):
        list(extractor.fill(TEN, [10], 1, Clock()))
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_network_of_pixels_keeps_pixels_and_reads_them_normalised(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset
) -> None:
    inputs = inputs_of(tmp_path, tiny, few_digits)
    stored = read(inputs, TEN)
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
