"""The versions of the image transform and of the noise: what they make, and where they count."""

import numpy as np
import pytest

from objectives.backbones.catalog import architecture_named
from objectives.datasets.images import ArrayImages, square_pixels
from objectives.features import versions
from objectives.features.cache.feature_cache import Pass, Source
from objectives.features.noise import noise_for

OTHER = "another noise"


def test_pixels_are_those_of_this_transform() -> None:
    """If this test has to change, give TRANSFORM another name."""
    image = np.random.default_rng(0).integers(0, 256, (1, 20, 30, 3), dtype=np.uint8)
    red = [[98, 137, 116, 129], [124, 129, 115, 126], [108, 111, 121, 125], [134, 97, 107, 129]]
    assert square_pixels(ArrayImages(image), [0], 4)[0, 0].tolist() == red


def test_numbers_are_those_of_this_noise() -> None:
    """If this test has to change, give NOISE another name."""
    numbers = noise_for(["a"], seed=7, timestep=10, draw=1, shape=(4,))[0].tolist()
    assert numbers == pytest.approx([0.0499892, -1.2589417, -0.5482603, -0.0607177], abs=1e-6)


def test_what_the_first_versions_made_keeps_its_keys() -> None:
    assert versions.versions() == versions.FIRST
    assert versions.key_of("w" * 64) == "w" * 64
    source = "e3b919d6fc46767f7d9ff41ae851af0c3599c7e69818e7c2a7790e43b170582a"
    assert Source.of("b" * 64, architecture_named("bundled"), 7).noised == source


def test_what_another_noise_makes_has_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = architecture_named("bundled")
    before = Source.of("b" * 64, architecture, 7).noised, versions.key_of("w" * 64)
    monkeypatch.setattr(versions, "NOISE", OTHER)
    assert versions.changed() == {"noise": OTHER}
    after = Source.of("b" * 64, architecture, 7).noised, versions.key_of("w" * 64)
    assert not set(before) & set(after)


def test_the_key_of_a_clean_pass_names_neither_seed_nor_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = architecture_named("bundled")
    sources = [Source.of("b" * 64, architecture, seed) for seed in (7, 8)]
    assert sources[0].passes(3, 0) == sources[1].passes(3, 0) == [Pass(sources[0].clean, 3, None)]
    assert sources[0].noised != sources[1].noised
    monkeypatch.setattr(versions, "NOISE", OTHER)
    assert Source.of("b" * 64, architecture, 7).clean == sources[0].clean
