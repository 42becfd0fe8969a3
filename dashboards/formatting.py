"""What a table of numbers shows, in one sentence each: plain text, to be escaped by whoever prints it."""

from collections.abc import Mapping, Sequence

from dashboards.screening import tables as screened
from dashboards.study.scores import Confusions
from dashboards.study.tables import (
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
from dashboards.study.tradeoff import TradeOff
from objectives.results import ACCURACY, IntervalEstimate, Metric, Recommendation
from spaces import Architecture, Setting

PHASES = {
    "extract": "U-Net passes",
    "wait": "waiting for another worker's passes",
    "read": "reading the cache",
    "fit": "fitting heads",
    FINALS_PHASE: "re-evaluating finalists",
}
NAMED = 3
"""Settings that a sentence names before it counts the others."""


def gmacs(value: float) -> str:
    """With three digits, and all those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float) -> str:
    """`percent(0.675)` → "67.5 %", with a space that does not break."""
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def amount(value: float, metric: Metric) -> str:
    """With its unit: "67.5 %", or "0.312" where it has none."""
    return metric.text(value).replace(" ", "\N{NO-BREAK SPACE}")


def interval(estimate: Estimate) -> str:
    """ "63.2–71.6", without its unit."""
    return f"{estimate.metric.number(estimate.low)}–{estimate.metric.number(estimate.high)}"


def with_interval(estimate: Estimate) -> str:
    return f"{amount(estimate.value, estimate.metric)} ({interval(estimate)})"


def title(metric: Metric) -> str:
    """ "Mean per-class accuracy"."""
    return metric.label[0].upper() + metric.label[1:]


def with_unit(words: str, metric: Metric) -> str:
    """ "Validation accuracy (%)"."""
    return f"{words} ({metric.unit})" if metric.unit else words


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


def time_unit(longest: float) -> tuple[str, float]:
    """For an axis up to so many seconds: the unit, and its seconds."""
    return ("s", 1.0) if longest < 300 else ("min", 60.0) if longest < 18000 else ("h", 3600.0)


def choice_value(value: int | str | None) -> str:
    """Of a block, timestep, pool, head or number of draws."""
    return "none" if value is None else str(value)


def head(setting: Setting) -> str:
    """The head with its options and, where several are averaged, the noise draws: "mlp, width 128"."""
    words = [setting.head] + [f"{name.replace('_', ' ')} {value}" for name, value in setting.options]
    if setting.draws > 1:
        words.append(f"{setting.draws} draws")
    return ", ".join(words)


def place(setting: Setting) -> str:
    """Without the head, which screening does not choose: "block 16, t 44, pool 2"."""
    return str(setting).removesuffix(f", {setting.head}")


def points(difference: IntervalEstimate, unit: str = "") -> str:
    """Of shares, in points: "1.3 (−0.4 to 3.0)", with a minus that is one, and none before zero."""
    value, low, high = (
        f"{round(100 * share, 1) + 0.0:.1f}".replace("-", "−")
        for share in (difference.value, difference.low, difference.high)
    )
    return f"{value}{unit} ({low} to {high})"


def lost(loses: IntervalEstimate) -> str:
    """ "loses 1.3 points (−0.4 to 3.0)", or "gains"."""
    if loses.value < 0:
        return f"gains {points(IntervalEstimate(-loses.value, -loses.high, -loses.low), ' points')}"
    return f"loses {points(loses, ' points')}"


def phase(name: str) -> str:
    return PHASES.get(name, name)


def of_finalists(rows: Sequence[FinalistRow]) -> str:
    best, *others = rows
    if not others:
        return f"One setting was re-evaluated, over {count(len(best.seeds), 'seed')}."
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
    metric = answer.validation.metric
    if answer.final:
        tied = len(answer.tied)
        if not tied:
            return f"No other finalist comes within the noise of its validation {metric.label}."
        others = "one other finalist" if tied == 1 else f"{tied} other finalists"
        extreme = "highest" if metric.higher_is_better else "lowest"
        return f"Validation cannot tell it from {others}; it has the {extreme} mean."
    if complete == 1:
        return "It is the only complete trial and was not re-evaluated: no test accuracy is known."
    return (
        f"It is the best of {complete:,} noisy validation {_plural(metric)}, so this one is biased "
        f"{'upwards' if metric.higher_is_better else 'downwards'}; "
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
        return f"The only cell tried, {cell_place(best)}, reaches {amount(best.best.value, best.best.metric)}."
    tied = sum(cell.best.tied_with(best.best) for cell in others)
    worst = min(others, key=lambda cell: cell.best.score)
    far = "lowest" if best.best.metric.higher_is_better else "highest"
    return (
        f"Best at {cell_place(best)}: {with_interval(best.best)}; "
        f"{tied if tied else 'none'} of the other {count(len(others), 'cell')} tried {'is' if tied == 1 else 'are'} "
        f"within its noise, and the {far}, {cell_place(worst)}, "
        f"reaches {amount(worst.best.value, worst.best.metric)}."
    )


def cell_place(cell: Cell) -> str:
    block = f"block {cell.block.number}"
    return block if cell.timestep is None else f"{block}, t {cell.timestep}"


def of_groups(kind: str, groups: Sequence[Group]) -> str:
    """`kind` is what the groups are of: "Pool", "Head"."""
    best, *others = sorted(groups, key=lambda group: -group.best.score)
    metric = best.best.metric
    superlative, above = ("highest", "above") if metric.higher_is_better else ("lowest", "below")
    first = f"{kind} {best.name} reaches the {superlative} {metric.label}, {with_interval(best.best)}"
    if not others:
        return f"Only {kind.lower()} {best.name} was tried: its best trial reaches {with_interval(best.best)}."
    second = others[0]
    gap = metric.number(abs(best.best.value - second.best.value)) + (" points" if metric.is_proportion else "")
    verdict = "within the noise" if second.best.tied_with(best.best) else "more than the noise"
    return f"{first}, {gap} {above} {kind.lower()} {second.name}: {verdict}."


def of_taps(groups: Sequence[Group]) -> str:
    """Whether reading several taps pays. groups: fewest taps first."""
    one, best = groups[0], max(groups, key=lambda group: group.best.score)
    metric = one.best.metric
    taps = f"{best.name} taps" if best.name != "1" else "one tap"
    first = f"Best with {taps}: {with_interval(best.best)}"
    if best is one:
        return f"{first}; more taps gain nothing."
    gap = metric.number(abs(best.best.value - one.best.value)) + (" points" if metric.is_proportion else "")
    verdict = "within the noise" if one.best.tied_with(best.best) else "more than the noise"
    return f"{first}, {gap} from the best with {'one' if one.name == '1' else one.name}: {verdict}."


def of_history(points: Sequence[HistoryPoint]) -> str:
    last = points[-1]
    found = next(index for index, point in enumerate(points) if point.best == last.best)
    after = len(points) - 1 - found
    when = points[found].finished
    after_time = "" if when is None else f" after {duration(when)}"
    first = f"The best, {amount(last.best, last.metric)}, was found by trial {points[found].trial}{after_time}"
    if not after:
        return f"{first}, the last complete one."
    return f"{first}; {count(after, 'complete trial')} after it found nothing better."


def of_trade_off(table: TradeOff) -> str:
    """What the best trial costs, and what as good would cost less."""
    best, tied, first = table.best, table.tied, table.front[0]
    reached = with_interval(best.validation)
    told = f"The best trial, {best.setting}, reaches {reached} for {gmacs(best.gmacs)} GMAC an image"
    if tied is not best:
        return (
            f"{told}; validation cannot tell it from {tied.setting}, which takes {percent(tied.gmacs / best.gmacs)} of "
            f"that and reaches {with_interval(tied.validation)}."
        )
    if first is best:
        return f"{told}, and none that was tried is cheaper."
    return f"{told}; every cheaper setting is behind by more than the noise."


def of_scores(metric: Metric) -> str:
    return (
        f"The setting was chosen by its validation {metric.label} alone. Of the negative log-likelihood and of the "
        "calibration error less is better, of the others more."
    )


def of_confusions(table: Confusions) -> str:
    first, *others = table.rows
    where = f"on the validation images of {count(table.seeds, 'seed')}. The test images were not looked at for this."
    mistakes = count(table.wrong, "mistake")
    if others and others[0].images == first.images:
        return f"No pair of classes is the most frequent of the {mistakes} {where}"
    share = percent(first.images / table.wrong)
    return f"‘{first.true}’ was taken for ‘{first.predicted}’ most often, in {share} of the {mistakes} {where}"


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
    return f"{count(counts.total, 'trial')}: {', '.join(words)}" if words else "no trial yet"


def of_recommendation(found: Recommendation, architecture: Architecture) -> list[str]:
    """Lines for a terminal: the setting, how good it is, what it costs, what is as good and what would be cheaper."""
    setting, accuracy, images = found.best.setting, found.best.accuracy, len(found.best.correct)
    low, high = map(ACCURACY.number, found.interval)
    of = f"leave-one-out ridge on {images:,} images"
    expected = [f"{ACCURACY.text(accuracy.value)}  (95 % interval {low} to {high}; {of})"]
    passes = f"{found.passes:,} passes, each of an image at a timestep"
    if not found.better_than_chance:
        told = {
            "setting": ["none: no setting is better than chance"],
            "accuracy": expected,
            "chance": [f"{ACCURACY.text(found.chance)}, the share of the most frequent class"],
            "screening": [passes],
        }
    else:
        if images < found.images:
            expected.append(f"rather too low for heads fitted on all {found.images:,}")
        whole = f"{100 * screened.share(setting, architecture):.0f} % of the whole network"
        told = {
            "setting": [place(setting)],
            "accuracy": expected,
            "cost": [f"{gmacs(architecture.pass_gmacs(setting))} GMAC an image, {whole}"],
            "tied": [of_tied(found)],
            "cheaper": [
                f"{place(other.screened.setting)}: {100 * other.cost:.0f} % of the cost, {lost(other.accuracy_loss)}"
                for other in found.cheaper[:NAMED]
            ],
            "screening": [passes],
            "past tasks": [
                f"{each.task}: {100 * each.weight:.0f} % of what counts, rank agreement {each.agreement:.2f}"
                for each in found.past_tasks[:NAMED]
            ],
        }
    return [f"{'' if row else name:<12}{line}" for name, lines in told.items() for row, line in enumerate(lines)]


def of_tied(found: Recommendation) -> str:
    """How sure a recommendation is."""
    others, images = len(found.screened) - 1, len(found.best.correct)
    if not others:
        return "It is the only setting that was screened."
    if not found.tied:
        return f"None of the {others:,} other settings is tied with it: {images:,} images tell them apart."
    tied, named = len(found.tied), "; ".join(place(score.setting) for score in found.tied[:NAMED])
    more = f"; and {tied - NAMED:,} more" if tied > NAMED else ""
    are = "is" if tied == 1 else "are"
    return f"{tied:,} of the {others:,} other settings {are} tied with it on {images:,} images: {named}{more}."


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _plural(metric: Metric) -> str:
    return metric.label.removesuffix("y") + "ies" if metric.label.endswith("y") else f"{metric.label}s"
