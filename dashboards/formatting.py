"""Numbers as text, each in one format wherever it is shown. The text is plain: whoever prints it escapes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dashboards.tables import Cell, Estimate
from objectives.results import IntervalEstimate, Metric
from spaces import Setting
from spaces.setting import draws_text

ABBREVIATIONS = {"learning_rate": "lr", "weight_decay": "wd", "width": "w", "neighbours": "k"}
"""Options of heads as tables name them. A table says what they mean."""

NAMED = 3
"""Items that a sentence names before it counts the others."""


def gmacs(value: float) -> str:
    """Three digits, or all digits before the point: "0.312", "1,120"."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float) -> str:
    """`percent(0.675)` → "67.5 %", with a space that does not break."""
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def whole_percent(value: float) -> str:
    """`whole_percent(0.675)` → "68 %", with a space that does not break."""
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def amount(value: float, metric: Metric) -> str:
    """A metric's value with its unit: "67.5 %", or "0.312" if it has none."""
    return metric.text(value).replace(" ", "\N{NO-BREAK SPACE}")


def interval(estimate: Estimate) -> str:
    """ "63.2–71.6", without its unit."""
    return f"{estimate.metric.number(estimate.low)}–{estimate.metric.number(estimate.high)}"


def with_interval(estimate: Estimate) -> str:
    """ "67.5 % (63.2–71.6)"."""
    return f"{amount(estimate.value, estimate.metric)} ({interval(estimate)})"


def number_with_interval(estimate: Estimate) -> str:
    """ "67.5 (63.2–71.6)", for a column that names the unit."""
    return f"{estimate.metric.number(estimate.value)} ({interval(estimate)})"


def terminal_interval(estimate: Estimate | None) -> str:
    """ "67.5 % (63.2 to 71.6)", with ordinary spaces; empty for None."""
    if estimate is None:
        return ""
    low, high = map(estimate.metric.number, (estimate.low, estimate.high))
    return f"{estimate.metric.text(estimate.value)} ({low} to {high})"


def title(metric: Metric) -> str:
    """ "Mean per-class accuracy"."""
    return metric.label[0].upper() + metric.label[1:]


def with_unit(words: str, metric: Metric) -> str:
    """ "Validation accuracy (%)"."""
    return f"{words} ({metric.unit})" if metric.unit else words


def column(name: str, metric: Metric) -> str:
    """ "Validation %", the title of a column of numbers."""
    return f"{name} {metric.unit}".strip()


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


def signed(value: float) -> str:
    """ "−0.31": two decimals, with a true minus sign."""
    return f"{value + 0.0:.2f}".replace("-", "−").replace("−0.00", "0.00")


def time_unit(longest: float) -> tuple[str, float]:
    """The unit of an axis that reaches `longest` seconds, and the seconds of that unit."""
    return ("s", 1.0) if longest < 300 else ("min", 60.0) if longest < 18000 else ("h", 3600.0)


def choice_value(value: int | str | None) -> str:
    """The value of a choice, such as a block or a head; "none" for an encoder's timestep."""
    return "none" if value is None else str(value)


def head_text(setting: Setting) -> str:
    """The head with its options and, unless it is one, the noise draws: "mlp, lr 1e-3, wd 0.1, w 512"."""
    words = [setting.head] + [f"{option_name(name)} {short_number(value)}" for name, value in setting.options]
    if setting.draws != 1:
        words.append(draws_text(setting.draws))
    return ", ".join(words)


def option_name(name: str) -> str:
    """ "lr" for the learning rate; an option without an abbreviation keeps its name."""
    return ABBREVIATIONS.get(name, name.replace("_", " "))


