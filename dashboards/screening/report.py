"""The page of a screening: the recommended setting, how certain it is, and the evidence. It needs no network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboards.formatting import count, duration, gmacs, number_with_interval, percent, points, shortened, signed
from dashboards.page.figures import block_by_timestep_figure, group_table, groups_figure
from dashboards.page.page import FEATURE_COLUMNS, Section, Table, feature_cells, python_code, render_page, write
from dashboards.screening import figures, sentences, tables
from dashboards.tables import BlockByTimestep
from objectives.results import ComparedSetting, ScreenedSetting, ScreeningResults
from spaces import Architecture, Space

CLASSES_SHOWN = 24
SETTINGS_SHOWN = 20
LEARNT_SHOWN = 10


@dataclass(frozen=True)
class ScreeningContext:
    """The screened task, and the command that repeats the screening.

    dataset: its catalog name. timesteps: how many the space has. classes: their names. seconds: the time that screening
    took. command: a shell command that starts a search from here. facts: label → text, ready to print: seeds,
    fingerprints, the command of this screening. space: all settings; None if it is not known. options: keywords of
    `search.features` that read the same features. called: what a person calls the dataset, for the title; empty for the
    catalog name.
    """

    dataset: str
    backbone: str
    architecture: Architecture
    timesteps: int
    classes: Sequence[str]
    seconds: float
    command: str
    facts: Mapping[str, str] = field(default_factory=dict)
    space: Space | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    called: str = ""


def write_recommendation(recommendation: ScreeningResults, context: ScreeningContext, path: Path) -> Path:
    """Write the page atomically and return `path`. Raises SearchError if it cannot be written."""
    return write(render(recommendation, context), path)


def render(recommendation: ScreeningResults, context: ScreeningContext) -> str:
    """The page as HTML. Every name from the data is escaped."""
    setting, architecture = recommendation.best.setting, context.architecture
    certainty = [
        sentences.expected_accuracy_sentences(recommendation),
        sentences.ties_sentence(recommendation),
        *sentences.disagreement_sentences(recommendation),
    ]
    return render_page(
        "recommendation.html",
        _sections(recommendation, context),
        recommendation=recommendation,
        context=context,
        screened=sentences.screened_text(recommendation, context.architecture, context.timesteps),
        expected=tables.expected(recommendation),
        measured=sentences.measured_text(recommendation),
        chance=percent(recommendation.chance),
        gmac=gmacs(architecture.pass_gmacs(setting)),
        share=percent(tables.share(setting, architecture)),
        cost=sentences.screening_cost_text(recommendation, context.timesteps),
        sentences=certainty if recommendation.better_than_chance else [sentences.chance_sentences(recommendation)],
        python=python_code(setting, architecture, context.dataset, context.options),
    )


def _sections(recommendation: ScreeningResults, context: ScreeningContext) -> list[Section]:
    cells = tables.block_by_timestep(recommendation, context.architecture, context.space)
    listed = [_blocks_and_timesteps(recommendation, cells), _pooling(recommendation)]
    if ranks := tables.effective_ranks(recommendation):
        listed.append(_effective_ranks(cells, ranks, recommendation.best.setting.pool))
    if recommendation.better_than_chance and recommendation.cheaper:
        listed.append(_cheaper(recommendation, context.architecture))
    if recommendation.better_than_chance and recommendation.compared:
        listed.append(_compared(recommendation, context.architecture))
    if recommendation.better_than_chance and recommendation.more_taps:
        listed.append(_more_taps(recommendation, context.architecture))
    if recommendation.better_than_chance and recommendation.other_timesteps:
        listed.append(_other_timesteps(recommendation, context.architecture))
    if recommendation.past_tasks:
        listed.append(_learnt(recommendation))
    return [*listed, _leaderboard(recommendation, context.architecture), _provenance(recommendation, context)]


def _blocks_and_timesteps(recommendation: ScreeningResults, table: BlockByTimestep) -> Section:
    images = count(len(recommendation.comparable[0].correct), "image")
    told = [
        sentences.block_by_timestep_sentence(table),
        f"Each cell shows its best pooling on the same {images}, and how many poolings were screened.",
    ]
    if table.best is not None:
        told.append("The setting was chosen by its squared error on the most images, not by this accuracy.")
    return Section("blocks", "Accuracy by block and timestep", tuple(told), block_by_timestep_figure(table))


def _effective_ranks(table: BlockByTimestep, ranks: Mapping[tuple[int, int | None], float], pool: int) -> Section:
    told = (
        f"Over how many directions the variance of each cell's features is spread: exp of the entropy of the "
        f"eigenvalues of their covariance, at pool {pool}.",
        sentences.EFFECTIVE_RANK_WARNING,
    )
    return Section(
        "effective-rank", "Effective rank by block and timestep", told, figures.effective_rank_figure(table, ranks)
    )


def _pooling(recommendation: ScreeningResults) -> Section:
    pools = tables.pooling_groups(recommendation)
    return Section(
        "pooling",
        "Accuracy by pooling",
        (sentences.pooling_sentence(recommendation),),
        groups_figure("Pool size", pools, tables.MEASURED),
        group_table(f"{_caption(recommendation)} by pool size, the side of the pooled grid", "Pool", pools, "Settings"),
    )


def _cheaper(recommendation: ScreeningResults, architecture: Architecture) -> Section:
    table = _comparisons("The best settings at lower costs", recommendation.cheaper, architecture)
    return Section("cheaper", "Cheaper settings", (sentences.cheaper_sentence(recommendation.cheaper),), table=table)


def _compared(recommendation: ScreeningResults, architecture: Architecture) -> Section:
    table = _comparisons("The least expected error first", recommendation.compared, architecture)
    told = (sentences.ties_sentence(recommendation), sentences.compared_sentence(recommendation))
    return Section("compared", "Settings compared with it", told, table=table)


def _more_taps(recommendation: ScreeningResults, architecture: Architecture) -> Section:
    table = _comparisons("Each one extends the one before it", recommendation.more_taps, architecture)
    told = (
        "A setting may read several blocks. Their features are concatenated, and one forward pass makes all of them. "
        "search run --taps 1-3 searches such settings too.",
    )
    return Section("taps", "Settings with more taps", told, table=table)


def _other_timesteps(recommendation: ScreeningResults, architecture: Architecture) -> Section:
    others = recommendation.other_timesteps
    table = _comparisons("The best setting of each other screened timestep", others, architecture)
    told = (f"Each was compared on {count(len(others[0].screened.correct), 'image')}.",)
    return Section("timesteps", "Other timesteps", told, table=table)


def _comparisons(caption: str, others: Sequence[ComparedSetting], architecture: Architecture) -> Table:
    """A table of settings beside the recommended one."""
    return Table(
        f"{caption}. Loss: against the recommended setting on the same images (simultaneous 95 % intervals)",
        (*FEATURE_COLUMNS, "Cost %", "GMAC per image", "Loss, points", "Verdict", "Images"),
        tuple(
            (
                *feature_cells(other.screened.setting),
                f"{100 * other.cost:.1f}",
                gmacs(architecture.pass_gmacs(other.screened.setting)),
                points(other.accuracy_loss),
                sentences.comparison_word(other),
                f"{len(other.screened.correct):,}",
            )
            for other in others
        ),
    )


def _learnt(recommendation: ScreeningResults) -> Section:
    shown = recommendation.past_tasks[:LEARNT_SHOWN]
    table = Table(
        f"The largest weights of {count(len(recommendation.past_tasks), 'past task')}"
        if len(shown) < len(recommendation.past_tasks)
        else "Past tasks, and the weight of each among them",
        ("Past task", "Rank agreement", "Weight %"),
        tuple((learnt.task, signed(learnt.agreement), f"{100 * learnt.weight:.0f}") for learnt in shown),
    )
    return Section("learnt", "What past tasks say", (sentences.past_tasks_sentences(shown),), table=table)


def _leaderboard(recommendation: ScreeningResults, architecture: Architecture) -> Section:
    shown = tables.ranked(recommendation, SETTINGS_SHOWN)
    table = _settings(
        f"The best {len(shown):,} of {len(recommendation.screened):,}, most images first. {_caption(recommendation)}"
        if len(shown) > 1
        else _caption(recommendation),
        shown,
        recommendation,
        architecture,
        ("Images", lambda score: f"{len(score.correct):,}"),
    )
    return Section("screened", "Screened settings", (sentences.screened_sentence(recommendation),), table=table)


def _settings(
    caption: str,
    scores: Sequence[ScreenedSetting],
    recommendation: ScreeningResults,
    architecture: Architecture,
    last: tuple[str, Callable[[ScreenedSetting], str]],
) -> Table:
    """A row for each score, the recommended one highlighted. last: the last column's title and cells."""
    name, cell = last
    chosen = recommendation.best.setting if recommendation.better_than_chance else None
    return Table(
        caption,
        (*FEATURE_COLUMNS, "Accuracy %", "Squared error", "GMAC per image", name),
        tuple(
            (
                *feature_cells(score.setting),
                number_with_interval(tables.estimate(recommendation, score)),
                f"{score.error:.3f}",
                gmacs(architecture.pass_gmacs(score.setting)),
                cell(score),
            )
            for score in scores
        ),
        chosen=next((row for row, score in enumerate(scores) if score.setting == chosen), None),
    )


def _caption(recommendation: ScreeningResults) -> str:
    settings = len(recommendation.screened)
    allows = f", wide enough for all {settings:,} settings at once" if settings > 1 else ""
    return f"Leave-one-out accuracy (95 % interval{allows})"


def _provenance(recommendation: ScreeningResults, context: ScreeningContext) -> Section:
    facts = {
        "Dataset": context.dataset,
        "Images": f"{recommendation.images:,} to screen, {len(recommendation.best.correct):,} used",
        "Classes": f"{len(context.classes):,}: {shortened(context.classes, CLASSES_SHOWN)}",
        "Backbone": f"{context.backbone}, {len(context.architecture.blocks)} blocks",
        "Screened": sentences.screened_text(recommendation, context.architecture, context.timesteps),
        "Passes": f"{recommendation.passes:,}: {sentences.screening_cost_text(recommendation, context.timesteps)}",
        "Running time": duration(context.seconds),
        **context.facts,
    }
    table = Table("Everything needed to repeat this screening", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)
