"""Advises where to look first on a new dataset: the block, timestep and pooling that past tasks predict to be best."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.formatting import count, features_text, percent
from dashboards.page.page import FEATURE_COLUMNS, Section, Table, feature_cells
from spaces import Setting

SHOWN = 12


@dataclass(frozen=True, slots=True)
class PastTaskRanking:
    """The rank that a past task gives the advised setting among the candidates.

    task: in words. weight: its share of the advice, in [0, 1]. best: the candidate that the past task ranks first.
    above: the share of the other candidates that it ranks below the advised setting. loss: of the advised setting
    against `best`, in standard deviations of the task's accuracies.
    """

    task: str
    weight: float
    best: Setting
    above: float
    loss: float


@dataclass(frozen=True, slots=True)
class Advice:
    """The setting that past tasks together predict to be best on a new dataset.

    setting: its head is arbitrary, for past tasks do not compare heads. classes, images: of the new dataset, about.
    candidates: how many combinations of block, timestep and pooling the space has. rankings: of the past tasks, the
    largest weight first. command: a shell command for a new dataset.
    """

    setting: Setting
    classes: int
    images: int
    candidates: int
    rankings: tuple[PastTaskRanking, ...]
    command: str


def advice_section(advice: Advice, backbone: str, id: str) -> Section:
    shown = advice.rankings[:SHOWN]
    some = f" The {len(shown)} largest weights of {len(advice.rankings)}." if len(shown) < len(advice.rankings) else ""
    table = Table(
        "How past tasks rank this setting. Weight: larger for a similar number of classes and images. "
        f"Above: the share of the other {advice.candidates - 1:,} combinations that it ranks below this one. Loss: "
        f"against the task's own best, in standard deviations of its accuracies.{some}",
        ("Past task", "Weight %", "Above %", "Loss, SD", *(f"Its best {name.lower()}" for name in FEATURE_COLUMNS)),
        tuple(
            (
                past.task,
                f"{100 * past.weight:.0f}",
                f"{100 * past.above:.0f}",
                f"{past.loss:.2f}",
                *feature_cells(past.best),
            )
            for past in shown
        ),
    )
    return Section(id, f"For a new dataset, with {backbone}", advice_sentences(advice), table=table)


def advice_sentences(advice: Advice) -> tuple[str, ...]:
    """Say what to look at first, why, and how to find out more."""
    first, *_ = rankings = advice.rankings
    tasks = "the only past task predicts" if len(rankings) == 1 else f"{count(len(rankings), 'past task')} predict"
    told = (
        f"Among {advice.candidates:,} combinations of block, timestep and pool, {tasks} "
        f"{features_text(advice.setting)} to be the best for a dataset of about {advice.classes:,} classes and "
        f"{advice.images:,} training images, which is typical of the datasets that were searched."
    )
    why = (
        f"The task with the largest weight, {first.task} ({percent(first.weight)}), ranks it above "
        f"{percent(first.above)} of the others"
    )
    if len(rankings) > 1:
        against = max(rankings, key=lambda past: past.loss)
        why += (
            f"; it suits {against.task} least, where it loses {against.loss:.1f} standard deviations against "
            f"{features_text(against.best)}"
        )
    return told, f"{why}.", _more(rankings)


def _more(rankings: Sequence[PastTaskRanking]) -> str:
    best = {past.best for past in rankings}
    differ = f"The past tasks have {len(best)} different best combinations. " if len(best) > 1 else ""
    return (
        f"{differ}A small part of the forward passes over the new images says more than past tasks do: "
        "`search recommend` makes them."
    )
