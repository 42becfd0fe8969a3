"""Sentences about a screening, for its page and for the terminal: plain text, escaped by whoever prints it."""

from collections import Counter
from collections.abc import Sequence

from dashboards.formatting import (
    NAMED,
    cell_text,
    count,
    features_text,
    gmacs,
    loss_text,
    percent,
    with_interval,
)
from dashboards.screening import tables
from dashboards.statistics import verdict
from dashboards.tables import BlockByTimestep
from objectives.results import ACCURACY, CheaperSetting, PastTaskWeight, ScreeningResults
from spaces import Architecture


def recommendation_lines(recommendation: ScreeningResults, architecture: Architecture) -> list[str]:
    """Lines for a terminal: the setting, its expected accuracy, its cost, ties, and cheaper settings."""
    setting, accuracy = recommendation.best.setting, recommendation.best.accuracy
    images = len(recommendation.best.correct)
    low, high = map(ACCURACY.number, recommendation.interval)
    method = f"leave-one-out ridge on {images:,} images"
    expected = [f"{ACCURACY.text(accuracy.value)}  (95 % interval {low} to {high}; {method})"]
    passes = f"{recommendation.passes:,} forward passes, each of one image at one timestep"
    if not recommendation.better_than_chance:
        rows = {
            "setting": ["none: no setting is better than chance"],
            "accuracy": expected,
            "chance": [f"{ACCURACY.text(recommendation.chance)}, the share of the most frequent class"],
            "screening": [passes],
        }
    else:
        if images < recommendation.images:
            expected.append(f"expect slightly more from a head fitted on all {recommendation.images:,} images")
        whole = f"{100 * tables.share(setting, architecture):.0f} % of the whole network"
        rows = {
            "setting": [features_text(setting)],
            "accuracy": expected,
            "cost": [f"{gmacs(architecture.pass_gmacs(setting))} GMAC per image, {whole}"],
            "tied": [ties_sentence(recommendation)],
            "cheaper": [
                f"{features_text(other.screened.setting)}: {100 * other.cost:.0f} % of the cost, "
                f"{loss_text(other.accuracy_loss)}; {verdict(other.accuracy_loss)}"
                for other in recommendation.cheaper[:NAMED]
            ],
            "screening": [passes],
            "past tasks": [
                f"{learnt.task}: weight {100 * learnt.weight:.0f} %, rank agreement {learnt.agreement:.2f}"
                for learnt in recommendation.past_tasks[:NAMED]
            ],
        }
    return [f"{'' if index else name:<12}{line}" for name, lines in rows.items() for index, line in enumerate(lines)]


def ties_sentence(recommendation: ScreeningResults) -> str:
    """Say how many other settings are as good as the recommended one."""
    others, images = len(recommendation.screened) - 1, len(recommendation.best.correct)
    if not others:
        return "It is the only setting that was screened."
    if not recommendation.tied:
        return f"Each of the {others:,} other settings has a significantly larger squared error on {images:,} images."
    tied = len(recommendation.tied)
    named = "; ".join(features_text(score.setting) for score in recommendation.tied[:NAMED])
    more = f"; and {tied - NAMED:,} more" if tied > NAMED else ""
    do = "does" if tied == 1 else "do"
    return (
        f"{tied:,} of the {others:,} other settings {do} not differ significantly in squared error on "
        f"{images:,} images: {named}{more}."
    )


def expected_accuracy_sentences(recommendation: ScreeningResults) -> str:
    """Say how the accuracy of the recommended setting was measured."""
    images, settings = len(recommendation.best.correct), len(recommendation.screened)
    told = f"Each of {images:,} images was classified by a ridge classifier fitted on the {images - 1:,} others."
    if images < recommendation.images:
        told += f" Expect slightly more from a head fitted on all {recommendation.images:,} images."
    return f"{told} The interval allows for the choice among {settings:,} settings." if settings > 1 else told


def chance_sentences(recommendation: ScreeningResults) -> str:
    """Say what it means that no setting is better than chance."""
    best, settings = recommendation.best.accuracy, len(recommendation.screened)
    which = f"The best of {settings:,} settings" if settings > 1 else "The only screened setting"
    return (
        f"{which} classifies {percent(best.value)} of {best.total:,} images correctly; always predicting the most "
        f"frequent class reaches {percent(recommendation.chance)}. On these images the features show no information "
        "about the classes. Check the labels; more images or another backbone may help."
    )


