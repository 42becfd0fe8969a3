"""One self-contained HTML page about a recommendation: the setting to use, how sure that is, and the evidence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dashboards import formatting as sentences
from dashboards.formatting import percent, points
from dashboards.page.page import (
    PLACE_COLUMNS,
    Section,
    Table,
    estimated,
    group_table,
    placed,
    python,
    rendered,
    shortened,
    write,
)
from dashboards.screening import sentences as screened_sentences
from dashboards.screening import tables as screened
from dashboards.study import figures
from objectives.results import Recommendation, ScreenedSetting
from spaces import Architecture

CLASSES_SHOWN = 24
SETTINGS_SHOWN = 20
LEARNT_SHOWN = 10


@dataclass(frozen=True)
class About:
    """What a recommendation is of, and how to repeat it.

    dataset: its catalog name. timesteps: how many the space has. classes: their names. seconds: that screening took.
    command: for a shell, a search that goes on from here. facts: label → text, ready to print: seeds, fingerprints,
    the command that made it.
    """

    dataset: str
    backbone: str
    architecture: Architecture
    timesteps: int
    classes: Sequence[str]
    seconds: float
    command: str
    facts: Mapping[str, str] = field(default_factory=dict)


def write_recommendation(found: Recommendation, about: About, path: Path) -> Path:
    """Write the page and return `path`; it is whole or not there at all, and needs no network to be viewed.

    Raises SearchError where it cannot be written.
    """
    return write(render(found, about), path)


def render(found: Recommendation, about: About) -> str:
    """The page as HTML. Every name that comes from the data is escaped."""
    setting, architecture = found.best.setting, about.architecture
    sure = [screened_sentences.of_expected(found), sentences.of_tied(found)]
    return rendered(
        "recommendation.html",
        _sections(found, about),
        found=found,
        about=about,
        screened=_screened(found, about),
        expected=screened.estimate(found, found.best),
        chance=percent(found.chance),
        gmac=sentences.gmacs(architecture.pass_gmacs(setting)),
        share=percent(screened.share(setting, architecture)),
        cost=screened_sentences.of_screening_cost(found, about.timesteps),
        told=sure if found.better_than_chance else [screened_sentences.of_chance(found)],
        python=python(setting, architecture, about.backbone),
    )


def _sections(found: Recommendation, about: About) -> list[Section]:
    sections = [_blocks_and_timesteps(found, about.architecture), _pooling(found)]
    if found.better_than_chance and found.cheaper:
        sections.append(_cheaper(found, about.architecture))
    if found.better_than_chance and found.tied:
        sections.append(_tied(found, about.architecture))
    if found.past_tasks:
        sections.append(_learnt(found))
    return [*sections, _leaderboard(found, about.architecture), _provenance(found, about)]


def _blocks_and_timesteps(found: Recommendation, architecture: Architecture) -> Section:
    table = screened.by_block_and_timestep(found, architecture)
    images = sentences.count(len(found.comparable[0].correct), "image")
    told = [
        screened_sentences.of_cells(table),
        f"Each cell is its best pooling on the same {images}; an empty cell was not screened.",
    ]
    if table.best is not None:
        told.append("The choice goes by the squared error on the most images, not by this.")
    return Section("blocks", "Accuracy by block and timestep", tuple(told), figures.block_by_timestep_figure(table))


def _pooling(found: Recommendation) -> Section:
    pools = screened.by_pooling(found)
    return Section(
        "pooling",
        "Accuracy by pooling",
        (screened_sentences.of_pools(found),),
        figures.groups_figure("Pool size", pools, screened.MEASURED),
        group_table(f"{_caption(found)} by pool size, the side of the pooled grid", "Pool", pools, "Settings"),
    )


def _cheaper(found: Recommendation, architecture: Architecture) -> Section:
    table = Table(
        "Each the best for what it costs. Loses: to the recommended setting on the same images (95 % interval, paired)",
        (*PLACE_COLUMNS, "Cost %", "GMAC an image", "Loses points", "Images"),
        tuple(
            (
                *placed(other.screened.setting),
                f"{100 * other.cost:.1f}",
                sentences.gmacs(architecture.pass_gmacs(other.screened.setting)),
                points(other.accuracy_loss),
                f"{len(other.screened.correct):,}",
            )
            for other in found.cheaper
        ),
    )
    return Section("cheaper", "What would be cheaper", (screened_sentences.of_cheaper(found.cheaper),), table=table)


def _tied(found: Recommendation, architecture: Architecture) -> Section:
    table = _settings(
        f"The least error first. {_caption(found)}. Loses: to the recommended setting on the same images "
        "(95 % interval, paired)",
        found.tied[:SETTINGS_SHOWN],
        found,
        architecture,
        ("Loses points", lambda score: points(score.accuracy_loss(found.best))),
    )
    told = (screened_sentences.of_ties(len(table.rows), len(found.tied)),)
    return Section("tied", "What is tied with it", told, table=table)


def _learnt(found: Recommendation) -> Section:
    shown = found.past_tasks[:LEARNT_SHOWN]
    table = Table(
        f"Those that count most of {sentences.count(len(found.past_tasks), 'past task')}"
        if len(shown) < len(found.past_tasks)
        else "What it went by beside what was screened",
        ("Past task", "Rank agreement", "Weight %"),
        tuple((each.task, f"{each.agreement:.2f}", f"{100 * each.weight:.0f}") for each in shown),
    )
    return Section("learnt", "What past tasks say", (screened_sentences.of_learnt(shown),), table=table)


def _leaderboard(found: Recommendation, architecture: Architecture) -> Section:
    shown = screened.leaderboard(found, SETTINGS_SHOWN)
    table = _settings(
        f"The best {len(shown):,} of {len(found.screened):,}, those on the most images first. {_caption(found)}"
        if len(shown) > 1
        else _caption(found),
        shown,
        found,
        architecture,
        ("Images", lambda score: f"{len(score.correct):,}"),
    )
    return Section("screened", "What was screened", (screened_sentences.of_screened(found),), table=table)


def _settings(
    caption: str,
    scores: Sequence[ScreenedSetting],
    found: Recommendation,
    architecture: Architecture,
    last: tuple[str, Callable[[ScreenedSetting], str]],
) -> Table:
    """A row a score. last: a column's name, and its cell of a score. The recommended one is marked."""
    name, cell = last
    chosen = found.best.setting if found.better_than_chance else None
    return Table(
        caption,
        (*PLACE_COLUMNS, "Accuracy %", "Squared error", "GMAC an image", name),
        tuple(
            (
                *placed(score.setting),
                estimated(screened.estimate(found, score)),
                f"{score.error:.3f}",
                sentences.gmacs(architecture.pass_gmacs(score.setting)),
                cell(score),
            )
            for score in scores
        ),
        chosen=next((row for row, score in enumerate(scores) if score.setting == chosen), None),
    )