def short_number(value: float | str | None) -> str:
    """ "1e-3" for 0.001, "0.1" for 0.1, "512" for 512."""
    if not isinstance(value, float):
        return str(value)
    if not 0 < abs(value) < 0.01:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def fitted_setting(setting: Setting, characters: int) -> str:
    """The setting in words if they fit, else with abbreviated options, else "b16 t44 p4 mlp lr1e-3 wd0.1 w512"."""
    head = head_text(setting)
    features = str(replace(setting, draws=1, options=())).removesuffix(setting.head)
    for text in (str(setting), f"{features}{head}"):
        if len(text) <= characters:
            return text
    taps = "+".join(f"b{tap.block}" + ("" if tap.timestep is None else f" t{tap.timestep}") for tap in setting.taps)
    words = [word.replace(" ", "").replace("depth", "d") for word in head.split(", ")]
    return " ".join([taps, f"p{setting.pool}", *words])


def features_text(setting: Setting) -> str:
    """The setting without its head, which screening does not choose: "block 16, t 44, pool 2"."""
    return str(setting).removesuffix(f", {setting.head}")


def cell_text(cell: Cell) -> str:
    """ "block 16, t 44"; "block 16" for an encoder."""
    block = f"block {cell.block.number}"
    return block if cell.timestep is None else f"{block}, t {cell.timestep}"


def points(difference: IntervalEstimate, unit: str = "") -> str:
    """A difference of shares in percentage points: "1.3 (−0.4 to 3.0)", with true minus signs, and no "−0.0"."""
    value, low, high = (
        f"{round(100 * share, 1) + 0.0:.1f}".replace("-", "−")
        for share in (difference.value, difference.low, difference.high)
    )
    return f"{value}{unit} ({low} to {high})"


def loss_text(loss: IntervalEstimate) -> str:
    """ "loses 1.3 points (−0.4 to 3.0)", or "gains" for a negative loss."""
    if loss.value < 0:
        return f"gains {points(IntervalEstimate(-loss.value, -loss.high, -loss.low), ' points')}"
    return f"loses {points(loss, ' points')}"


def loss_with_interval(loss: IntervalEstimate, metric: Metric) -> str:
    """A difference of scores for a column that names the unit: "1.3 (−0.4 to 3.0)"."""
    value, low, high = (
        metric.number(round(number, 4) + 0.0).replace("-", "−") for number in (loss.value, loss.low, loss.high)
    )
    return f"{value} ({low} to {high})"


def gap_text(gap: float, metric: Metric) -> str:
    """The size of a difference: "1.3 points", or "0.012" for a metric without a unit."""
    return metric.number(abs(gap)) + (" points" if metric.is_proportion else "")


def count(number: int, noun: str) -> str:
    """ "1 trial", "1,200 trials"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def other_trials(waiting: int, others: int) -> list[str]:
    """Name the trials that no number of a study counts: ["1 enqueued trial runs next"].

    waiting, others: as in StudyResults.
    """
    left_out = f"{count(others, 'other trial')} left out: no run measured {'it' if others == 1 else 'them'}"
    enqueued = f"{count(waiting, 'enqueued trial')} {'runs' if waiting == 1 else 'run'} next"
    return [text for number, text in ((waiting, enqueued), (others, left_out)) if number]


def mean_of_seeds(seeds: int) -> str:
    """ "mean of 5 seeds", or "one seed"."""
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def named_seeds(seeds: Sequence[int]) -> str:
    """ "mean of seeds 1, 2", or "seed 1"."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of seeds {', '.join(map(str, seeds))}"


def shortened(items: Sequence[object], at_most: int) -> str:
    """ "a, b and 3 more"."""
    shown = ", ".join(map(str, items[:at_most]))
    return f"{shown} and {len(items) - at_most:,} more" if len(items) > at_most else shown


def image_counts(counts: Mapping[str, int], folds: str | None) -> str:
    """ "1,200 train, 300 validation, 1,389 test".

    folds: the number of folds; None if there is one validation split. With folds the same images serve for training and
    validation, so the two counts do not add up.
    """
    train, validation, test = (f"{counts[part]:,}" for part in ("train", "validation", "test"))
    if folds is None:
        return f"{train} train, {validation} validation, {test} test"
    if train == validation:
        return f"{train} train and validate in {folds} folds, {test} test"
    return f"{validation} validation in {folds} folds, {train} train in each, {test} test"
