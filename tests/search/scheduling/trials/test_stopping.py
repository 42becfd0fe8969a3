import pytest

from search.scheduling.trials.stopping import Halving


@pytest.mark.parametrize(
    ("score", "others", "stops"),
    [
        (0.1, [], False),
        (0.1, [0.2], True),
        (0.2, [0.2], False),  # as good as the best
        (-3.0, [-4.0], False),
        (0.2, [0.3, 0.1], True),  # the best one of three
        (0.2, [0.3, 0.1, 0.1], False),
        (0.2, [0.3, 0.3, 0.1], True),
        (0.2, [0.3, 0.1, 0.1, 0.2, 0.1], False),
    ],
)
def test_the_better_half_so_far_is_promoted(score: float, others: list[float], stops: bool) -> None:
    assert Halving().stops(score, others) == stops


def test_a_larger_eta_stops_more_trials_and_min_others_delays_stopping() -> None:
    values = [0.5, 0.1, 0.6, 0.2, 0.55, 0.3, 0.95, 0.1]
    promoted = {
        halving: [score for index, score in enumerate(values) if not halving.stops(score, values[:index])]
        for halving in (Halving(), Halving(eta=4), Halving(min_others=4))
    }
    assert list(promoted.values()) == [[0.5, 0.6, 0.55, 0.95], [0.5, 0.6, 0.95], [0.5, 0.1, 0.6, 0.2, 0.55, 0.95]]