def _caption(found: Recommendation) -> str:
    settings = len(found.screened)
    allows = f", wide enough for all {settings:,} settings at once" if settings > 1 else ""
    return f"Leave-one-out accuracy (95 % interval{allows})"


def _provenance(found: Recommendation, about: About) -> Section:
    facts = {
        "Dataset": about.dataset,
        "Images": f"{found.images:,} to screen, {len(found.best.correct):,} screened",
        "Classes": f"{len(about.classes):,}: {shortened(about.classes, CLASSES_SHOWN)}",
        "Backbone": f"{about.backbone}, {len(about.architecture.blocks)} blocks",
        "Screened": _screened(found, about),
        "Passes": f"{found.passes:,}: {screened_sentences.of_screening_cost(found, about.timesteps)}",
        "Running time": sentences.duration(about.seconds),
        **about.facts,
    }
    table = Table("What is needed to repeat this screening", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)


def _screened(found: Recommendation, about: About) -> str:
    """ "648 settings at 5 of 8 timesteps"; an encoder has none."""
    settings = sentences.count(len(found.screened), "setting")
    if not about.architecture.noised:
        return settings
    read = len({score.setting.timestep for score in found.screened})
    return f"{settings} at {read} of {sentences.count(about.timesteps, 'timestep')}"
