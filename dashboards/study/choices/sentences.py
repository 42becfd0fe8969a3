"""Sentences about the choices of a study: block, timestep, pooling, head, taps, and how much each matters."""

from collections.abc import Sequence

from dashboards.formatting import (
    NAMED,
    amount,
    cell_text,
    choice_value,
    count,
    gap_text,
    percent,
    with_interval,
)
from dashboards.statistics import verdict
from dashboards.study.choices.ablation import Ablation
from dashboards.study.choices.tables import Importance, Interaction
from dashboards.tables import SCREENED_ONLY, BlockByTimestep, ExpectedCells, Group
from objectives import published_results
from objectives.results import Metric
from spaces.setting import draws_text


def block_by_timestep_sentence(table: BlockByTimestep) -> str:
    """Say how the cell of the answer compares with the others, and how many cells were not tried."""
    if not table.cells:
        return "No cell was tried."
    first, *_ = table.cells.values()
    shown = table.best or first
    metric, others = shown.best.metric, [cell for cell in table.cells.values() if cell is not shown]
    if not others:
        told = [f"The only cell tried, {cell_text(shown)}, reaches {amount(shown.best.value, metric)}."]
    else:
        name = "The answer's cell" if table.best else "The best cell"
        tied = sum(cell.best.tied_with(shown.best) for cell in others)
        told = [
            f"{name}, {cell_text(shown)}, reaches {with_interval(shown.best)} {_of_trials(shown.count)}.",
            _differences_text(tied, len(others)),
        ]
        high, low = ("highest", "lowest") if metric.higher_is_better else ("lowest", "highest")
        if first is not shown:
            told.append(
                f"The {high}, {cell_text(first)}, reaches {amount(first.best.value, metric)} {_of_trials(first.count)}."
            )
        worst = min(others, key=lambda cell: cell.best.score)
        if worst is not first:
            told.append(f"The {low}, {cell_text(worst)}, reaches {amount(worst.best.value, metric)}.")
    return " ".join(filter(None, (*told, _empty_text(table))))


def _differences_text(tied: int, others: int) -> str:
    """ "12 of the 14 other cells that were tried differ from it by less than chance would." """
    if tied == others:
        which = "The other cell that was tried differs" if others == 1 else f"All {others:,} other cells tried differ"
    else:
        cells = f"{count(others, 'other cell')} that {'was' if others == 1 else 'were'} tried"
        which = f"{f'{tied:,}' if tied else 'None'} of the {cells} {'differs' if tied in (0, 1) else 'differ'}"
    return f"{which} from it by less than chance would."


def _of_trials(number: int) -> str:
    return "in its only trial" if number == 1 else f"as the best of {number:,} trials"


def _best_of(number: int) -> str:
    return "the only trial" if number == 1 else f"the best of {number:,} trials"


def _empty_text(table: BlockByTimestep) -> str:
    """ "45 of the 152 cells were not tried; 20 of these were screened." Empty if all were tried."""
    empty = table.empty
    untried = sum(map(len, empty.values()))
    if not untried:
        return ""
    screened = len(empty.get(SCREENED_ONLY, ()))
    cells = count(len(table.blocks) * len(table.timesteps), "cell")
    told = f"{untried:,} of the {cells} {'was' if untried == 1 else 'were'} not tried"
    return f"{told}; {screened:,} of these {'was' if screened == 1 else 'were'} screened." if screened else f"{told}."


def expected_sentence(expected: ExpectedCells, metric: Metric) -> str:
    """Say what the view of the expected values shows, from what it was made, and how far it can be trusted."""
    best = max(expected.cells.values(), key=lambda cell: cell.value)
    draws = "" if expected.draws == 1 else f" and {draws_text(expected.draws)}"
    return (
        f"Nothing here is measured. A Gaussian process, fitted to the {expected.trials:,} trials with the "
        f"{expected.head} head{draws}, predicts the validation {metric.label} of the best pooling of every cell, so "
        "cells with few trials and with many can be compared. The highest expectation is at "
        f"block {best.setting.block}, {choice_text('timestep', best.setting.timestep)}: {metric.text(best.value)} "
        f"(95\N{NO-BREAK SPACE}% interval {metric.number(best.low)} to {metric.number(best.high)}). Intervals are wide "
        "at timesteps without a trial."
    )


def choice_text(choice: str, value: int | str | None) -> str:
    """ "timestep 7", or "no noise"."""
    return "no noise" if value is None else f"{choice} {choice_value(value)}"


def ablation_sentences(table: Ablation, complete: int, metric: Metric) -> tuple[str, ...]:
    """Say what was held fixed, which cell is best, and how it compares with what was published.

    complete: how many pool sizes and heads have every cell.
    """
    block, timestep = table.best
    pairs = len(table.blocks) * len(table.timesteps)
    draws = "" if table.draws == 1 else f" and {draws_text(table.draws)}"
    at = "" if table.timesteps == (None,) else f" at each of {count(len(table.timesteps), 'timestep')}"
    told = [
        f"Each of {count(len(table.blocks), 'block')}{at}, with pool {table.pool} and the "
        f"{table.head} head{draws}: one trial for each of the {pairs} cells, so all compare. The "
        f"best is block {block}, {choice_text('timestep', timestep)}: {with_interval(table.cells[block, timestep])}."
    ]
    if complete > 1:
        told.append(f"The table has all {complete} combinations of pool and head that are complete.")
    both = [pair for pair in table.published if pair in table.cells]
    if both:
        told.append(
            f"Crosses are the {len(both)} published values ({published_results.SOURCE}), which were measured on the "
            "test split; ours are on validation images."
        )
    return tuple(told)


