"""What is typed, as what is meant."""

import pytest

from search.cli.options import objectives_named
from spaces import UnknownNameError
from spaces.errors import UsageError


@pytest.mark.parametrize(
    ("objectives", "metric", "named"),
    [
        (None, None, ("accuracy", False)),
        (None, "nll", ("nll", False)),
        ("accuracy", None, ("accuracy", False)),
        ("accuracy,cost", None, ("accuracy", True)),
        (" nll , cost ", None, ("nll", True)),
        ("nll,cost", "nll", ("nll", True)),
    ],
)
def test_objectives_are_a_metric_and_perhaps_the_cost(
    objectives: str | None, metric: str | None, named: tuple[str, bool]
) -> None:
    assert objectives_named(objectives, metric) == named


@pytest.mark.parametrize(
    ("objectives", "metric", "error", "words"),
    [
        (
            "accuracy,price",
            None,
            UnknownNameError,
            "unknown objective 'price'; known: accuracy, cost, mean-per-class, nll",
        ),
        ("top-5,cost", None, UnknownNameError, "unknown objective 'top-5'"),
        ("accuracy,", None, UnknownNameError, "unknown objective ''"),
        ("cost", None, UsageError, "and after it cost if wanted; got 'cost'"),
        ("cost,accuracy", None, UsageError, "got 'cost,accuracy'"),
        ("accuracy,nll", None, UsageError, "takes one metric"),
        ("accuracy,cost,cost", None, UsageError, "takes one metric"),
        ("accuracy,cost", "nll", UsageError, "--metric nll and --objectives accuracy,cost name two metrics"),
    ],
)
def test_anything_else_is_refused(objectives: str, metric: str | None, error: type[UsageError], words: str) -> None:
    with pytest.raises(error, match=words) as raised:
        objectives_named(objectives, metric)
    assert raised.value.exit_code == 2
