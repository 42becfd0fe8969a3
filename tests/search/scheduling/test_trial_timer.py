from objectives.results import Accuracy, Epoch, Evaluation, Extracted, Rung
from search.scheduling.trial_timer import TrialTimer


def test_what_a_stopped_trial_cost_is_what_its_reports_said() -> None:
    spent = TrialTimer()
    spent.extract(Extracted(40, 100, 40))
    spent.extract(Extracted(100, 100, 20))
    told = spent.evaluation(Epoch(3, Accuracy(7, 10), -0.5))
    assert (told.passes_made, told.passes_needed, told.details, told.score) == (60, 100, {"epochs": 3}, -0.5)
    assert told.seconds.keys() == {"extract", "fit"}
    assert all(0 <= seconds < 1 for seconds in told.seconds.values())


def test_a_rung_has_told_the_seconds_before_it() -> None:
    spent = TrialTimer()
    spent.extract(Extracted(25, 25, 25))
    spent.report_rung(Rung(1, 25, Evaluation(Accuracy(1, 2), {"extract": 20.0, "read": 3.0, "fit": 10.0}, 25, 25)))
    spent.extract(Extracted(100, 100, 75))
    told = spent.evaluation(Epoch(3, Accuracy(7, 10)))
    assert (told.passes_made, told.passes_needed) == (100, 100)
    assert {phase: round(seconds) for phase, seconds in told.seconds.items()} == {"extract": 20, "read": 3, "fit": 10}
