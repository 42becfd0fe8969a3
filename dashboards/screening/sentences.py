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
    signed,
    with_interval,
)
from dashboards.screening import tables
from dashboards.statistics import verdict
from dashboards.tables import BlockByTimestep
from objectives.results import ACCURACY, ComparedSetting, PastTaskWeight, ScreeningResults
from spaces import Architecture

EFFECTIVE_RANK_WARNING = (
    "It needs no labels, and it is no measure of quality: on digits and CUB, among settings of one pool size, its rank "
    "correlation with the accuracy was -0.41 and -0.04, where that of the leave-one-out error was 0.83 and 0.97."
)
"""Numbers of docs/data/label-free.json: "entropy" and "leave-one-out" at pool 4."""


def recommendation_lines(
    recommendation: ScreeningResults, architecture: Architecture, timesteps: int, command: str, report: object
) -> list[str]:
    """Lines for a terminal: the setting, its expected accuracy, its cost, ties, cheaper settings, and what comes next.

    timesteps: how many the space has. command: a shell command that starts a search from here. report: the page.
    """
    setting, expected = recommendation.best.setting, recommendation.expected
    low, high = map(ACCURACY.number, (expected.low, expected.high))
    accuracy = [
        f"{ACCURACY.text(expected.value)}  (95 % interval {low} to {high}; {measured_text(recommendation)})",
        *([extrapolation_sentence(recommendation)] if tables.is_extrapolated(recommendation) else []),
    ]
    chance = [f"{ACCURACY.text(recommendation.chance)}, the share of the most frequent class"]
    screening = {
        "screened": [
            f"{screened_text(recommendation, architecture, timesteps)}: "
            f"{screening_cost_text(recommendation, timesteps)}"
        ],
        "screening": [passes_text(recommendation)],
    }
    if not recommendation.better_than_chance:
        rows = {
            "setting": ["none: no setting is better than chance"],
            "accuracy": accuracy,
            "chance": chance,
            **screening,
            "report": [str(report)],
        }
    else:
        whole = f"{100 * tables.share(setting, architecture):.0f} % of the whole network"
        rows = {
            "setting": [features_text(setting)],
            "accuracy": accuracy,
            "chance": chance,
            "cost": [f"{gmacs(architecture.pass_gmacs(setting))} GMAC per image, {whole}"],
            "tied": [ties_sentence(recommendation), *disagreement_sentences(recommendation)],
            "cheaper": [
                f"{features_text(other.screened.setting)}: {100 * other.cost:.0f} % of the cost, "
                f"{comparison_text(other)}"
                for other in recommendation.cheaper[:NAMED]
            ],
            "more taps": [
                f"{features_text(other.screened.setting)}: {100 * other.cost:.0f} % of the cost, "
                f"{comparison_text(other)}"
                for other in recommendation.more_taps
            ],
            "other timestep": [
                f"{features_text(other.screened.setting)}, the best setting screened at t "
                f"{other.screened.setting.timestep}: {comparison_text(other)}, on "
                f"{count(len(other.screened.correct), 'image')}"
                for other in recommendation.other_timesteps[:NAMED]
            ],
            **screening,
            "past tasks": [
                f"{learnt.task}: weight {100 * learnt.weight:.0f} %, rank agreement {signed(learnt.agreement)}"
                for learnt in recommendation.past_tasks[:NAMED]
            ],
            "report": [str(report)],
            "next": [command],
        }
    return [f"{'' if index else name:<16}{line}" for name, lines in rows.items() for index, line in enumerate(lines)]


def measured_text(recommendation: ScreeningResults) -> str:
    """ "leave-one-out ridge on all 1,500 training images", or on a part of them."""
    images, every = len(recommendation.best.correct), recommendation.images
    which = f"all {every:,}" if images == every else f"{images:,} of {every:,}"
    less = 100 * recommendation.optimism
    choice = f", less {less:.1f} points for the choice among settings" if less >= 0.05 else ""
    return f"leave-one-out ridge on {which} training images{choice}"


def extrapolation_sentence(recommendation: ScreeningResults) -> str:
    """Say that the accuracy is not measured but extrapolated, and what was measured."""
    return (
        f"{ACCURACY.text(recommendation.corrected.value)} is measured; the rest is extrapolated to all "
        f"{recommendation.images:,} images, by the growth from half of the screened images to all of them"
    )


def passes_text(recommendation: ScreeningResults) -> str:
    """Say how many forward passes chose the setting, and how many measured it."""
    chose = f"{recommendation.passes - recommendation.measuring:,} forward passes, each of one image at one timestep"
    if not recommendation.measuring:
        return chose
    return (
        f"{chose}, chose it; {recommendation.measuring:,} more measured it, which stay in the cache for its classifier"
    )


def comparison_text(other: ComparedSetting) -> str:
    """ "loses 0.5 points (−1.2 to 2.8): tied"."""
    return f"{loss_text(other.accuracy_loss)}: {comparison_word(other)}"


def comparison_word(other: ComparedSetting) -> str:
    """Say by one word how a setting compares with the recommended one: tied, worse or better."""
    if other.tied:
        return "tied"
    return "worse" if other.accuracy_loss.value > 0 else "better"


