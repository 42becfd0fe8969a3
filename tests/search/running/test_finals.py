"""The rounds after the trials: which evaluations a study still lacks, as its database tells."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial

from dashboards.selection.answer import selection
from objectives.results import GMACS, Accuracy, CorrectMask, Final, ImageScores, Reevaluation
from search.database.optuna_storage.parameters import distributions, to_params
from search.database.records import RunRecord, TrialRecord
from search.database.store import Store
from search.options.run_options import RunOptions
from search.reports.answer import answer_lines, answer_record
from search.running.finals import StudyFinals
from search.scheduling.requests import FinalRequest
from spaces import Setting, Space
from tests.support.studies import MakeRecord

IMAGES = 400
OPTIONS = RunOptions("digits", final_seeds=2)


@pytest.fixture
def make_study(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> Callable[[Mapping[Setting, int]], str]:
    def make(truth: Mapping[Setting, int]) -> str:
        name = store.ensure_study(make_record(protocol={"seed": "0"}, majority=0.5))
        run = store.begin_run(name, replace(run_record, options=OPTIONS.to_record()))
        for setting, count in truth.items():
            number = len(store.load(name).get_trials())
            mask = CorrectMask(IMAGES, 2**count - 1)
            cost = {GMACS: 1.0 + number}
            store.record_trial(
                name, TrialRecord(number, run, 1, setting, Accuracy(count, IMAGES), {}, 0, 0, cost, None, mask)
            )
            trial = create_trial(
                state=TrialState.COMPLETE,
                params=to_params(setting),
                distributions=distributions(space, setting),
                user_attrs={"run": run},
                value=count / IMAGES,
            )
            store.load(name).add_trial(trial)
        return name

    return make


def evaluated(request: FinalRequest, count: int) -> Final | Reevaluation:
    accuracy = Accuracy(count, IMAGES)
    if request.test:
        return Final(request.setting, request.seed, accuracy, accuracy, 1.0, 0, 0)
    images = np.random.default_rng(request.seed).permutation(IMAGES)[:100].astype("<i4")
    scores = (images < count).astype("<f4")
    correct = Accuracy(int(scores.sum()), 100)
    return Reevaluation(
        request.setting, request.seed, correct, 1.0, 0, 0, ImageScores(images.tobytes(), scores.tobytes())
    )


def test_candidates_are_compared_round_by_round_and_the_answer_alone_is_tested(
    store: Store, make_study: Callable[[Mapping[Setting, int]], str], space: Space
) -> None:
    good, alike, worse, bad = list(space.settings())[:4]
    truth = {bad: 100, worse: 347, good: 350, alike: 349}
    name = make_study(truth)
    finals, rounds = StudyFinals(store, name, OPTIONS), []
    while requests := finals.next_round():
        rounds.append(requests)
        finals.keep(evaluated(requests[0], truth[requests[0].setting]))
        # A killed run repeats nothing: the database says what is left.
        assert StudyFinals(store, name, OPTIONS).next_round() == requests[1:] or len(requests) == 1
        for request in requests[1:]:
            finals.keep(evaluated(request, truth[request.setting]))
    first, second, last = rounds
    assert {request.setting for request in first} == {good, alike, worse}
    assert {request.setting for request in second} <= {request.setting for request in first}
    assert {(request.seed, request.test) for request in (*first, *second)} == {(1, False), (2, False)}
    study = store.read_study(name)
    chosen = selection(study)
    assert chosen is not None
    assert last == [FinalRequest(chosen.answer.setting, 1), FinalRequest(chosen.answer.setting, 2)]
    assert {final.setting for final in study.finals} == {chosen.answer.setting}
    answer = answer_record(study)
    assert answer["setting"] == chosen.answer.setting.to_dict()
    assert answer["candidates"] == 3
    assert answer["rule"].startswith("the cheapest, then the simplest, of the candidates within")
    assert answer["better_than_chance"]
    assert 0 <= answer["expected_loss"]["value"] <= answer["expected_loss"]["interval"][1]
    lines = answer_lines(study)
    assert any(line.startswith("tied        ") for line in lines)
    assert any(line.startswith("loss        ") for line in lines)


def test_an_answer_that_guesses_is_no_better_than_chance(
    store: Store, make_study: Callable[[Mapping[Setting, int]], str], space: Space
) -> None:
    truth = dict.fromkeys(list(space.settings())[:2], 205)
    name = make_study(truth)
    finals = StudyFinals(store, name, OPTIONS)
    while requests := finals.next_round():
        for request in requests:
            finals.keep(evaluated(request, truth[request.setting]))
    study = store.read_study(name)
    assert answer_record(study)["better_than_chance"] is False
    lines = answer_lines(study)
    assert "chance      50.0 %, by always naming the most frequent class" in lines
    assert any(
        line.startswith("warning     As far as the test images tell, it is no better than chance") for line in lines
    )


def test_a_single_candidate_is_tested_at_once(
    store: Store, make_study: Callable[[Mapping[Setting, int]], str], space: Space
) -> None:
    only, *_, bad = list(space.settings())
    name = make_study({only: 390, bad: 50})
    assert StudyFinals(store, name, OPTIONS).next_round() == [FinalRequest(only, 1), FinalRequest(only, 2)]
    screened = replace(bad, head="ridge", options=())
    compared = StudyFinals(store, name, OPTIONS, lambda: screened).next_round()
    assert compared == [FinalRequest(only, 1, test=False), FinalRequest(bad, 1, test=False)]


def test_more_trials_bring_more_candidates_and_keep_the_evaluations(
    store: Store, make_study: Callable[[Mapping[Setting, int]], str], space: Space
) -> None:
    first, second, third = list(space.settings())[:3]
    truth = {first: 350, second: 349}
    name = make_study(truth)
    finals = StudyFinals(store, name, OPTIONS)
    while requests := finals.next_round():
        for request in requests:
            finals.keep(evaluated(request, truth[request.setting]))
    make_study({third: 351})
    (request,) = finals.next_round()
    assert request == FinalRequest(third, 1, test=False)
    finals.keep(evaluated(request, 351))
    assert FinalRequest(third, 2, test=False) in finals.next_round()
