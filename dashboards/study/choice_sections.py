"""The sections of a study's report about its choices: block, timestep, pooling, head, and their interaction."""

from collections.abc import Sequence

from dashboards.formatting import choice_value, number_with_interval, title, with_unit
from dashboards.page.figures import block_by_timestep_figure, group_table, groups_figure
from dashboards.page.page import Section, Table
from dashboards.study import figures, sentences, tables
from dashboards.study.choices import Importance, Interaction
from dashboards.tables import BlockByTimestep
from objectives.results import Metric, StudyResults


def block_sections(study: StudyResults) -> list[Section]:
    table = tables.block_by_timestep(study)
    if not table.cells:
        return []
    told = "Each cell shows its best trial; an empty cell was not tried."
    if len(tables.tap_groups(study)) > 1:
        told += " Trials with several taps are not shown."
    return [
        Section(
            "blocks",
            f"{title(study.metric)} by block and timestep",
            (sentences.block_by_timestep_sentence(table), told),
            block_by_timestep_figure(table),
            _cells(table, study.metric),
        )
    ]


def _cells(found: BlockByTimestep, metric: Metric) -> Table:
    """A column for each block that was tried; a column for every block would make the table too wide."""
    blocks = sorted({block for block, _ in found.cells})
    return Table(
        f"Best validation {with_unit(metric.label, metric)} at each timestep (rows) and block (columns)",
        ("Timestep", *map(str, blocks)),
        tuple(
            (
                choice_value(timestep),
                *(
                    metric.number(cell.best.value) if (cell := found.cells.get((block, timestep))) else ""
                    for block in blocks
                ),
            )
            for timestep in found.timesteps
        ),
    )


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
    names = list(importances[0].shares)
    table = Table(
        "Importance of each choice among the settings that were tried",
        ("Choice", *(f"{name} %" for name in names)),
        tuple((row.choice.capitalize(), *(f"{100 * row.shares[name]:.1f}" for name in names)) for row in importances),
    )
    told = (
        sentences.importances_sentence(importances),
        "fANOVA: the share of the variance over the whole space that a choice explains alone. PED-ANOVA: how much a "
        "choice decides whether a setting is among the best.",
    )
    return Section("importances", "Importance of each choice", told, figures.importance_figure(importances), table)


def interaction_section(found: Interaction, metric: Metric) -> Section:
    table = Table(
        f"Best validation {with_unit(metric.label, metric)} of each pair that was tried",
        (found.row.capitalize(), *(f"{found.column} {choice_value(value)}" for value in found.columns)),
        tuple(
            (
                choice_value(row),
                *(
                    number_with_interval(found.cells[row, c].best) if (row, c) in found.cells else ""
                    for c in found.columns
                ),
            )
            for row in found.rows
        ),
    )
    return Section(
        "interaction",
        f"{found.row.capitalize()} and {found.column} together",
        (sentences.interaction_sentence(found, metric), "Each cell shows its best trial; an empty cell was not tried."),
        figures.interaction_figure(found, metric),
        table,
    )
