"""A screening is read from SQLite and PostgreSQL as it was saved."""

from dataclasses import replace

import pytest

from objectives.features import versions
from search.database.screenings import Screening, load_screening, load_screenings, save_screening
from search.database.store import Store


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
