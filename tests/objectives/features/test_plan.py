import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from objectives.backbones.tapped import TappedBackbone
from objectives.datasets.dataset import Dataset
from objectives.features.cache.feature_cache import Source
from objectives.features.cache.quota import CacheUsage
from objectives.features.extraction import Clock, Extractor
from objectives.features.plan import Demand, Plan, check_room, plan_passes
from spaces import CacheError, Space

MANY = 10**6


@pytest.fixture
def space(tiny: TappedBackbone) -> Space:
    return Space(tiny.architecture, (5, 44, 300), (3, 9, 12), (1, 2, 4), ("linear",))


def planned(
    folder: Path, backbone: TappedBackbone, dataset: Dataset, space: Space, trials: int = MANY, finalists: int = 1
) -> Plan:
    demand = Demand.of([dataset], backbone.architecture.image_side, trials, finalists)
    return plan_passes(
        demand, space, Source.of(backbone.digest, space.architecture, 0), CacheUsage(folder), lambda: None
    )


@pytest.mark.parametrize(
    ("trials", "finalists", "draws", "passes"),
    [
        (MANY, 1, (1,), 3 * 500 + 100),
        (MANY, 9, (1,), 3 * 600),
        (2, 1, (1,), 2 * 500 + 100),
        (MANY, 1, (1, 4), 4 * (3 * 500 + 100)),
        (MANY, 1, (0,), 3 * 500 + 100),
        (MANY, 1, (0, 1, 2), 3 * (3 * 500 + 100)),
    ],
    ids=["every timestep", "finalists everywhere", "a trial for two of them", "four draws", "clean", "clean or noised"],
)
def test_a_plan_holds_for_what_is_then_done(
    tmp_path: Path,
    tiny: TappedBackbone,
    few_digits: Dataset,
    space: Space,
    trials: int,
    finalists: int,
    draws: tuple[int, ...],
    passes: int,
) -> None:
    """The plan's passes equal the passes that are made, and its bytes equal the bytes that are then in the cache."""
    space = replace(space, draws=draws)
    before = planned(tmp_path, tiny, few_digits, space, trials, finalists)
    assert (before.passes, before.cached, before.seconds) == (passes, 0, None)
    extractor, clock = Extractor(tiny, few_digits, CacheUsage(tmp_path), space.grids, 0), Clock()
    timesteps = space.timesteps[: min(trials, 3)]
    kinds = {max(draws), *(number for number in draws if number == 0)}  # one draw is made with two
    for kind in kinds:
        list(extractor.fill(np.arange(500), timesteps, kind, clock))
    half = planned(tmp_path, tiny, few_digits, space, trials, finalists)
    for kind in kinds:
        list(extractor.fill(np.arange(500, 600), timesteps[:finalists], kind, clock))
    assert clock.passes == passes
    assert before.new_bytes == pytest.approx(CacheUsage(tmp_path).taken(), rel=0.02)
    if trials == MANY:
        assert half.passes - half.cached == sum(max(kind, 1) for kind in kinds) * min(3, finalists) * 100
        assert half.new_bytes == pytest.approx(before.new_bytes * (passes - half.cached) / passes, rel=0.01)
        assert half.seconds is not None
        assert 0 < half.seconds < sum(clock.seconds.values())


def test_a_plan_in_words(tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset, space: Space) -> None:
    found = planned(tmp_path, tiny, few_digits, space)
    assert re.fullmatch(r"plan: at most 1,600 passes; [\d.]+ MB to be written", found.words())
    half = replace(found, cached=1000, pass_seconds=0.4)
    assert "1,600 passes, 1,000 of them in the cache" in half.words()
    assert half.seconds == pytest.approx(240)
    assert replace(found, cached=1600).words() == "plan: all 1,600 passes are in the cache"


def test_what_does_not_fit_is_refused_with_what_would_fit(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset, space: Space
) -> None:
    """Each option that it names, typed, passes the same check."""
    found = planned(tmp_path, tiny, few_digits, space)
    check_room(found, CacheUsage(tmp_path, found.bytes))
    usage = CacheUsage(tmp_path, int(0.4 * found.bytes))
    with pytest.raises(CacheError, match=r"may need .*, but `cache_size` allows .*; it would fit with") as caught:
        check_room(found, usage)
    options = dict(re.findall(r"`(\w+)` ([\w,]*\w)", str(caught.value).partition("fit with")[2]))
    assert options.keys() >= {"cache_size", "timesteps", "pools", "blocks"}
    del options["cache_size"]
    for dimension, values in options.items():
        narrowed = space.narrow(**{dimension: [int(value) for value in values.split(",")]})
        check_room(planned(tmp_path, tiny, few_digits, narrowed), usage)


def test_a_disk_without_the_room_is_said(
    tmp_path: Path, tiny: TappedBackbone, few_digits: Dataset, space: Space
) -> None:
    found = replace(planned(tmp_path, tiny, few_digits, space), new_bytes=10**18, bytes=10**18)
    with pytest.raises(CacheError, match=r"the disk of .* has .* free; it would fit with a `home` on a larger disk"):
        check_room(found, CacheUsage(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()
