"""Where to look first on a dataset that nobody has searched: what past tasks make of a place, and how it is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.formatting import count, percent, place
from dashboards.page.page import PLACE_COLUMNS, Section, Table, placed
from spaces import Setting

SHOWN = 12


@dataclass(frozen=True, slots=True)
class Standing:
    """What a past task says of the advised place.

    task: in words. weight: its share, in [0, 1], of what all say. own: the place of the same space of which it makes
    most. above: the share of the other places that it puts below the advised one. loses: to `own`, in standard
    deviations of what the task found.
    """

    task: str
    weight: float
    own: Setting
    above: float
    loses: float


@dataclass(frozen=True, slots=True)
class Advice:
    """setting: of which past tasks make most, for a task of so many classes and training images; its head is none of
    theirs to say. places: of the space. standings: the task that counts most first. command: to type for a dataset."""

    setting: Setting
    classes: int
    images: int
    places: int
    standings: tuple[Standing, ...]
    command: str


def advice_section(advice: Advice, backbone: str, id: str) -> Section:
    shown = advice.standings[:SHOWN]
    table = Table(
        "How past tasks see it. Counts: by how near a task's classes and images are in number. Above: the share of the "
        f"other {advice.places - 1:,} places that it puts below this one. Loses: to its own best place, in standard "
        "deviations of what it found"
        + (
            f". The {len(shown)} that count most of {len(advice.standings)}"
            if len(shown) < len(advice.standings)
            else ""
        ),
        ("Past task", "Counts %", "Above %", "Loses sd", *(f"Its best {name.lower()}" for name in PLACE_COLUMNS)),
        tuple(
            (
                each.task,
                f"{100 * each.weight:.0f}",
                f"{100 * each.above:.0f}",
                f"{each.loses:.2f}",
                *placed(each.own),
            )
            for each in shown
        ),
    )
    return Section(id, f"For a new dataset, with {backbone}", of_advice(advice), table=table)


def of_advice(advice: Advice) -> tuple[str, ...]:
    """What to look at first, why, and what would say more."""
    best, *_ = standings = advice.standings
    tasks = "the only past task makes" if len(standings) == 1 else f"{count(len(standings), 'past task')} together make"
    told = (
        f"Of {advice.places:,} places {tasks} most of {place(advice.setting)}, for a dataset of about "
        f"{advice.classes:,} classes and {advice.images:,} training images, as is typical of those searched."
    )
    why = f"What counts most, {best.task} ({percent(best.weight)}), puts it above {percent(best.above)} of the others"
    if len(standings) > 1:
        against = max(standings, key=lambda each: each.loses)
        why += (
            f"; what it suits least, {against.task}, loses {against.loses:.1f} standard deviations by it and would "
            f"rather have {place(against.own)}"
        )
    return told, f"{why}.", _more(standings)


def _more(standings: Sequence[Standing]) -> str:
    places = {each.own for each in standings}
    differ = f"The tasks have {len(places)} different best places: " if len(places) > 1 else ""
    more = "a few passes over the images themselves say more than the past, and search recommend makes them."
    return differ + (more if differ else more[0].upper() + more[1:])
