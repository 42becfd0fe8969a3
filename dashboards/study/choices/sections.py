"""The sections of a study's report about its choices: block, timestep, pooling, head, and their interaction."""

from collections.abc import Callable, Sequence

from dashboards.formatting import choice_value, number_with_interval, title, with_unit
from dashboards.page.figures import block_by_timestep_figure, expected_figure, group_table, groups_figure
from dashboards.page.page import Section, Table
from dashboards.selection.answer import answer_setting
from dashboards.study import tables
from dashboards.study.choices import figures, sentences
from dashboards.study.choices.ablation import ablations
from dashboards.study.choices.sentences import choice_text
from dashboards.study.choices.tables import Importance, Interaction
from dashboards.tables import BlockByTimestep, ExpectedCells
from objectives.results import Metric, StudyResults
from spaces.setting import draws_text


def block_sections(study: StudyResults, expected: ExpectedCells | None = None) -> list[Section]:
    """Show what was tried at each block and timestep, and what a model expects of all of them."""
    table, metric = tables.block_by_timestep(study), study.metric
    if not table.cells:
        return []
    told = (
        "Each cell shows its best trial, and how many trials it has: the best of many trials is better by chance alone."
    )
    if len(tables.tap_groups(study)) > 1:
        told += " Trials with several taps are not shown."
    sections = [
        Section(
            "blocks",
            f"{title(metric)} by block and timestep",
            (sentences.block_by_timestep_sentence(table), told),
            block_by_timestep_figure(table),
            _cells(table, metric),
        )
    ]
    if expected is not None:
        sections.append(
            Section(
                "expected",
                "What the model expects, by block and timestep",
                (sentences.expected_sentence(expected, metric),),
                expected_figure(table, expected, metric),
                _expected(table, expected, metric),
            )
        )
    return sections


def _cells(found: BlockByTimestep, metric: Metric) -> Table:
    def text(block: int, timestep: int | None) -> str:
        cell = found.cells.get((block, timestep))
        return "" if cell is None else f"{metric.number(cell.best.value)} of {cell.count:,}"

    return _by_block_and_timestep(
        found,
        f"Best validation {with_unit(metric.label, metric)}, and of how many trials, at each timestep (rows) and block "
        "(columns); empty: not tried",
        text,
    )


def _expected(found: BlockByTimestep, expected: ExpectedCells, metric: Metric) -> Table:
    def text(block: int, timestep: int | None) -> str:
        cell = expected.cells.get((block, timestep))
        if cell is None:
            return ""
        return f"{metric.number(cell.value)} ({metric.number(cell.low)}–{metric.number(cell.high)})"

    return _by_block_and_timestep(
        found,
        f"Expected validation {with_unit(metric.label, metric)} (95 % interval) of the best pooling at each timestep "
        "(rows) and block (columns); not measured",
        text,
    )


def _by_block_and_timestep(found: BlockByTimestep, caption: str, text: Callable[[int, int | None], str]) -> Table:
    """A row for each timestep and a column for each block of the space."""
    blocks = [block.number for block in found.blocks]
    return Table(
        caption,
        ("Timestep", *map(str, blocks)),
        tuple((choice_value(timestep), *(text(block, timestep) for block in blocks)) for timestep in found.timesteps),
    )


def ablation_section(study: StudyResults) -> list[Section]:
    """Accuracy by block, a line a timestep, if every block was tried at every timestep; else nothing.

    The figure has the pool size and head of the answer, if all cells of these are there; the table has all of them.
    """
    complete, answer, metric = ablations(study), answer_setting(study), study.metric
    if not complete:
        return []
    kind = (answer.pool, answer.head, answer.draws) if answer else None
    shown = next((table for table in complete if (table.pool, table.head, table.draws) == kind), complete[0])
    numbers = Table(
        f"Validation {with_unit(metric.label, metric)} (95 % interval) of every block at every timestep",
        ("Pool", "Block", "Head", *(choice_text("timestep", timestep) for timestep in shown.timesteps)),
        tuple(
            (
                str(table.pool),
                str(block),
                table.head if table.draws == 1 else f"{table.head}, {draws_text(table.draws)}",
                *(number_with_interval(table.cells[block, timestep]) for timestep in table.timesteps),
            )
            for table in complete
            for block in table.blocks
        ),
    )
    told = sentences.ablation_sentences(shown, len(complete), metric)
    return [
        Section(
            "ablation",
            f"{title(metric)} by block, for each timestep",
            told,
            figures.ablation_figure(shown, metric),
            numbers,
        )
    ]


def group_sections(study: StudyResults) -> list[Section]:
    pools, heads, metric = tables.pooling_groups(study), tables.head_groups(study), study.metric
    measured, taps = f"Validation {metric.label} (95 % interval)", tables.tap_groups(study)
    several = Section(
        "taps",
        f"{title(metric)} by number of taps",
        (
            sentences.taps_sentence(taps),
            "A tap is a block at a timestep. Each timestep costs one forward pass of each image.",
        ),
        groups_figure("Taps", taps),
        group_table(f"{measured} by number of taps", "Taps", taps, "Complete trials"),
    )
    return [
        *([several] if len(taps) > 1 else []),
        Section(
            "pooling",
            f"{title(metric)} by pooling",
            (sentences.groups_sentence("Pool", pools),),
            groups_figure("Pool size", pools),
            group_table(f"{measured} by pool size, the side of the pooled grid", "Pool", pools, "Complete trials"),
        ),
        Section(
            "heads",
            f"{title(metric)} by head",
            (sentences.groups_sentence("Head", heads),),
            groups_figure("Head", heads),
            group_table(f"{measured} by head", "Head", heads, "Complete trials"),
        ),
    ]


def importance_section(importances: Sequence[Importance]) -> Section:
    """The importance of each choice, where it can be told."""
    given = [row for row in importances if row.shares]
    names = list(given[0].shares) if given else []
    rows = [
        (row.choice.capitalize(), *(_share(row, name) for name in names), row.withheld or "") for row in importances
    ]
    table = Table(
        "Importance of each choice among the settings that were tried (95 % interval)",
        ("Choice", *(f"{name} %" for name in names), "Not given"),
        tuple(rows),
    )
    figure = figures.importance_figure(given) if given else None
    told = sentences.importances_sentences(importances)
    return Section("importances", "Importance of each choice", told, figure, table)


def _share(row: Importance, name: str) -> str:
    if name not in row.shares:
        return ""
    low, high = row.intervals.get(name, (row.shares[name], row.shares[name]))
    return f"{100 * row.shares[name]:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def interaction_section(found: Interaction, metric: Metric) -> Section:
    table = Table(
        f"Best validation {with_unit(metric.label, metric)} (95 % interval) of each pair, and of how many trials; "
        "empty: not tried",
        (found.row.capitalize(), *(f"{found.column} {choice_value(value)}" for value in found.columns)),
        tuple(
            (
                choice_value(row),
                *(
                    f"{number_with_interval(pair.best)} of {pair.count:,}"
                    if (pair := found.cells.get((row, c)))
                    else ""
                    for c in found.columns
                ),
            )
            for row in found.rows
        ),
    )
    return Section(
        "interaction",
        f"{found.row.capitalize()} and {found.column} together",
        (sentences.interaction_sentence(found, metric), "Each cell shows its best trial, and of how many."),
        figures.interaction_figure(found, metric),
        table,
    )
