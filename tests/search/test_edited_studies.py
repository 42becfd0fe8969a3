"""A person edits a finished study with Optuna at random. Every reader still answers, and a run still goes on."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from optuna_dashboard import save_note, wsgi
from sqlalchemy import column, delete, table, update

from objectives.results import GMACS, Accuracy, Evaluation, StudyResults
from search.api import load_study
from search.database.optuna_storage.studies import ORIGINAL
from search.database.optuna_storage.system_attributes import STUDY_SYSTEM_ATTRIBUTES
from search.database.records import DIRECTIONS, RunRecord, StudyRecord
from search.database.store import Store
from search.recommendation.past_tasks import past_tasks
from search.reports.answer import answer_lines
from search.reports.cross_dataset import networks_of
from search.reports.dashboard_sync import show
from search.reports.study_report import study_page, study_text
from search.reports.study_state import StudyState
from search.running.engine import _leaving_no_empty_study
from search.samplers.catalog import sampler_named
from search.scheduling.requests import TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import SearchError, Space, StorageError
from tests.support.studies import MakeRecord

TEXTS = ["", "😀", "\ud800", "a\x00b", "'; DROP TABLE search_studies; --", "\n\r\n", "x" * 3000, "%s{}{{", "<b>&`"]
KEYS = [
    *TEXTS,
    "run",
    "reason",
    "interrupted",
    "seconds",
    "search study",
    ORIGINAL,
    "study:metric_names",
    "worth on 3 images",
]
VALUES: list[Any] = [None, 1, 1.5, "x", [], {}, True, math.nan, math.inf, [1, {"a": 2}], "\ud800\x00", 10**30]
SCORES = [0.99, 1e300, -math.inf, math.inf]
PARAMS: dict[str, list[Any]] = {
    "timestep": [10, 90, 91, "90", 90.0, None, True, [1], math.nan],
    "block": [3, 8, 1, "8", 8.0],
    "pool": [1, 4, 3],
    "draws": [1, 2],
    "head": ["linear", "mlp", "ridge", 5, None],
    "mlp.width": [128, 512, 5],
    "taps": [1, 2],
    "x": [0],
}
OTHER: dict[str, Any] = {"params": {"x": 0.5}, "distributions": {"x": FloatDistribution(0, 1)}}


@contextmanager
def made(url: str, record: StudyRecord, run_record: RunRecord, space: Space) -> Iterator[tuple[Store, str, int]]:
    """A study of one complete, one pruned, one failed and one running trial, whose run is at work."""
    with Store.open(url) as store:
        name = store.ensure_study(record)
        run = store.begin_run(name, run_record)
        driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=9, run_id=run)
        for _ in range(4):
            driver.next_trial()
        driver.complete(0, evaluation(18))
        driver.prune(1, evaluation(12))
        driver.fail(2, "out of luck")
        yield store, name, run


def evaluation(correct: int) -> Evaluation:
    return Evaluation(Accuracy(correct, 20), {"fit": 0.5}, 7, 10, {GMACS: 0.01})


def own(results: StudyResults) -> StudyResults:
    """Return what no edit may change."""
    return replace(results, waiting=0, others=0, wall_seconds=0.0)


def edit(data: st.DataObject, store: Store, study: optuna.Study) -> None:
    """Do one thing that Optuna or Optuna Dashboard offers. Optuna may refuse it."""
    draw, storage, of_study = data.draw, store.optuna, study.study_name
    unfinished = [trial for trial in study.trials if not trial.state.is_finished() and trial.number > 3]
    params = draw(st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in PARAMS.items()}))
    score, key, value = (draw(st.sampled_from(choices)) for choices in (SCORES, KEYS, VALUES))
    text, state = draw(st.sampled_from(TEXTS)), draw(st.sampled_from([*TrialState]))
    scores = [score] * len(study.directions)
    values = scores if state == TrialState.COMPLETE else None

    def make_study() -> None:
        foreign = optuna.create_study(storage=storage, study_name=text or of_study[:5], directions=["minimize"] * 3)
        kinds: dict[str, BaseDistribution] = {"head": CategoricalDistribution(["x"])}
        foreign.add_trial(create_trial(params={"head": "x"}, distributions=kinds, values=[1.0] * 3))

    edits: dict[str, Callable[[], object]] = {
        "enqueue": lambda: study.enqueue_trial(params, user_attrs={key: value}),
        "enqueue a tried setting": lambda: study.enqueue_trial(study.trials[0].params),
        "ask": study.ask,
        "ask and suggest": lambda: study.ask({"x": FloatDistribution(0, 1)}),
        "tell": lambda: study.tell(study.ask(), scores),
        "tell nothing": lambda: study.tell(study.ask(), state=TrialState.FAIL),
        "add": lambda: study.add_trial(
            create_trial(state=state, values=values, user_attrs={key: value}, intermediate_values={3: 0.9}, **OTHER)
        ),
        "add a copy": lambda: study.add_trial(study.trials[0]),
        "end": lambda: storage.set_trial_state_values(unfinished[0]._trial_id, state, values) if unfinished else None,
        "trial's attribute": lambda: storage.set_trial_user_attr(unfinished[0]._trial_id, key, value),
        "study's attribute": lambda: study.set_user_attr(key, value),
        "study's system attribute": lambda: storage.set_study_system_attr(study._study_id, key, value),
        "note": lambda: save_note(study, text),
        "copied study": lambda: optuna.copy_study(
            from_study_name=of_study, from_storage=storage, to_storage=storage, to_study_name=text
        ),
        "foreign study": make_study,
    }
    with suppress(Exception):  # Optuna refuses what makes no sense
        edits[draw(st.sampled_from([*edits]))]()


def check_readers(store: Store, name: str, reports: Path, form: str) -> StudyResults:
    results = store.read_study(name)
    assert answer_lines(results)
    state = StudyState.of(store, name, reports)
    assert state.lines()
    assert json.dumps(state.to_dict())
    assert study_text(results, form).encode("utf-8", "surrogateescape")
    show(store, name, reports / "r.html")
    (summary,) = store.studies()
    assert (summary.complete, summary.pruned, summary.best) == (1, 1, 0.9)
    assert past_tasks(store, "c" * 64, "w" * 64) == []
    assert networks_of(store, None, ())
    assert store.find_study() == name
    return results


@pytest.mark.slow
def test_every_reader_answers_after_any_edits(
    storage_url: str, make_record: MakeRecord, run_record: RunRecord, space: Space, tmp_path: Path
) -> None:
    count = iter(range(10**6))

    @settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        number = next(count)
        url = f"sqlite:///{tmp_path}/{number}.db" if storage_url.startswith("sqlite") else storage_url
        if number and url == storage_url:  # one database for all examples
            with Store.open(url) as store:
                for study in store.optuna.get_all_studies():
                    store.optuna.delete_study(study._study_id)
        with made(url, make_record(), run_record, space) as (store, name, run):
            before = own(store.read_study(name))
            for _ in range(data.draw(st.integers(1, 6))):
                edit(data, store, store.load(name))
            form = data.draw(st.sampled_from(["html", "md", "latex", "json", "csv"]))
            assert own(check_readers(store, name, tmp_path, form)) == before
            store.end_run(run, "finished")
        with Store.open(url) as store:
            check_run(store, name, space, run_record)

    check()


def check_run(store: Store, name: str, space: Space, run_record: RunRecord) -> None:
    """Check that a run goes on: it tries what is enqueued, and ends with its budget."""
    run = store.begin_run(name, run_record)
    driver = StudyDriver(store, name, space, sampler_named("tpe", 0), seed=0, budget=4, run_id=run)
    driver.reconcile()
    waiting, tried = store.read_study(name).waiting, 0
    while isinstance(request := driver.next_trial(), TrialRequest):
        assert request.setting in space
        driver.complete(request.number, evaluation(10))
        tried += 1
    assert tried == max(waiting, 2)
    results = store.read_study(name)
    assert (results.finished, results.waiting, results.count("running")) == (2 + tried, 0, 0)


def test_a_renamed_study_is_found_by_both_names(
    store: Store, storage_url: str, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    """Optuna Dashboard renames a study by copying it and deleting the first one, also where a trial was refused."""
    name = store.ensure_study(make_record())
    run = store.begin_run(name, run_record)
    driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=9, run_id=run)
    driver.next_trial()
    driver.complete(0, evaluation(18))
    store.load(name).enqueue_trial({"timestep": 999})
    driver.reconcile()
    dashboard, status = wsgi(store.optuna), list[str]()
    body = json.dumps({"study_name": "Die schöne 😀"}).encode()
    request: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "PATH_INFO": f"/api/studies/{store.optuna_id(name)}/rename",
        "wsgi.input": BytesIO(body),
    }
    list(dashboard(request, lambda line, headers, error=None: status.append(line)))
    assert status == ["201 Created"]
    with pytest.raises(StorageError, match=r"is no longer in .*: somebody deleted or renamed it"):
        driver.next_trial()
    assert store.find_study(name="Die schöne 😀") == store.find_study(name=name) == name
    assert [trial.number for trial in store.read_study(name).complete] == [0]
    assert store.ensure_study(make_record()) == name
    assert [summary.complete for summary in store.studies()] == [1]
    assert store.names() == {name, "Die schöne 😀"}
    for either in store.names():
        assert study_page(store, either) is not None
        assert load_study(either, storage=storage_url).name == name


def rename_in_place(store: Store, old: str, new: str) -> None:
    """Rename an Optuna study in its table, so that it keeps its id."""
    studies = table("studies", column("study_name"))
    with store.session() as session:
        session.execute(update(studies).where(studies.c.study_name == old).values(study_name=new))


@pytest.mark.parametrize("copy", ["a backup", "z backup"])
def test_a_copy_is_another_study_whatever_becomes_of_the_first_one(
    store: Store, storage_url: str, make_record: MakeRecord, copy: str
) -> None:
    name = store.ensure_study(make_record())
    first = store.optuna_id(name)

    def copied(to: str) -> None:
        (study,) = (study for study in store.optuna.get_all_studies() if study._study_id == first)
        optuna.copy_study(
            from_study_name=study.study_name, from_storage=store.optuna, to_storage=store.optuna, to_study_name=to
        )

    def names() -> tuple[set[str], list[int]]:
        with Store.open(storage_url) as fresh:
            return {*fresh.names()}, [fresh.optuna_id(study.name) for study in fresh.studies()]

    copied(copy)
    assert names() == ({name}, [first])
    rename_in_place(store, name, "plain")
    assert names() == ({name, "plain"}, [first])
    copied(name)  # a copy that has even the name
    assert names() == ({name, "plain"}, [first])
    with pytest.raises(StorageError, match="no study"):
        store.find_study(name=copy)
    optuna.delete_study(study_name=name, storage=store.optuna)
    optuna.delete_study(study_name="plain", storage=store.optuna)
    assert names() == (set(), [])
    store._studies.clear()
    assert store.ensure_study(make_record()) == name
    assert store.optuna_id(name) != optuna.load_study(study_name=copy, storage=store.optuna)._study_id


def test_a_copy_that_gets_the_name_of_a_deleted_study_takes_its_place(store: Store, make_record: MakeRecord) -> None:
    """A person restores a study from a copy."""
    name, storage = store.ensure_study(make_record()), store.optuna
    optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=storage, to_study_name="backup")
    optuna.delete_study(study_name=name, storage=storage)
    rename_in_place(store, "backup", name)
    store._studies.clear()
    assert store.names() == {name}
    assert store.ensure_study(make_record()) == name
    rename_in_place(store, name, "plain")
    assert store.names() == {name, "plain"}


def test_the_first_of_studies_that_an_earlier_version_made_or_copied_is_the_original(
    store: Store, make_record: MakeRecord
) -> None:
    name, storage = store.ensure_study(make_record()), store.optuna
    with store.session() as session:
        session.execute(delete(STUDY_SYSTEM_ATTRIBUTES).where(STUDY_SYSTEM_ATTRIBUTES.c.key == ORIGINAL))
    optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=storage, to_study_name="backup")
    rename_in_place(store, name, "plain")
    store._studies.clear()
    assert store.names() == {name, "plain"}


def test_a_study_that_is_deleted_during_a_run_ends_the_run_in_words(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    name = store.ensure_study(make_record())
    driver = StudyDriver(
        store, name, space, sampler_named("random", 0), seed=0, budget=9, run_id=store.begin_run(name, run_record)
    )
    driver.next_trial()
    optuna.delete_study(study_name=name, storage=store.optuna)
    for act in (
        driver.next_trial,
        lambda: driver.report_epoch(0, 1, 0.5),
        lambda: driver.complete(0, evaluation(18)),
        driver.abandon,
        lambda: show(store, name, Path("r.html")),
    ):
        with pytest.raises(StorageError, match=r"no longer in|there is no study"):
            act()
    assert store.studies() == []


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED])
def test_a_run_goes_on_after_a_person_ended_its_trial(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space, state: TrialState
) -> None:
    name = store.ensure_study(make_record())
    driver = StudyDriver(
        store, name, space, sampler_named("random", 0), seed=0, budget=1, run_id=store.begin_run(name, run_record)
    )
    driver.next_trial()
    store.load(name).tell(0, 0.99 if state == TrialState.COMPLETE else None, state=state)
    assert driver.report_epoch(0, 1, 0.5)
    driver.complete(0, evaluation(18))
    request = driver.next_trial()
    assert isinstance(request, TrialRequest)
    driver.complete(request.number, evaluation(12))
    results = store.read_study(name)
    assert [trial.number for trial in results.complete] == [1]
    assert results.others == (state != TrialState.FAIL)
    assert [trial.reason for trial in results.trials if trial.state == "failed"] == (
        ["ended with Optuna, not by a run"] if state == TrialState.FAIL else []
    )


@pytest.mark.parametrize("directions", [[StudyDirection.MINIMIZE], [StudyDirection.MAXIMIZE], [*DIRECTIONS]])
def test_a_study_of_another_program_is_not_used(
    store: Store, make_record: MakeRecord, run_record: RunRecord, directions: list[StudyDirection]
) -> None:
    optuna.create_study(storage=store.optuna, study_name="mine", directions=directions)
    with pytest.raises(StorageError, match=r"study 'mine' in .* was made by another program"):
        store.ensure_study(make_record(chosen_name="mine"))
    assert store.studies() == []
    with pytest.raises(SearchError, match="there are: none yet"):
        store.find_study(name="mine")


def test_a_study_without_results_is_discarded(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    name = store.ensure_study(make_record())
    run = store.begin_run(name, run_record)
    driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=9, run_id=run)
    driver.next_trial()
    store.discard_unused(name)  # a run is at work
    assert len(store.studies()) == 1
    driver.abandon()
    store.end_run(run, "failed")
    store.discard_unused(name)
    assert store.studies() == []
    assert optuna.get_all_study_names(store.optuna) == []
    assert store.ensure_study(make_record()) == name


def test_a_study_in_which_something_was_found_out_is_kept(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    name = store.ensure_study(make_record())
    run = store.begin_run(name, run_record)
    driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=9, run_id=run)
    driver.next_trial()
    driver.fail(0, "the worker process died", by_machine=True)
    store.end_run(run, "failed")
    store.discard_unused(name)
    assert len(store.studies()) == 1


@pytest.mark.parametrize(("error", "left"), [(SearchError("no worker can start"), 0), (KeyboardInterrupt(), 1)])
def test_a_failed_start_leaves_no_study_and_a_stopped_one_does(
    store: Store, make_record: MakeRecord, error: BaseException, left: int
) -> None:
    name = store.ensure_study(make_record())
    with pytest.raises(type(error)), _leaving_no_empty_study(store, name):
        raise error
    assert len(store.studies()) == left