def screening_cost_text(recommendation: ScreeningResults, timesteps: int) -> str:
    """ "4.2 % of the 12,000 passes of ...". timesteps: how many the space has."""
    everything = recommendation.images * timesteps
    images = f"{recommendation.images:,} images"
    at_all = f"{images} at {count(timesteps, 'timestep')}" if timesteps > 1 else "all images"
    return f"{percent(recommendation.passes / everything)} of the {everything:,} passes that {at_all} would take"


def block_by_timestep_sentence(table: BlockByTimestep) -> str:
    cells = sorted(table.cells.values(), key=lambda cell: -cell.best.score)
    highest, lowest, best = cells[0], cells[-1], table.best
    if len(cells) == 1:
        return f"The only screened cell, {cell_text(highest)}, reaches {with_interval(highest.best)}."
    top = f"the highest of {len(cells):,} cells"
    if best is None:
        told = f"{top.capitalize()}, {cell_text(highest)}, reaches {with_interval(highest.best)}"
    elif best is highest:
        told = f"The recommended {cell_text(best)}, framed, is {top}: {with_interval(best.best)}"
    else:
        told = f"The recommended {cell_text(best)}, framed, reaches {with_interval(best.best)}"
        told += f"; {top}, {cell_text(highest)}, reaches {with_interval(highest.best)}"
    if lowest is not best:
        told += f"; the lowest, {cell_text(lowest)}, reaches {with_interval(lowest.best)}"
    return f"{told}."


def pooling_sentence(recommendation: ScreeningResults) -> str:
    best, *others = tables.best_of_pools(recommendation)
    reaches = with_interval(tables.estimate(recommendation, best))
    if not others:
        return f"Only pool {best.setting.pool} was screened: its best setting reaches {reaches}."
    second = others[0]
    loss = tables.accuracy_loss(second, best)
    return (
        f"Pool {best.setting.pool} reaches the highest accuracy, {reaches}. On the same images the best setting of "
        f"pool {second.setting.pool} {loss_text(loss)}; {verdict(loss)}."
    )


def tied_table_sentences(shown: int, tied: int) -> str:
    """Say what a tie is. shown: rows of the table below. tied: how many settings are tied."""
    first = f"The first {shown:,} of {tied:,}. " if shown < tied else ""
    return (
        f"{first}The squared error of these settings does not differ significantly from the least; it is less noisy "
        "than the accuracy. The recommended setting is the cheapest within a quarter of a standard error of the least "
        "error."
    )


def cheaper_sentence(alternatives: Sequence[CheaperSetting]) -> str:
    """The cheapest setting that is not significantly worse, or the one that loses least."""
    as_good = [other for other in alternatives if other.accuracy_loss.low <= 0]
    other = (
        min(as_good, key=lambda alternative: alternative.cost)
        if as_good
        else min(alternatives, key=lambda alternative: alternative.accuracy_loss.value)
    )
    cost, features = percent(other.cost), features_text(other.screened.setting)
    loss = other.accuracy_loss
    return f"At {cost} of the recommended setting's cost, {features} {loss_text(loss)}; {verdict(loss)}."


def screened_sentence(recommendation: ScreeningResults) -> str:
    images = Counter(len(score.correct) for score in recommendation.screened)
    fewest, most = min(images), max(images)
    settings = count(len(recommendation.screened), "setting")
    if fewest == most:
        return f"{settings} on {most:,} images, the least squared error first."
    return f"{settings} on {fewest:,} images; {images[most]:,} of them, the best, on {most:,} images."


def past_tasks_sentences(learnt: Sequence[PastTaskWeight]) -> str:
    """The past tasks with the largest weights. learnt: the largest weight first."""
    first = learnt[0]
    if first.agreement <= 0:
        return "No past task ranks these settings as this dataset does, so only what was screened here counts."
    among = f"of {len(learnt):,} past tasks" if len(learnt) > 1 else "as the only past task"
    return (
        f"{first.task} has the largest weight {among}: its ranking of the screened settings agrees by "
        f"{first.agreement:.2f} with this one (1 is the same order, 0 no relation). The weight of a past task grows "
        "with this agreement, and all past tasks count less as more is screened."
    )
