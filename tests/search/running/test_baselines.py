"""Which baselines a study lacks, as its database tells, and which it takes from other studies."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from objectives.results import Accuracy, Baseline, BaselineKind, Final
from search.database.store import Store
from search.running.baselines import StudyBaselines, first_block
from search.scheduling.requests import BaselineRequest
from spaces import Setting, Space, Tap
from tests.support.studies import MakeRecord

ANSWER = Setting(90, 8, 2, "mlp", 1, (("width", 128),))
FIRST = Setting(90, 3, 4, "linear")

MakeBaselines = Callable[..., StudyBaselines]


@pytest.fixture
def make(store: Store, make_record: MakeRecord) -> MakeBaselines:
    """Make the baselines of a study. answer: what it tested. Keyword arguments replace fields of its record."""

    def made(answer: Setting | None = ANSWER, together: bool = True, **changes: object) -> StudyBaselines:
        record = make_record(**changes)
        name = store.ensure_study(record)
        if answer is not None:
            store.record_final(name, Final(answer, 1, Accuracy(15, 20), Accuracy(40, 50), 1.0, 0, 0))
        return StudyBaselines(store, name, record, together)

    return made


def baseline_of(setting: Setting | None) -> Baseline:
    kind: BaselineKind = "pixels" if setting is None else "first block"
    return Baseline(kind, setting, 4, 512, 0, Accuracy(9, 20), Accuracy(21, 50), 0.5)


def requests(baselines: StudyBaselines) -> list[Setting | None]:
    """The settings of all requests after the finals."""
    settings = []
    while (request := baselines.next_request(answer_is_tested=True)) is not None:
        settings.append(request.setting)
    return settings


def test_pixels_may_come_before_the_finals_are_done_and_the_first_block_after(make: MakeBaselines) -> None:
    baselines = make()
    assert baselines.are_missing()
    assert baselines.next_request(answer_is_tested=False) == BaselineRequest(None)
    assert baselines.next_request(answer_is_tested=False) is None
    assert requests(baselines) == [FIRST]


def test_what_was_kept_is_not_made_again(make: MakeBaselines, store: Store) -> None:
    baselines = make()
    baselines.keep(baseline_of(None))
    assert not make().are_missing()  # a first block that cannot be read is not tried by every run
    assert requests(make()) == [FIRST]
    baselines.keep(baseline_of(FIRST))
    assert requests(make()) == []
    assert store.read_study(baselines.study).baselines == (baseline_of(None), baseline_of(FIRST))


def test_a_study_without_a_tested_answer_has_none(make: MakeBaselines) -> None:
    assert not make(answer=None).are_missing()
    assert requests(make(answer=None)) == []


def test_a_later_answer_at_another_timestep_has_its_own_first_block(make: MakeBaselines, store: Store) -> None:
    baselines = make()
    for setting in requests(baselines):
        baselines.keep(baseline_of(setting))
    better = replace(ANSWER, timestep=10)
    store.record_final(baselines.study, Final(better, 1, Accuracy(19, 20), Accuracy(49, 50), 1.0, 0, 0))
    assert requests(make()) == [replace(FIRST, timestep=10)]


def test_studies_of_the_same_images_and_protocol_share_baselines(
    make: MakeBaselines, store: Store, space: Space
) -> None:
    first = make()
    for setting in requests(first):
        first.keep(baseline_of(setting))
    narrow = make(space=space.narrow(heads=["linear"]), preset="narrow")
    assert not narrow.are_missing()
    assert store.read_study(narrow.study).baselines == (), "a look writes nothing"
    narrow.take_over()
    assert store.read_study(narrow.study).baselines == (baseline_of(None), baseline_of(FIRST))
    other_network = make(weights_digest="v" * 64)
    assert requests(other_network) == [FIRST]
    assert store.read_study(other_network.study).baselines == (baseline_of(None),)
    for changes in ({"dataset_fingerprint": "e" * 64}, {"protocol": {"seed": "1"}}, {"together": False}):
        assert requests(make(**changes)) == [None, FIRST]


def test_the_first_block_is_read_where_the_answer_has_made_its_features(space: Space) -> None:
    several = replace(ANSWER, draws=4).reading(Tap(8, 90), Tap(5, 10), Tap(10, 300))
    assert first_block(space, several) == replace(FIRST, timestep=10, draws=4)
    assert first_block(space.narrow(pools=[1, 2]), ANSWER) == replace(FIRST, pool=2)
    assert first_block(space.narrow(blocks=[4, 8]), ANSWER) is None  # a third of the network is no first block
