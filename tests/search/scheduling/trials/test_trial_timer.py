from objectives.results import Accuracy, Epoch, Evaluation, Extracted, Rung
from search.scheduling.trials.trial_timer import TrialTimer


def test_a_stopped_trial_costs_what_its_reports_counted() -> None:
    timer = TrialTimer()
    timer.extract(Extracted(40, 100, 40))
    timer.extract(Extracted(100, 100, 20))
    evaluation = timer.evaluation(Epoch(3, Accuracy(7, 10), -0.5))
    assert (evaluation.passes_made, evaluation.passes_needed, evaluation.details, evaluation.score) == (
        60,
        100,
        {"epochs": 3},
        -0.5,
    )
    assert evaluation.seconds.keys() == {"extract", "fit"}
    assert all(0 <= seconds < 1 for seconds in evaluation.seconds.values())


def test_a_rung_includes_the_seconds_before_it() -> None:
    timer = TrialTimer()
    timer.extract(Extracted(25, 25, 25))
    timer.report_rung(Rung(1, 25, Evaluation(Accuracy(1, 2), {"extract": 20.0, "read": 3.0, "fit": 10.0}, 25, 25)))
    timer.extract(Extracted(100, 100, 75))
    evaluation = timer.evaluation(Epoch(3, Accuracy(7, 10)))
    assert (evaluation.passes_made, evaluation.passes_needed) == (100, 100)
    seconds = {phase: round(seconds) for phase, seconds in evaluation.seconds.items()}
    assert seconds == {
        "extract": 20,
        "read": 3,
        "fit": 10,
    }
