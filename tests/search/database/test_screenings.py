"""A screening is read from SQLite and PostgreSQL as it was saved."""

from dataclasses import replace

import pytest

from objectives.features import versions
from search.database.screenings import Screening, load_screening, load_screenings, save_screening
from search.database.store import Store
from spaces import Space
from tests.support.studies import MakeRecord


def test_a_later_screening_replaces_an_earlier_one(store: Store, screening: Screening) -> None:
    save_screening(store, screening)
    assert load_screening(store, "b" * 64, "w" * 64, 0) == screening
    later = replace(screening, images=500, best=screening.best[:1])
    save_screening(store, later)
    assert load_screening(store, "b" * 64, "w" * 64, 0) == later
    assert load_screening(store, "b" * 64, "w" * 64, 1) is None
    assert load_screenings(store) == [later]


def test_a_screening_with_another_noise_is_another(
    store: Store, screening: Screening, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_screening(store, screening)
    monkeypatch.setattr(versions, "NOISE", "another noise")
    assert load_screening(store, "b" * 64, "w" * 64, 0) is None
    save_screening(store, screening)
    assert load_screening(store, "b" * 64, "w" * 64, 0) is not None
    assert len(load_screenings(store)) == 2


def test_a_study_counts_the_screened_settings_of_its_own_space_alone(
    store: Store, screening: Screening, make_record: MakeRecord, space: Space
) -> None:
    record = replace(make_record(), dataset_fingerprint="b" * 64, weights_digest="w" * 64)
    narrow = space.narrow(blocks=(4, 8), pools=(1, 2))
    save_screening(store, screening)
    whole = store.read_study(store.ensure_study(record))
    part = store.read_study(store.ensure_study(replace(record, space=narrow, chosen_name="narrow")))
    assert 0 < len(part.screened) < len(whole.screened) <= len(screening.errors)
    assert {(setting.block, setting.pool) for setting in part.screened} == {(4, 1), (4, 2), (8, 1), (8, 2)}