def ties_sentence(recommendation: ScreeningResults) -> str:
    """Say which of the compared settings are as good as the recommended one."""
    others, images = len(recommendation.compared), f"{len(recommendation.best.correct):,} images"
    if not others:
        return "No other setting was compared with it."
    tied, setting = len(recommendation.tied), recommendation.best.setting
    at = f" at t {setting.timestep}" if setting.timestep is not None else ""
    compared = f"{count(others, 'other setting')}{at}"
    if not tied:
        return f"Compared on {images} with {compared}, it is tied with none."
    named = "; ".join(features_text(other.screened.setting) for other in recommendation.tied[:NAMED])
    more = f"; and {tied - NAMED:,} more" if tied > NAMED else ""
    return f"Compared on {images} with {compared}, it is tied with {tied:,}: {named}{more}."


def disagreement_sentences(recommendation: ScreeningResults) -> list[str]:
    """Say, where it is so, that accuracy would have chosen another setting than squared error did."""
    ahead = min(recommendation.compared, key=lambda other: other.accuracy_loss.value, default=None)
    if ahead is None or ahead.accuracy_loss.value >= 0:
        return []
    return [
        f"By accuracy {features_text(ahead.screened.setting)} {comparison_text(ahead)}. The choice was by squared "
        "error, which has less noise, and by cost."
    ]


def expected_accuracy_sentences(recommendation: ScreeningResults) -> str:
    """Say how the accuracy of the recommended setting was measured."""
    images, settings = len(recommendation.best.correct), len(recommendation.screened)
    told = f"Each of {images:,} images was classified by a ridge classifier fitted on the {images - 1:,} others."
    if settings > 1:
        less = f"{100 * recommendation.optimism:.1f} points"
        told += f" The best of {settings:,} settings looks better than it is: by {less}, which were subtracted."
    if tables.is_extrapolated(recommendation):
        told += f" {extrapolation_sentence(recommendation)}."
    return told


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


def screened_text(recommendation: ScreeningResults, architecture: Architecture, timesteps: int) -> str:
    """ "648 settings at 5 of 8 timesteps"; an encoder has no timesteps. timesteps: how many the space has."""
    settings = count(len(recommendation.screened), "setting")
    if not architecture.noised:
        return settings
    read = len({score.setting.timestep for score in recommendation.screened})
    return f"{settings} at {read} of {count(timesteps, 'timestep')}"


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
    if tables.estimate(recommendation, second).value == tables.estimate(recommendation, best).value:
        return f"Pools {best.setting.pool} and {second.setting.pool} reach the same highest accuracy, {reaches}."
    loss = tables.accuracy_loss(second, best, comparisons=len(recommendation.comparable))
    return (
        f"Pool {best.setting.pool} reaches the highest accuracy, {reaches}. On the same images the best setting of "
        f"pool {second.setting.pool} {loss_text(loss)}; {verdict(loss)}."
    )


def compared_sentence(recommendation: ScreeningResults) -> str:
    """Say what a tie is, and by which rule the setting was chosen."""
    images = f"{len(recommendation.best.correct):,} images"
    return (
        f"Two settings are tied if a paired test on the same {images} cannot tell their accuracies apart. All "
        "intervals of the table contain the truth together with 95 % confidence. The recommended setting is the "
        "cheapest within a quarter of a standard error of the least squared error, which has less noise than the "
        "accuracy."
    )


def cheaper_sentence(cheaper: Sequence[ComparedSetting]) -> str:
    """Name the cheapest setting that is tied, or else the one that loses least."""
    tied = [other for other in cheaper if other.tied]
    other = (
        min(tied, key=lambda other: other.cost) if tied else min(cheaper, key=lambda other: other.accuracy_loss.value)
    )
    features = features_text(other.screened.setting)
    return f"At {percent(other.cost)} of the recommended setting's cost, {features} {comparison_text(other)}."


def screened_sentence(recommendation: ScreeningResults) -> str:
    images = Counter(len(score.correct) for score in recommendation.screened)
    fewest, most = min(images), max(images)
    settings = count(len(recommendation.screened), "setting")
    if fewest == most:
        return f"{settings} on {most:,} images, the least squared error first."
    return f"{settings} on {fewest:,} images; {images[most]:,} of them, the best, on {most:,} images."


def past_tasks_sentences(learnt: Sequence[PastTaskWeight]) -> str:
    """The past tasks with the largest weights. learnt: the largest weight first."""
    first, closest = learnt[0], max(past.agreement for past in learnt)
    if closest <= 0:
        return (
            "No past task ranks the screened settings as this dataset does: the best rank agreement is "
            f"{signed(closest)} (1 is the same order, 0 no relation). So the choice rests on what was screened here. "
            "The weights below only share out the little that past tasks add."
        )
    among = f"of {len(learnt):,} past tasks" if len(learnt) > 1 else "as the only past task"
    return (
        f"{first.task} has the largest weight {among}: its ranking of the screened settings agrees by "
        f"{signed(first.agreement)} with this one (1 is the same order, 0 no relation). The weight of a past task "
        "grows with this agreement, and all past tasks count less as more is screened."
    )
