"""What a table of numbers shows, in one sentence each: plain text, to be escaped by whoever prints it."""

from collections.abc import Mapping, Sequence

from dashboards.summaries import (
    FINALS_PHASE,
    Answer,
    BlockByTimestep,
    Cell,
    Estimate,
    FinalistRow,
    Group,
    HistoryPoint,
    Leaderboard,
    Passes,
    Phase,
    TrialCounts,
)
from spaces import Setting

PHASES = {
    "extract": "U-Net passes",
    "wait": "waiting for another worker's passes",
    "read": "reading the cache",
    "fit": "fitting heads",
    FINALS_PHASE: "re-evaluating finalists",
}


def gmacs(value: float) -> str:
    """With three digits, and all those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float) -> str:
    """`percent(0.675)` → "67.5 %", with a space that does not break."""
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def interval(estimate: Estimate) -> str:
    """ "63.2–71.6", in percent."""
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def with_interval(estimate: Estimate) -> str:
    return f"{percent(estimate.value)} ({interval(estimate)})"


def duration(seconds: float) -> str:
    """The two largest units that matter: "0.42 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.2g}\N{NO-BREAK SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}\N{NO-BREAK SPACE}s"
    if whole < 3600:
        return f"{whole // 60}\N{NO-BREAK SPACE}min {whole % 60:02d}\N{NO-BREAK SPACE}s"
    return f"{whole // 3600:,}\N{NO-BREAK SPACE}h {whole % 3600 // 60:02d}\N{NO-BREAK SPACE}min"


def head(setting: Setting) -> str:
    """The head with its options and, where several are averaged, the noise draws: "mlp, width 128"."""
    words = [setting.head] + [f"{name.replace('_', ' ')} {value}" for name, value in setting.options]
    if setting.draws > 1:
        words.append(f"{setting.draws} draws")
    return ", ".join(words)


def phase(name: str) -> str:
    return PHASES.get(name, name)


def of_finalists(rows: Sequence[FinalistRow]) -> str:
    best, *others = rows
    if not others:
        return f"One setting was re-evaluated, over {_count(len(best.seeds), 'seed')}."
    tied = sum(row.tied for row in others)
    if not tied:
        told = "Validation tells the first from every other."
    elif tied == len(others):
        told = f"Validation cannot tell the first from {'the other' if tied == 1 else f'the {tied} others'}."
    else:
        told = f"Validation cannot tell the first from {tied} of the {len(others)} others."
    return f"{told} The test images had no say in the order."


def of_answer(answer: Answer, complete: int) -> str:
    """How sure the answer is."""
    if answer.final:
        tied = len(answer.tied)
        if not tied:
            return "No other finalist comes within the noise of its validation accuracy."
        others = "one other finalist" if tied == 1 else f"{tied} other finalists"
        return f"Validation cannot tell it from {others}; it has the highest mean."
    if complete == 1:
        return "It is the only complete trial and was not re-evaluated: no test accuracy is known."
    return (
        f"It is the best of {complete:,} noisy validation accuracies, so this one is biased upwards; "
        "no finalist was re-evaluated, and no test accuracy is known."
    )


def of_leaderboard(table: Leaderboard) -> str:
    if table.complete == 1:
        return "Only one trial is complete."
    if table.tied == 1:
        return f"The first of {table.complete:,} complete trials is ahead of all others by more than the noise."
    return (
        f"{table.tied:,} of {table.complete:,} complete trials cannot be told from the first at 95\N{NO-BREAK SPACE}%."
    )


def of_blocks_and_timesteps(table: BlockByTimestep) -> str:
    best = table.best
    if best is None:
        return "No cell was tried."
    others = [cell for cell in table.cells.values() if cell is not best]
    if not others:
        return f"The only cell tried, {_place(best)}, reaches {percent(best.best.value)}."
    tied = sum(cell.best.tied_with(best.best) for cell in others)
    worst = min(others, key=lambda cell: cell.best.value)
    return (
        f"Best at {_place(best)}: {with_interval(best.best)}; "
        f"{tied if tied else 'none'} of the other {_count(len(others), 'cell')} tried {'is' if tied == 1 else 'are'} "
        f"within its noise, and the lowest, {_place(worst)}, "
        f"reaches {percent(worst.best.value)}."
    )


def _place(cell: Cell) -> str:
    block = f"block {cell.block.number}"
    return block if cell.timestep is None else f"{block}, t {cell.timestep}"


def of_groups(kind: str, groups: Sequence[Group]) -> str:
    """`kind` is what the groups are of: "Pool", "Head"."""
    best, *others = sorted(groups, key=lambda group: -group.best.value)
    first = f"{kind} {best.name} reaches the highest accuracy, {with_interval(best.best)}"
    if not others:
        return f"Only {kind.lower()} {best.name} was tried: its best trial reaches {with_interval(best.best)}."
    second = others[0]
    gap = 100 * (best.best.value - second.best.value)
    verdict = "within the noise" if second.best.tied_with(best.best) else "more than the noise"
    return f"{first}, {gap:.1f} points above {kind.lower()} {second.name}: {verdict}."


def of_history(points: Sequence[HistoryPoint]) -> str:
    last = points[-1]
    found = next(index for index, point in enumerate(points) if point.best == last.best)
    after = len(points) - 1 - found
    first = f"The best, {percent(last.best)}, was found by trial {points[found].trial}"
    if not after:
        return f"{first}, the last complete one."
    return f"{first}; {_count(after, 'complete trial')} after it found nothing better."


def of_time(phases: Sequence[Phase]) -> str:
    longest = phases[0]
    total = sum(row.seconds for row in phases)
    return f"The longest phase, {phase(longest.name)}, took {percent(longest.share)} of the {duration(total)} of work."


def of_passes(table: Passes) -> str:
    if not table.needed:
        return "No U-Net pass was needed."
    share = percent(table.saved / table.needed)
    return f"{table.made:,} U-Net passes were made where {table.needed:,} were needed: the cache saved {share} of them."


def of_images(counts: Mapping[str, int], folds: str | None) -> str:
    """ "1,200 train, 300 validation, 1,389 test". folds: their number, None where one split validates; in folds the
    same images train and validate, so that their counts do not add up."""
    train, validation, test = (f"{counts[part]:,}" for part in ("train", "validation", "test"))
    if folds is None:
        return f"{train} train, {validation} validation, {test} test"
    if train == validation:
        return f"{train} train and validate in {folds} folds, {test} test"
    return f"{validation} validate in {folds} folds, {train} train in each, {test} test"


def of_choice(folds: str | None) -> str:
    """What settings are chosen by. folds: as for `of_images`."""
    return "on the validation split" if folds is None else f"by cross-validation in {folds} folds"


def of_trials(counts: TrialCounts) -> str:
    """ "40 trials: 37 complete, 1 pruned, 2 failed", naming only the states that occur."""
    states = (
        (counts.complete, "complete"),
        (counts.pruned, "pruned"),
        (counts.failed, "failed"),
        (counts.running, "running"),
    )
    words = [f"{number:,} {state}" for number, state in states if number]
    return f"{_count(counts.total, 'trial')}: {', '.join(words)}" if words else "no trial yet"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
