"""A study is read from SQLite and PostgreSQL as it was saved."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from objectives.features.versions import FIRST
from objectives.results import (
    Accuracy,
    Baseline,
    Confusion,
    CorrectMask,
    Final,
    ImageScores,
    IntervalEstimate,
    Picture,
    Reevaluation,
    Scores,
)
from search.database.models import RunRow
from search.database.optuna_storage.parameters import distributions, to_params
from search.database.records import RunRecord, SavedOptions, TrialRecord
from search.database.store import Store
from search.study.choice import choice_sentence
from spaces import Setting, Space, StorageError
from tests.support.studies import MakeRecord

SCORES = Scores(20, {"accuracy": IntervalEstimate(0.9, 0.7, 0.97), "nll": IntervalEstimate(0.31, 0.2, 0.5)})


def add_trial(
    store: Store, study: str, space: Space, run: int, setting: Setting, state: TrialState, **fields: Any
) -> int:
    """Add a trial as a run of this id does; its record must follow before the study is read."""
    attributes = {"run": run, **fields.pop("user_attrs", {})}
    trial = create_trial(
        state=state,
        params=to_params(setting),
        distributions=distributions(space, setting),
        user_attrs=attributes,
        **fields,
    )
    store.load(study).add_trial(trial)
    return store.load(study).get_trials()[-1].number


def test_a_study_is_read_as_it_was_written(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    name = store.ensure_study(make_record())
    run = store.begin_run(name, run_record)
    settings = list(space.settings())[:4]
    curve = {1: 0.5, 2: 0.75}
    complete = add_trial(store, name, space, run, settings[0], TrialState.COMPLETE, value=0.9)
    pruned = add_trial(store, name, space, run, settings[1], TrialState.PRUNED, intermediate_values=curve)
    failed = add_trial(store, name, space, run, settings[2], TrialState.FAIL, user_attrs={"reason": "out of memory"})
    add_trial(store, name, space, run, settings[3], TrialState.RUNNING)
    seconds, answers = {"extract": 1.5, "fit": 0.25}, CorrectMask(20, 2**20 - 4)
    facts = TrialRecord(
        complete, run, 1, settings[0], Accuracy(18, 20), seconds, 100, 160, {"l2": 0.01}, SCORES, answers
    )
    store.record_trial(name, facts)
    store.record_trial(name, TrialRecord(pruned, run, 1, settings[1]))
    store.record_trial(name, TrialRecord(failed, run, 1, settings[2]))
    test_scores = Scores(50, {"accuracy": IntervalEstimate(0.8, 0.67, 0.89)})
    confused = (Confusion(1, 0, 2, (5, 17)), Confusion(0, 1, 1))
    counts = Accuracy(17, 20), Accuracy(40, 50)
    final = Final(settings[0], 3, *counts, 2.5, 50, 150, SCORES, test_scores, confused, CorrectMask(50, 2**40 - 1))
    store.record_final(name, replace(final, seconds=9.0, test_scores=None, confused=(), test_correct_mask=None))
    store.record_final(name, final)
    scored = ImageScores(b"\x01\x00\x00\x00\xff\x00\x00\x00", b"\x00\x00\x80?\x00\x00\x00\x00")
    reevaluation = Reevaluation(settings[0], 2**32 - 1, Accuracy(1, 2), 1.5, 25, 30, scored, SCORES)
    store.record_reevaluation(name, replace(reevaluation, seconds=9.0, validation_scores=None))
    store.record_reevaluation(name, reevaluation)
    accuracies = Accuracy(9, 20), Accuracy(21, 50)
    pixels = Baseline("pixels", None, 32, 3072, 7, *accuracies, 1.5, SCORES, test_scores, CorrectMask(50, 2**21 - 1))
    first_block = Baseline("first block", settings[0], 4, 256, 7, *accuracies, 0.5)
    store.record_baseline(name, "an earlier key", replace(first_block, seconds=9.0, side=2))
    store.record_baseline(name, "one key", first_block)
    store.record_baseline(name, "another key", pixels)
    pictures = (Picture(5, None, 0, "<b>.jpg", b"jpeg"), Picture(17, 3, 1, "image 17", b"\x00\xff"))
    store.record_pictures(name, [replace(pictures[0], image=4)])
    store.record_pictures(name, pictures)
    store.end_run(run, "finished")

    study = store.read_study(name)

    assert (study.architecture, study.space) == (space.architecture, space)
    assert (study.name, study.dataset, study.backbone, study.preset) == (name, "digits", "bundled", "default")
    assert (study.space_size, study.classes) == (len(space), ("zero", "one"))
    assert study.counts == {"train": 80, "validation": 20, "test": 50}
    assert study.provenance["command"] == run_record.command
    assert study.provenance["versions"] == "optuna 5.0.0"
    assert FIRST.items() <= study.provenance.items()
    assert study.provenance["validation split"] == "20 % of the training images, seed 0"
    assert [trial.state for trial in study.trials] == ["complete", "pruned", "failed", "interrupted"]
    assert [trial.setting for trial in study.trials] == settings
    first = study.trials[0]
    assert (first.validation, first.seconds, first.details) == (
        Accuracy(18, 20),
        {"extract": 1.5, "fit": 0.25},
        {"l2": 0.01},
    )
    assert (first.passes_made, first.passes_needed) == (100, 160)
    assert (first.scores, first.correct_mask) == (SCORES, answers)
    assert (study.trials[1].scores, study.trials[1].correct_mask) == (None, None)
    assert study.pictures == pictures
    assert first.finished is not None
    assert 0 <= first.finished <= study.wall_seconds < 60
    assert study.trials[1].curve == ((1, 0.5), (2, 0.75))
    assert study.trials[2].reason == "out of memory"
    assert study.finals == (final,)
    assert study.reevaluations == (reevaluation,)
    assert study.baselines == (pixels, first_block)
    assert [store.find_baseline(key) for key in ("one key", "an earlier key")] == [first_block, None]
    assert (study.rounds, study.majority) == (0, None)
    assert study.passes_made == 175

    (summary,) = store.studies()
    assert (summary.complete, summary.pruned, summary.failed, summary.interrupted) == (1, 1, 1, 1)
    assert (summary.best, summary.metric.name, summary.at_work) == (0.9, "accuracy", False)


def test_a_reopened_database_has_everything(storage_url: str, make_record: MakeRecord, run_record: RunRecord) -> None:
    with Store.open(storage_url) as store:
        name = store.ensure_study(make_record())
        run = store.begin_run(name, run_record)
        study = store.read_study(name)
    with Store.open(storage_url) as again:
        assert replace(again.read_study(name)) == study
        assert again.live_runs(name) == {run}
        assert optuna.load_study(study_name=name, storage=again.optuna).metric_names == ["validation accuracy"]


def test_times_are_utc(store: Store, make_record: MakeRecord, run_record: RunRecord) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    store.begin_run(store.ensure_study(make_record()), run_record)
    with store.session() as session:
        started = session.query(RunRow).one().started
    assert started.utcoffset() == timedelta(0)
    assert before < started < datetime.now(UTC) + timedelta(seconds=2)


def test_a_later_run_adds_the_share_of_the_most_frequent_class_and_the_rounds(
    store: Store, make_record: MakeRecord, run_record: RunRecord
) -> None:
    """A run of this version does so in a study of an older version."""
    name = store.ensure_study(make_record())
    store.ensure_study(make_record(majority=0.25))
    store.begin_run(name, replace(run_record, options={"final_seeds": 4}))
    store.begin_run(name, run_record)
    study = store.read_study(name)
    assert (study.majority, study.rounds) == (0.25, 4)


def test_ensuring_a_study_twice_creates_one(store: Store, make_record: MakeRecord) -> None:
    assert store.ensure_study(make_record()) == store.ensure_study(make_record())
    assert len(store.studies()) == 1


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"dataset": "cub"}, "dataset digits, not cub"),
        ({"dataset_fingerprint": "e" * 64}, "other images, labels or test images"),
        ({"backbone": "other"}, "network bundled, not other"),
        ({"weights_digest": "x" * 64}, "other weights of the network"),
        ({"protocol": {"seed": "3"}}, "seed .*, not 3"),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
def test_a_change_that_makes_scores_incomparable_makes_another_study(
    store: Store, make_record: MakeRecord, change: dict[str, object], difference: str
) -> None:
    assert store.ensure_study(make_record()) != store.ensure_study(make_record(**change))
    store.ensure_study(make_record(chosen_name="mine"))
    with pytest.raises(StorageError, match=f"'mine' was made with {difference}.*choose another `name`"):
        store.ensure_study(make_record(chosen_name="mine", **change))


def test_a_study_of_own_images_is_named_after_the_folder_and_an_old_one_keeps_its_name(
    store: Store, make_record: MakeRecord
) -> None:
    new = make_record(dataset="folder", called="red kites")
    assert store.ensure_study(new).startswith("red-kites-bundled-")
    old = make_record(dataset="folder", backbone="other")
    name = store.ensure_study(old)
    assert name.startswith("folder-other-")
    assert store.ensure_study(replace(old, called="red kites")) == name
    assert store.ensure_study(replace(old, called="red kites", chosen_name="mine")) == "mine"


def test_another_space_is_another_study(store: Store, make_record: MakeRecord, space: Space) -> None:
    assert store.ensure_study(make_record()) != store.ensure_study(make_record(space=space.narrow(pools=(1, 2))))


def test_a_study_deleted_in_the_dashboard_starts_afresh(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    name = store.ensure_study(make_record())
    run = store.begin_run(name, run_record)
    setting = next(space.settings())
    store.record_final(name, Final(setting, 0, Accuracy(1, 2), Accuracy(1, 2), 1.0, 0, 0))
    store.record_trial(name, TrialRecord(0, run, 1, setting))
    store.record_pictures(name, [Picture(0, None, 0, "a.jpg", b"jpeg")])
    optuna.delete_study(study_name=name, storage=store.optuna)
    assert store.studies() == []
    assert store.ensure_study(make_record()) == name
    assert store.read_study(name).finals == ()
    assert store.read_study(name).pictures == ()


def test_saved_options_come_from_the_last_run_that_stored_them(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    name, other = store.ensure_study(make_record()), store.ensure_study(make_record(dataset="cub"))
    saved: dict[str, object] = {"data_root": "/a folder/ü", "seed": 3, "folds": None, "flips": True}
    for options in ({"seed": 1}, saved, None):
        store.begin_run(name, replace(run_record, options=options))
    assert store.saved_options(name) == SavedOptions(space, saved)
    assert store.saved_options(other) == SavedOptions(space, None)
    with pytest.raises(StorageError, match="there is no study 'nothing'"):
        store.saved_options("nothing")


def test_a_study_is_found_by_name_or_dataset(store: Store, make_record: MakeRecord, run_record: RunRecord) -> None:
    with pytest.raises(StorageError, match="there are: none yet"):
        store.find_study()
    digits = store.ensure_study(make_record())
    cub = store.ensure_study(make_record(dataset="cub"))
    store.begin_run(digits, run_record)
    store.begin_run(cub, run_record)
    store.begin_run(digits, run_record)
    assert store.find_study() == digits
    assert store.find_study(dataset="cub") == cub
    assert store.find_study(name=digits) == digits
    assert [summary.name for summary in store.studies()] == [digits, cub]
    with pytest.raises(StorageError, match=f"no study of dataset 'pets'.*there are: {digits} of dataset digits"):
        store.find_study(dataset="pets")
    with pytest.raises(StorageError, match=f"no study '{digits}' of dataset 'cub'"):
        store.find_study(dataset="cub", name=digits)
    with pytest.raises(StorageError, match=f"; {digits} is the name of a study: use `study` {digits}; there are: "):
        store.find_study(dataset=digits)
    with pytest.raises(StorageError, match=rf"no study '{digits[:-1]}' in .*; did you mean '{digits}'\? there are: "):
        store.find_study(name=digits[:-1])
    with pytest.raises(StorageError, match=r"no study of dataset 'digit' in .*; did you mean 'digits'\? there are: "):
        store.find_study(dataset="digit")
    with pytest.raises(StorageError, match="there is no study 'nothing'"):
        store.read_study("nothing")


def test_a_name_that_differs_in_case_alone_is_refused(store: Store, make_record: MakeRecord) -> None:
    """Some disks hold one report file for both names."""
    store.ensure_study(make_record(chosen_name="shapes-test"))
    with pytest.raises(StorageError, match="`name` 'Shapes-Test' differs from study 'shapes-test' in case alone"):
        store.ensure_study(make_record(chosen_name="Shapes-Test"))
    assert store.ensure_study(make_record(chosen_name="shapes-test")) == "shapes-test"
    assert [summary.name for summary in store.studies()] == ["shapes-test"]


def test_of_several_studies_the_tested_one_with_most_trials_answers(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    """Neither the one that ran last does, nor one without a complete trial."""
    names = [store.ensure_study(make_record(chosen_name=name)) for name in ("few", "many", "tested", "empty")]
    setting = next(space.settings())
    for name, trials in zip(names, (1, 4, 2, 0), strict=True):
        run = store.begin_run(name, run_record)
        for number in range(trials):
            store.record_trial(name, TrialRecord(number, run, 1, setting))
            add_trial(store, name, space, run, setting, TrialState.COMPLETE, value=0.5)
        store.end_run(run, "finished")
    store.record_final("tested", Final(setting, 0, Accuracy(1, 2), Accuracy(1, 2), 1.0, 0, 0))
    found = store.find_studies(dataset="digits")
    assert [study.name for study in found] == ["tested", "many", "few", "empty"]
    assert choice_sentence(found, "digits") == (
        "study tested (2 finished trials, tested) is used; others of dataset digits: many (4 finished trials, not "
        "tested), few (1 finished trial, not tested), empty (no complete trial, not tested)"
    )
    assert store.find_study() == "tested"  # the last that ran, of those with a trial
    assert choice_sentence(found[:1], "digits") is None


def test_a_study_is_found_by_what_its_folder_is_called(
    store: Store, make_record: MakeRecord, run_record: RunRecord
) -> None:
    name = store.ensure_study(make_record(dataset="folder"))
    store.begin_run(name, replace(run_record, options={"data_root": "/images/red kites"}))
    assert store.find_study(dataset="red kites") == store.find_study(dataset="folder") == name


def test_exclusive_admits_one_at_a_time(storage_url: str, make_record: MakeRecord) -> None:
    inside: list[int] = []
    with Store.open(storage_url) as one, Store.open(storage_url) as other:
        name = one.ensure_study(make_record())

        def enter(store: Store) -> int:
            with store.exclusive(name):
                inside.append(1)
                most = len(inside)
                time.sleep(0.02)
                inside.pop()
            return most

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(enter, [one, other] * 5)) == [1] * 10


def test_several_drivers_may_create_one_study_at_once(storage_url: str, make_record: MakeRecord) -> None:
    with Store.open(storage_url) as one, Store.open(storage_url) as other, ThreadPoolExecutor(2) as pool:
        names = list(pool.map(lambda store: store.ensure_study(make_record()), [one, other]))
        assert len(set(names)) == len(one.studies()) == 1


def test_any_text_can_be_stored(store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space) -> None:
    """Bytes of a command or of a folder's name that are not UTF-8 are surrogates in Python."""
    odd = "a\udcffb\x00\n'😀\ud800"
    record = make_record(backbone=odd, preset=odd, classes=(odd, "one"), protocol={odd: odd})
    name = store.ensure_study(record)
    assert name.isprintable()
    run = store.begin_run(name, replace(run_record, command=odd, options={"data_root": odd}))
    store.record_pictures(name, [Picture(0, None, 0, odd, b"jpeg")])
    study, (kept,) = store.read_study(name), store.read_runs(name)
    plain = r"a\xffb\x00\x0a'😀\ud800"
    assert (study.backbone, study.preset, kept.command, study.pictures[0].name) == (plain,) * 4
    assert (study.classes, study.provenance[odd], kept.options) == ((odd, "one"), odd, {"data_root": odd})
    with pytest.raises(StorageError, match="there is no study"):
        store.read_study(odd)
    with pytest.raises(StorageError, match=r"no study ['\"]"):
        store.find_study(name=odd)
    assert store.ensure_study(record) == name
    store.end_run(run, "finished")


def test_the_largest_seeds_and_spaces_are_stored(store: Store, make_record: MakeRecord, space: Space) -> None:
    large = space.narrow(timesteps=range(1000), taps=range(1, 5))
    assert len(large) > 2**31
    study = store.ensure_study(make_record(space=large))
    setting = next(space.settings())
    store.record_final(study, Final(setting, 2**32 - 1, Accuracy(1, 2), Accuracy(1, 2), 1.0, 0, 0))
    results = store.read_study(study)
    assert (results.space_size, results.finals[0].seed) == (len(large), 2**32 - 1)
