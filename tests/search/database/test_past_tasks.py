"""What the database hands on from task to task, on SQLite and PostgreSQL."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from optuna.trial import TrialState, create_trial

from search.database.past_tasks import FEWEST, Screening, keep_screening, kept_screening, past_of
from search.database.records import StudyFacts
from search.database.store import Store
from search.samplers.parameters import distributions, to_params
from spaces import Setting, Space

SETTINGS = tuple(Setting(90, block, pool, "ridge") for block in (3, 4, 8, 10) for pool in (1, 2, 4))


@pytest.fixture
def screening(space: Space) -> Screening:
    errors = tuple((setting, 0.1 * setting.block) for setting in SETTINGS)
    return Screening("birds", "b" * 64, "small", "w" * 64, space.architecture, 0, 7, 300, errors, SETTINGS[:2])


def test_a_screening_is_kept_as_it_was_and_a_later_one_takes_its_place(store: Store, screening: Screening) -> None:
    keep_screening(store, screening)
    assert kept_screening(store, "b" * 64, "w" * 64, 0) == screening
    later = replace(screening, images=500, best=SETTINGS[3:4])
    keep_screening(store, later)
    assert kept_screening(store, "b" * 64, "w" * 64, 0) == later
    assert kept_screening(store, "b" * 64, "w" * 64, 1) is None


def test_it_teaches_other_tasks_but_not_the_same_images_again(store: Store, screening: Screening) -> None:
    keep_screening(store, screening)
    assert past_of(store, "b" * 64, "w" * 64) == []
    (past_task,) = past_of(store, "c" * 64, "w" * 64)
    assert past_task.task == "birds of 7 classes with small, screened"
    assert past_task.score == tuple(-error for _, error in screening.errors)
    assert (past_task.classes, past_task.images) == (7, 300)


def told(store: Store, name: str, space: Space, setting: Setting, score: float) -> None:
    kinds = distributions(space, setting)
    trial = create_trial(state=TrialState.COMPLETE, value=score, params=to_params(setting), distributions=kinds)
    store.load(name).add_trial(trial)


def test_a_study_teaches_what_its_places_are_worth_whatever_the_head(
    store: Store, space: Space, make_facts: Callable[..., StudyFacts]
) -> None:
    name = store.ensure_study(make_facts())
    mlp = next(setting for setting in space.settings() if setting.head == "mlp")
    for setting in SETTINGS[: FEWEST - 1]:
        told(store, name, space, replace(setting, head="linear"), 0.5 + setting.pool / 100)
    assert past_of(store, "c" * 64, "w" * 64) == []  # too few
    for setting in SETTINGS[FEWEST - 1 :]:
        told(store, name, space, replace(setting, head="linear"), 0.5 + setting.pool / 100)
        told(store, name, space, replace(setting, head="mlp", options=mlp.options), 0.9 + setting.pool / 100)
    (past_task,) = past_of(store, "c" * 64, "w" * 64)
    assert past_task.task == "digits of 2 classes with bundled, 17 trials"
    assert (past_task.classes, past_task.images) == (2, 80)
    assert max(past_task.score) < 0.1  # a better head says nothing of a place
    by_grid = {place.grid for place, score in zip(past_task.places, past_task.score, strict=True) if score > 0.005}
    assert by_grid == {2}
    assert past_of(store, "c" * 64, "w" * 64, besides=name) == []
