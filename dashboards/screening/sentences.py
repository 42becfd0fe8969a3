"""What a recommendation's page says of what was screened, in one sentence each: plain text, as `sentences` has it."""

from collections import Counter
from collections.abc import Sequence

from dashboards.formatting import cell_place, count, lost, percent, place, with_interval
from dashboards.screening import tables as screened
from dashboards.study.tables import BlockByTimestep
from objectives.results import CheaperSetting, IntervalEstimate, PastTaskWeight, Recommendation


def of_expected(found: Recommendation) -> str:
    """What the accuracy of a recommended setting is."""
    images, settings = len(found.best.correct), len(found.screened)
    told = (
        f"Each of {images:,} images was classified by a ridge classifier that was fitted on the {images - 1:,} others."
    )
    if images < found.images:
        told += f" For heads that are fitted on all {found.images:,} the number is rather too low."
    return f"{told} The interval allows for the choice among {settings:,} settings." if settings > 1 else told


def of_chance(found: Recommendation) -> str:
    """What it means that no setting is better."""
    best, settings = found.best.accuracy, len(found.screened)
    which = f"The best of {settings:,} settings" if settings > 1 else "The only setting screened"
    return (
        f"{which} classifies {percent(best.value)} of {best.total:,} images rightly; always naming the most frequent "
        f"class does {percent(found.chance)}. As far as these images tell, the features know nothing of the classes. "
        "Check the labels; more images or another backbone may show more."
    )


def of_screening_cost(found: Recommendation, timesteps: int) -> str:
    """timesteps: of the space."""
    everything = found.images * timesteps
    all_of_them = f"{count(timesteps, 'timestep')} of {found.images:,} images" if timesteps > 1 else "all images"
    return f"{percent(found.passes / everything)} of the {everything:,} that {all_of_them} would take"


def of_cells(table: BlockByTimestep) -> str:
    cells = sorted(table.cells.values(), key=lambda cell: -cell.best.score)
    highest, lowest, best = cells[0], cells[-1], table.best
    if len(cells) == 1:
        return f"The only cell screened, {cell_place(highest)}, reaches {with_interval(highest.best)}."
    top = f"the highest of {len(cells):,} cells"
    if best is None:
        told = f"{top.capitalize()}, {cell_place(highest)}, reaches {with_interval(highest.best)}"
    elif best is highest:
        told = f"The recommended {cell_place(best)}, framed, is {top}: {with_interval(best.best)}"
    else:
        told = f"The recommended {cell_place(best)}, framed, reaches {with_interval(best.best)}"
        told += f"; {top}, {cell_place(highest)}, {with_interval(highest.best)}"
    if lowest is not best:
        told += f"; the lowest, {cell_place(lowest)}, {with_interval(lowest.best)}"
    return f"{told}."


def of_pools(found: Recommendation) -> str:
    best, *others = screened.best_of_pools(found)
    reaches = with_interval(screened.estimate(found, best))
    if not others:
        return f"Only pool {best.setting.pool} was screened: its best reaches {reaches}."
    second = others[0]
    loses = second.accuracy_loss(best)
    return (
        f"Pool {best.setting.pool} reaches the highest accuracy, {reaches}; on the same images the best of pool "
        f"{second.setting.pool} {lost(loses)}: {_verdict(loses)}."
    )


def of_ties(shown: int, tied: int) -> str:
    """What a tie is, above a table of so many of them."""
    first = f"The first {shown:,} of {tied:,}. " if shown < tied else ""
    return (
        f"{first}The images do not tell their squared error, which has less chance in it than the accuracy, from the "
        "least. The recommended setting is the cheapest to compute of those within a quarter of a standard error of it."
    )


def of_cheaper(alternatives: Sequence[CheaperSetting]) -> str:
    """The cheapest of those that are not told from the recommended setting, else the one that loses least."""
    held = [other for other in alternatives if other.accuracy_loss.low <= 0]
    other = (
        min(held, key=lambda each: each.cost) if held else min(alternatives, key=lambda each: each.accuracy_loss.value)
    )
    share, where, loss = percent(other.cost), place(other.screened.setting), other.accuracy_loss
    return f"At {share} of the recommended setting's cost, {where} {lost(loss)}: {_verdict(loss)}."


def of_screened(found: Recommendation) -> str:
    images = Counter(len(score.correct) for score in found.screened)
    fewest, most = min(images), max(images)
    settings = count(len(found.screened), "setting")
    if fewest == most:
        return f"{settings} on {most:,} images, the least squared error first."
    return f"{settings} on {fewest:,} images, and {images[most]:,} of them, still in the race, on {most:,}."


def of_learnt(learnt: Sequence[PastTaskWeight]) -> str:
    """The past tasks that counted most."""
    first = learnt[0]
    if first.agreement <= 0:
        return "No past task ranks these settings as this one does: what was screened here counts alone."
    among = f"of {len(learnt):,} past tasks" if len(learnt) > 1 else "the only past task"
    return (
        f"{first.task} counts most {among}: its ranks of what was screened agree by {first.agreement:.2f} (1 is the "
        "same order, 0 none). What past tasks say is weighed by this, and counts for less the more is screened."
    )


def _verdict(loses: IntervalEstimate) -> str:
    return "within the noise" if loses.low <= 0 <= loses.high else "more than the noise"
