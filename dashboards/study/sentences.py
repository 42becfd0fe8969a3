"""What further tables of a study show, as `sentences`."""

from collections.abc import Sequence

from dashboards.formatting import NAMED, choice_value, count, percent, with_interval
from dashboards.study.choices import Importance, Interaction
from dashboards.study.contested import Contested, ContestedImage
from dashboards.study.published import Published
from objectives.results import Metric, Picture, StudyResults


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


def _whole(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _leader(importances: Sequence[Importance], evaluator: str) -> Importance:
    return max(importances, key=lambda each: each.shares[evaluator])


def of_contested(table: Contested) -> str:
    """What a good setting changes, and what none does."""
    always, never = percent(table.always / table.images), percent(table.never / table.images)
    return (
        f"Of {count(table.images, 'validation image')}, {always} are right with each of the best "
        f"{count(table.settings, 'trial')}, and {never} with no trial at all: no setting that was tried helps these. "
        f"Below are images that the best {table.settings:,} and the worst {table.settings:,} answer otherwise, with "
        "the share of each that has them right."
    )


def of_image(picture: Picture, image: ContestedImage, study: StudyResults) -> str:
    """Below its picture."""
    return f"{study.classes[picture.label]}: {_whole(image.good)} of the good, {_whole(image.bad)} of the bad"


def of_published(table: Published) -> tuple[str, ...]:
    """How far ours is from it, and whether settings rank alike."""
    told = []
    head = next((each for each in table.heads if each.ours and each.tested), None)
    if head is not None and head.ours is not None:
        told.append(
            f"{head.head.capitalize()} heads were published with {percent(head.accuracy)} ({head.source}); ours come "
            f"to {with_interval(head.ours)} on test images."
        )
    both = sum(each.ours is not None for each in table.cells)
    if (alike := table.rank_correlation) is not None:
        told.append(f"The rank correlation of the {both} places that both tried is {alike:.2f}.")
    if not told:
        told.append("Nothing that was published has been tried here yet.")
    told.append("Published settings were chosen on the test split, ours on validation images.")
    return tuple(told)
