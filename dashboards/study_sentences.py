"""What further tables of a study show, as `sentences`."""

from collections.abc import Sequence

from dashboards.choices import Importance, Interaction
from dashboards.sentences import NAMED, choice_value, count, percent, with_interval
from objectives.results import Metric


def of_importances(importances: Sequence[Importance]) -> str:
    """Which choice matters, and whether the evaluators agree on it."""
    leaders = {name: _leader(importances, name) for name in importances[0].shares}
    told = [f"{name} gives {percent(each.shares[name])} to the {each.choice}" for name, each in leaders.items()]
    agree = len({each.choice for each in leaders.values()}) == 1
    if agree:
        first = next(iter(leaders.values()))
        return f"The {first.choice} matters most by both evaluators: {', '.join(told)}."
    return f"The evaluators disagree on what matters most: {', '.join(told)}."


def of_interaction(table: Interaction, metric: Metric) -> str:
    """Whether the best value of one choice depends on that of the other."""
    exceptions, compared = table.exceptions()
    value = choice_value(table.best[1])
    pair = table.cells[table.best]
    first = f"Best at {table.row} {choice_value(table.best[0])} and {table.column} {value}: {with_interval(pair.best)}."
    if not compared:
        return f"{first} No {table.row} was tried with another {table.column} beside it."
    of_all = f"the {count(compared, table.row)} where it can be compared" if compared > 1 else "the only comparison"
    if not exceptions:
        return (
            f"{first} {table.column.capitalize()} {value} is nowhere behind by more than the noise, in {of_all}: "
            "the two may be chosen apart."
        )
    named = ", ".join(choice_value(each) for each in exceptions[:NAMED])
    more = f" and {len(exceptions) - NAMED:,} more" if len(exceptions) > NAMED else ""
    return (
        f"{first} {table.column.capitalize()} {value} is behind by more than the noise at {table.row} {named}{more}, "
        f"of {of_all}: the two must be chosen together."
    )


def _leader(importances: Sequence[Importance], evaluator: str) -> Importance:
    return max(importances, key=lambda each: each.shares[evaluator])