def groups_sentence(kind: str, groups: Sequence[Group]) -> str:
    """Say which group's best trial is best, of how many trials. kind: what the groups are, "Pool" or "Head"."""
    best, *others = sorted(groups, key=lambda group: -group.best.score)
    metric = best.best.metric
    superlative, above = ("highest", "above") if metric.higher_is_better else ("lowest", "below")
    if not others:
        return f"Only {kind.lower()} {best.name} was tried: its best trial reaches {with_interval(best.best)}."
    second = others[0]
    difference = best.best.difference(second.best)
    if difference.value == 0:
        kinds = f"{kind}s {best.name} and {second.name}"
        return f"{kinds} reach the same {superlative} {metric.label}, {with_interval(best.best)}, in their best trials."
    told = (
        f"{kind} {best.name} reaches the {superlative} {metric.label}, {with_interval(best.best)}, "
        f"{_of_trials(len(best.values))}. That is {gap_text(difference.value, metric)} {above} "
        f"{_best_of(len(second.values))} with {kind.lower()} {second.name}; {verdict(difference)}."
    )
    if len(best.values) > MANY_MORE * len(second.values):
        return f"{told} The best of more trials is better by chance alone, so this does not show which is better."
    return told


MANY_MORE = 1.5
"""Trials of one group for each of another, from which the best of each do not compare."""


def taps_sentence(groups: Sequence[Group]) -> str:
    """Say whether several taps are better than one. groups: fewest taps first."""
    one, best = groups[0], max(groups, key=lambda group: group.best.score)
    metric = one.best.metric
    taps = f"{best.name} taps" if best.name != "1" else "one tap"
    first = f"Best with {taps}: {with_interval(best.best)}, {_of_trials(len(best.values))}"
    if best is one:
        return f"{first}; more taps do not improve it."
    difference = best.best.difference(one.best)
    fewest = "one tap" if one.name == "1" else f"{one.name} taps"
    return (
        f"{first}, {gap_text(difference.value, metric)} from {_best_of(len(one.values))} with "
        f"{fewest}; {verdict(difference)}."
    )


def importances_sentences(importances: Sequence[Importance]) -> tuple[str, ...]:
    """Say which choice is the most important, whether the evaluators agree, and of which choices it cannot be told."""
    given = [row for row in importances if row.shares]
    withheld = [row for row in importances if row.withheld]
    told = [_leaders_sentence(given)] if given else ["How much a choice matters cannot be told from these trials."]
    if withheld:
        listed = "; ".join(f"{row.choice} ({row.withheld})" for row in withheld)
        told.append(f"No importance is given for {listed}.")
    if given:
        told.append(
            "fANOVA: the share of the variance over the values tried that a choice explains alone. PED-ANOVA: how much "
            "a choice decides whether a setting is among the best. Both have 95\N{NO-BREAK SPACE}% intervals, by a "
            "bootstrap over the trials."
        )
    return tuple(told)


def _leaders_sentence(given: Sequence[Importance]) -> str:
    leaders = {name: max(given, key=lambda row: row.shares[name]) for name in given[0].shares}
    told = [f"{name} gives {_share_text(leader, name)} to the {leader.choice}" for name, leader in leaders.items()]
    choices = {leader.choice for leader in leaders.values()}
    if len(choices) == 1:
        return f"The {choices.pop()} matters most by both evaluators: {', '.join(told)}."
    return f"The evaluators disagree on what matters most: {', '.join(told)}."


def _share_text(importance: Importance, evaluator: str) -> str:
    """ "84.8 % (78.9–89.0)"."""
    share = percent(importance.shares[evaluator])
    if evaluator not in importance.intervals:
        return share
    low, high = importance.intervals[evaluator]
    return f"{share} ({100 * low:.1f}–{100 * high:.1f})"


def interaction_sentence(table: Interaction, metric: Metric) -> str:
    """Say whether the best value of one choice depends on the value of the other."""
    exceptions, compared = table.exceptions()
    value = choice_value(table.best[1])
    pair = table.cells[table.best]
    first = (
        f"Best at {table.row} {choice_value(table.best[0])} and {table.column} {value}: {with_interval(pair.best)}, "
        f"{_of_trials(pair.count)}."
    )
    if not compared:
        return f"{first} No {table.row} was tried with two values of {table.column}, so they cannot be compared."
    of_all = (
        f"the {count(compared, table.row)} that can be compared"
        if compared > 1
        else f"the only {table.row} that can be compared"
    )
    if not exceptions:
        any_of = "any of " if compared > 1 else ""
        return (
            f"{first} {table.column.capitalize()} {value} is not significantly worse than another {table.column} at "
            f"{any_of}{of_all}: nothing shows that the two must be chosen together."
        )
    named = ", ".join(choice_value(value) for value in exceptions[:NAMED])
    more = f" and {len(exceptions) - NAMED:,} more" if len(exceptions) > NAMED else ""
    return (
        f"{first} {table.column.capitalize()} {value} is significantly worse than another {table.column} at "
        f"{table.row} {named}{more}, of {of_all}: the two must be chosen together."
    )
