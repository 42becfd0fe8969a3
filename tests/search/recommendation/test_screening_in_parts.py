"""A screening in parts is that of one process, however many workers take parts, and in whatever order they end."""

import random
from pathlib import Path

import pytest

from objectives.probing.probe import Probe
from objectives.results import ScreenedPart
from search.database.screenings import load_screening
from search.database.store import Store
from search.options.run_options import RunOptions
from search.prepare import PreparedProbe, prepare_probe
from search.recommendation.screen import run_screening
from search.recommendation.screening_in_parts import ScreeningInParts, parts
from search.scheduling.requests import NoTrialYet, ScreeningRequest
from spaces import Setting, Tap


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedProbe:
    home = tmp_path_factory.mktemp("home")
    return prepare_probe(RunOptions("digits", home=home, blocks=(8, 9, 10, 11, 12), timesteps=(20, 90, 200)))


@pytest.fixture(scope="module")
def probe(prepared: PreparedProbe) -> Probe:
    return Probe.build(prepared.spec, 1)


def screened(screening: ScreeningInParts, probe: Probe, workers: int, seed: int) -> int:
    """Run a screening to its end on workers that end in a random order. Return the number of parts."""
    generator, count = random.Random(seed), 0
    running: list[ScreeningRequest] = []
    while True:
        request = screening.next_request() if len(running) < workers else NoTrialYet()
        if isinstance(request, ScreeningRequest):
            running.append(request)
        elif request is None:
            assert not running
            return count
        else:
            part = running.pop(generator.randrange(len(running)))
            *_, report = probe.screen(part.settings, part.images)
            assert isinstance(report, ScreenedPart)
            screening.keep(report)
            count += 1


@pytest.mark.parametrize("workers", [1, 3])
def test_the_saved_screening_is_that_of_one_process(
    prepared: PreparedProbe, probe: Probe, tmp_path: Path, workers: int
) -> None:
    spec, space, digest = prepared.spec, prepared.space, prepared.weights_digest
    with Store.open(f"sqlite:///{tmp_path}/one.db") as store:
        run_screening(spec, space, digest, store, threads=1, measures=False)
        expected = load_screening(store, spec.dataset.fingerprint, digest, spec.seed)
    counts: list[int] = []
    with Store.open(f"sqlite:///{tmp_path}/parts.db") as store:
        screening = ScreeningInParts(store, spec, space, digest, workers, counts.append)
        screened(screening, probe, workers, seed=0)
        assert load_screening(store, spec.dataset.fingerprint, digest, spec.seed) == expected
    assert expected is not None
    assert counts == sorted(counts)
    assert counts[0] == screening.least[0] == 2 * 15
    assert counts[-1] > counts[0]  # further rounds


def test_parts_hold_every_setting_once_and_keep_the_pools_of_a_block_together() -> None:
    settings = [Setting(20, block, pool, "ridge") for block in range(1, 8) for pool in (1, 2, 4)]
    for count in (1, 3, 7, 20):
        divided = parts(settings, count)
        assert len(divided) == min(count, 7)
        assert sorted(sum(divided, ()), key=settings.index) == settings
        blocks = [{setting.block for setting in part} for part in divided]
        assert sum(map(len, blocks)) == 7
        assert max(map(len, divided)) - min(map(len, divided)) <= 3
    with_further_taps = [settings[0].reading(Tap(1, 20), Tap(block, 20)) for block in range(2, 8)]
    assert len(parts(with_further_taps, 3)) == 3
    assert parts([], 3) == []
