"""What tables across datasets show, in one sentence each: plain text, as `sentences` has it."""

from collections.abc import Sequence

from dashboards.cross_dataset.tables import FAILED, MEASURABLE, OUTSIDE, AtBlock, Matrix, Regret, Row, Task
from dashboards.formatting import count, lost, points
from objectives.results import ACCURACY, IntervalEstimate

TERMS = (
    "A row is the setting that a dataset's study says to use, its head's options included; a column is where it is "
    "used. A cell is what it loses there to that dataset's own, on the same validation images; the diagonal is 0 by "
    "definition."
)


def of_rows(rows: Sequence[Row]) -> tuple[str, ...]:
    told = []
    if len(rows) > 1:
        places = len({(row.task.study.backbone, row.setting.taps, row.setting.pool) for row in rows})
        alike = "all at one place" if places == 1 else f"at {places} different places"
        alike = "no two at the same place" if places == len(rows) else alike
        several = " of one network" if len({row.task.study.backbone for row in rows}) > 1 else ""
        told.append(f"{len(rows)} best settings, {alike} of block, timestep and pool{several}.")
    others = [row for row in rows if row.task.others]
    if others:
        named = ", ".join(f"{row.task.label} ({row.task.others} more)" for row in others)
        told.append(f"Of datasets with several studies the one that ran last is shown: {named}.")
    metrics = {row.task.label: row.task.study.metric for row in rows if row.task.study.metric != ACCURACY}
    if metrics:
        named = ", ".join(f"{label} ({metric.label})" for label, metric in metrics.items())
        told.append(f"Chosen by another metric than the accuracy, which is told all the same: {named}.")
    return tuple(told)


def of_regret(cell: Regret) -> str:
    """ "On cub the setting that is best for digits loses 14.1 points (12.0 to 16.2), more than the noise"."""
    assert cell.loses is not None
    return f"On {cell.on} the setting that is best for {cell.of} {lost(cell.loses)}, {verdict(cell)}"


def verdict(cell: Regret) -> str:
    return "more than the noise" if cell.clear else "within the noise"


def of_matrix(table: Matrix) -> tuple[str, ...]:
    """The largest loss, how many there are, one setting for all, and what is missing."""
    told = []
    if table.known:
        largest = table.known[0]
        if len(table.known) == 1:
            told.append(f"{of_regret(largest)}.")
        else:
            clear = sum(cell.clear and cell.loses.value > 0 for cell in table.known if cell.loses is not None)
            told.append(
                f"{of_regret(largest)}: the largest loss of {len(table.known)}, of which "
                f"{clear if clear else 'none'} {'is' if clear == 1 else 'are'} more than the noise."
            )
    told += of_together(table)
    return (*told, *of_missing(table), TERMS)


def of_together(table: Matrix) -> tuple[str, ...]:
    if not table.together:
        return ()
    best, least = (
        table.together[0],
        min(table.together, key=lambda each: each.worst.loses.value if each.worst.loses else 0),
    )
    told = f"If one setting must do for all, that of {best.of} loses least: {points(best.mean, ' points')} on average"
    if best.worst.loses is not None and best.worst.loses.value > 0:
        told += f", at worst {points(best.worst.loses, ' points')} on {best.worst.on}"
    if least is not best and least.worst.loses is not None:
        told += f"; that of {least.of} at worst {points(least.worst.loses, ' points')} on {least.worst.on}"
    return (f"{told}.",)


def of_missing(table: Matrix) -> tuple[str, ...]:
    lacking = sum(cell.missing in MEASURABLE for cell in table.missing)
    failed, outside = (sum(cell.missing == kind for cell in table.missing) for kind in (FAILED, OUTSIDE))
    told = []
    if lacking:
        told.append(
            f"{count(lacking, 'cell')} {_are(lacking)} missing for want of a complete trial; "
            f"search report --all --measure makes {'it' if lacking == 1 else 'them'}."
        )
    if failed:
        told.append(f"{count(failed, 'cell')} {_are(failed)} missing because the trial failed.")
    if outside:
        told.append(
            f"{count(outside, 'cell')} {'stays' if outside == 1 else 'stay'} empty: the setting lies outside the space "
            "that was searched there."
        )
    return tuple(told)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def number_and_interval(difference: IntervalEstimate) -> tuple[str, str]:
    """("14.1 points", "95 % interval 12.0 to 16.2")."""
    number, _, interval = points(difference, " points").partition(" (")
    return number, f"95 % interval {interval.removesuffix(')')}"


def of_blocks(strips: Sequence[tuple[Task, Sequence[AtBlock]]]) -> tuple[str, ...]:
    """Where the settings to use lie, and what a cell is."""
    named = ", ".join(f"{_blocks(task)} on {task.label}" for task, _ in strips)
    return (
        f"The setting to use, framed, reads {named}.",
        "Each cell is the best trial at that block, whatever else it chose; an empty one was not tried.",
    )


def _blocks(task: Task) -> str:
    numbers = [str(tap.block) for tap in task.best.setting.taps]
    return f"block{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"
