"""Sentences about the tables across datasets: plain text, escaped by whoever prints it."""

from collections.abc import Sequence

from dashboards.cross_dataset.tables import (
    FAILED,
    MEASURABLE,
    OUTSIDE,
    BlockBest,
    Regret,
    RegretMatrix,
    SharedSetting,
    Task,
    TaskRow,
)
from dashboards.formatting import count, loss_text, points
from dashboards.statistics import verdict
from objectives.results import ACCURACY, IntervalEstimate

TERMS = (
    "A row is the best setting of one dataset, its head options included; a column is the dataset on which it is used. "
    "A cell is the accuracy it loses there against that dataset's own best setting, on the same validation images. The "
    "diagonal is 0 by definition."
)


def rows_sentences(rows: Sequence[TaskRow]) -> tuple[str, ...]:
    told = []
    if len(rows) > 1:
        features = len({(row.task.study.backbone, row.setting.taps, row.setting.pool) for row in rows})
        which = "all with the same" if features == 1 else f"with {features} different combinations of"
        which = "no two with the same" if features == len(rows) else which
        several = " of one network" if len({row.task.study.backbone for row in rows}) > 1 else ""
        told.append(f"{len(rows)} best settings, {which} block, timestep and pool{several}.")
    guessing = [row.task.label for row in rows if row.better_than_chance is False]
    if guessing:
        told.append(
            f"No better than chance, as far as the test images tell: {', '.join(guessing)}. What such a setting loses "
            "elsewhere says nothing."
        )
    others = [row for row in rows if row.task.others]
    if others:
        named = ", ".join(f"{row.task.label} ({row.task.study.name}; {row.task.others} more)" for row in others)
        told.append(f"Of several studies of a dataset, a tested one with most trials is shown: {named}.")
    metrics = {row.task.label: row.task.study.metric for row in rows if row.task.study.metric != ACCURACY}
    if metrics:
        named = ", ".join(f"{label} ({metric.label})" for label, metric in metrics.items())
        told.append(f"These settings were chosen by another metric, but their accuracy is shown: {named}.")
    return tuple(told)


def regret_sentence(cell: Regret) -> str:
    """ "On cub the best setting of digits loses 14.1 points (12.0 to 16.2); ...", with the verdict."""
    assert cell.loss is not None
    return f"On {cell.used_on} the best setting of {cell.best_of} {loss_text(cell.loss)}; {verdict(cell.loss)}"


def matrix_sentences(matrix: RegretMatrix) -> tuple[str, ...]:
    """The largest loss, how many losses are significant, one setting for all datasets, and what is missing."""
    told = []
    if matrix.known:
        told.append(f"{regret_sentence(matrix.known[0])}.")
        if len(matrix.known) > 1:
            significant = sum(
                cell.significant and cell.loss.value > 0 for cell in matrix.known if cell.loss is not None
            )
            told.append(
                f"It is the largest of {len(matrix.known)} losses, of which {significant if significant else 'none'} "
                f"{'is' if significant in (0, 1) else 'are'} significant."
            )
    told += shared_setting_sentences(matrix)
    return (*told, *missing_sentences(matrix), TERMS)


def shared_setting_sentences(matrix: RegretMatrix) -> tuple[str, ...]:
    if not matrix.shared_settings:
        return ()
    best, least = matrix.shared_settings[0], min(matrix.shared_settings, key=_worst_loss)
    told = (
        f"If one setting must serve all datasets, the best setting of {best.best_of} loses least: "
        f"{points(best.mean, ' points')} on average"
    )
    if best.worst.loss is not None and best.worst.loss.value > 0:
        told += f", at most {points(best.worst.loss, ' points')} on {best.worst.used_on}"
    if least is not best and least.worst.loss is not None:
        told += f"; that of {least.best_of} at most {points(least.worst.loss, ' points')} on {least.worst.used_on}"
    return (f"{told}.",)


def missing_sentences(matrix: RegretMatrix) -> tuple[str, ...]:
    measurable = sum(cell.missing in MEASURABLE for cell in matrix.missing)
    failed, outside = (sum(cell.missing == reason for cell in matrix.missing) for reason in (FAILED, OUTSIDE))
    told = []
    if measurable:
        told.append(
            f"{count(measurable, 'cell')} {_are(measurable)} missing because no complete trial exists; "
            f"`search report --all --measure` runs {'it' if measurable == 1 else 'them'}."
        )
    if failed:
        told.append(f"{count(failed, 'cell')} {_are(failed)} missing because the trial failed.")
    if outside:
        told.append(
            f"{count(outside, 'cell')} {'stays' if outside == 1 else 'stay'} empty because the setting is outside the "
            "space that was searched there."
        )
    return tuple(told)


def number_and_interval(difference: IntervalEstimate) -> tuple[str, str]:
    """("14.1 points", "95 % interval 12.0 to 16.2")."""
    number, _, interval = points(difference, " points").partition(" (")
    return number, f"95 % interval {interval.removesuffix(')')}"


def blocks_sentences(strips: Sequence[tuple[Task, Sequence[BlockBest]]]) -> tuple[str, ...]:
    """Say which blocks the best settings read, and what a cell shows."""
    named = ", ".join(f"{_blocks(task)} on {task.label}" for task, _ in strips)
    return (
        f"The best setting, framed, reads {named}.",
        "Each cell shows the best trial at that block, whatever its other choices; an empty cell was not tried.",
    )


def _worst_loss(shared: SharedSetting) -> float:
    return shared.worst.loss.value if shared.worst.loss else 0.0


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _blocks(task: Task) -> str:
    numbers = [str(tap.block) for tap in task.best.setting.taps]
    return f"block{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"
