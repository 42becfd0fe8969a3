"""Past tasks from finished screenings and studies, on SQLite and PostgreSQL."""

from dataclasses import replace

from optuna.trial import TrialState, create_trial

from search.database.optuna_storage.parameters import distributions, to_params
from search.database.records import RunRecord, TrialRecord
from search.database.screenings import Screening, save_screening
from search.database.store import Store
from search.recommendation.past_tasks import MIN_SETTINGS, past_tasks
from spaces import Setting, Space
from tests.support.studies import MakeRecord

SETTINGS = tuple(Setting(90, block, pool, "ridge") for block in (3, 4, 8, 10) for pool in (1, 2, 4))


def test_a_screening_is_a_past_task_of_other_images_only(store: Store, screening: Screening) -> None:
    save_screening(store, screening)
    assert past_tasks(store, "b" * 64, "w" * 64) == []
    (past_task,) = past_tasks(store, "c" * 64, "w" * 64)
    assert past_task.task == "birds of 7 classes with small, screened"
    assert past_task.scores == tuple(-error for _, error in screening.errors)
    assert (past_task.classes, past_task.images) == (7, 300)


def add_trial(store: Store, study: str, space: Space, run: int, setting: Setting, score: float) -> None:
    """Add a complete trial as a run of this id does."""
    kinds = distributions(space, setting)
    trial = create_trial(state=TrialState.COMPLETE, value=score, params=to_params(setting), distributions=kinds)
    store.record_trial(study, TrialRecord(len(store.load(study).trials), run, 1, setting))
    store.load(study).add_trial(trial)


def test_a_study_is_a_past_task_of_settings_without_heads(
    store: Store, space: Space, make_record: MakeRecord, run_record: RunRecord
) -> None:
    study = store.ensure_study(make_record())
    run = store.begin_run(study, run_record)
    mlp = next(setting for setting in space.settings() if setting.head == "mlp")
    for setting in SETTINGS[: MIN_SETTINGS - 1]:
        add_trial(store, study, space, run, replace(setting, head="linear"), 0.5 + setting.pool / 100)
    assert past_tasks(store, "c" * 64, "w" * 64) == []  # too few
    for setting in SETTINGS[MIN_SETTINGS - 1 :]:
        add_trial(store, study, space, run, replace(setting, head="linear"), 0.5 + setting.pool / 100)
        add_trial(store, study, space, run, replace(setting, head="mlp", options=mlp.options), 0.9 + setting.pool / 100)
    (past_task,) = past_tasks(store, "c" * 64, "w" * 64)
    assert past_task.task == "digits of 2 classes with bundled, 17 trials"
    assert (past_task.classes, past_task.images) == (2, 80)
    assert max(past_task.scores) < 0.1  # a better head does not make a setting better
    by_grid = {
        place.grid for place, score in zip(past_task.coordinates, past_task.scores, strict=True) if score > 0.005
    }
    assert by_grid == {2}
    assert past_tasks(store, "c" * 64, "w" * 64, exclude=study) == []
    assert past_tasks(store, "d" * 64, "w" * 64) == []  # the same images


def test_the_same_images_count_once_whatever_their_dataset_is_called(
    store: Store, space: Space, make_record: MakeRecord, run_record: RunRecord, screening: Screening
) -> None:
    """They have one digest; a folder whose images have changed is one dataset too."""
    save_screening(store, replace(screening, dataset_fingerprint="d" * 64, errors=screening.errors[:5]))
    for name, dataset, digest, folder, trials in (
        ("named", "digits", "d", None, 8),
        ("copied", "folder", "d", "/copy", 10),  # the same images under another name
        ("changed", "folder", "e", "/copy", 9),  # an image was added
        ("others", "folder", "f", "/others", 8),
    ):
        study = store.ensure_study(make_record(chosen_name=name, dataset=dataset, dataset_fingerprint=digest * 64))
        run = store.begin_run(study, replace(run_record, options={"data_root": folder}))
        for setting in SETTINGS[:trials]:
            add_trial(store, study, space, run, replace(setting, head="linear"), setting.pool / 100)
    tasks = [task.task for task in past_tasks(store, "c" * 64, "w" * 64)]
    assert tasks == [f"folder of 2 classes with bundled, {trials} trials" for trials in (10, 8)]
    assert [len(task.scores) for task in past_tasks(store, "d" * 64, "w" * 64)] == [8]
    assert len(past_tasks(store, "c" * 64, "w" * 64, exclude="copied")) == 2
