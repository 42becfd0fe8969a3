"""The evidence of a study, section by section: a sentence that says what to see, a figure, and the numbers."""

from collections.abc import Sequence
from itertools import pairwise

from dashboards import formatting as sentences
from dashboards.formatting import choice_value, duration, head, title, with_interval, with_unit
from dashboards.page.page import PLACE_COLUMNS, Section, Shelf, Table, column, estimated, group_table, placed, shortened
from dashboards.study import choices, figures, scores, tradeoff
from dashboards.study import sentences as study_sentences
from dashboards.study import tables as summaries
from dashboards.study.choices import Importance, Interaction
from dashboards.study.contested import Contested, contested
from dashboards.study.published import Published, published
from dashboards.study.scores import ConfusionRow
from dashboards.study.tables import BlockByTimestep, Estimate
from objectives import published_results as paper
from objectives.results import Metric, StudyResults
from spaces import Setting

CLASSES_SHOWN = 24
TRIALS_SHOWN = 20
CONFUSIONS_PICTURED, MISTAKES_PICTURED = 5, 5
SETTING_COLUMNS = (*PLACE_COLUMNS, "Head")


def sections(study: StudyResults, importances: Sequence[Importance] = ()) -> list[Section]:
    """In the order in which a person asks; what a study cannot tell yet is left out."""
    found = [_finalists(study)] if study.finals else []
    if others := published(study):
        found.append(_published(others))
    if study.complete:
        found += [*_blocks_and_timesteps(study), *_groups(study)]
    if importances:
        found.append(_importances(importances))
    if pairs := choices.interaction(study, importances):
        found.append(_interaction(pairs, study.metric))
    if study.pareto_front:
        found.append(_trade_off(study))
    if study.complete:
        found.append(_history(study))
    if summaries.time_by_phase(study):
        found.append(_time(study))
    if len(scores.scores(study)) > 1:
        found.append(_scores(study))
    if scores.confusions(study):
        found.append(_confusions(study))
    if images := contested(study):
        found.append(_contested(study, images))
    if study.complete:
        found.append(_leaderboard(study))
    if summaries.failures(study):
        found.append(_failures(study))
    return [*found, _provenance(study)]


def _finalists(study: StudyResults) -> Section:
    rows, metric = summaries.finalists(study), study.metric
    refitted = "train images" if "shots" in study.provenance else "train and validation images"
    table = Table(
        f"{title(metric)}: means over seeds (95 % interval). Test: refitted on {refitted}. Tied: with the first",
        ("Rank", column("Validation", metric), column("Test", metric), *SETTING_COLUMNS, "Seeds", "Tied"),
        tuple(
            (
                str(rank),
                estimated(row.validation),
                estimated(row.test),
                *_setting(row.setting),
                str(len(row.seeds)),
                "chosen" if rank == 1 else "yes" if row.tied else "no",
            )
            for rank, row in enumerate(rows, start=1)
        ),
        chosen=0,
    )
    return Section("finalists", "Finalists", (sentences.of_finalists(rows),), table=table)


def _trade_off(study: StudyResults) -> Section:
    table, metric, found = tradeoff.trade_off(study), study.metric, summaries.answer(study)
    assert table is not None
    numbers = [point.trial for point in table.front]
    rows = Table(
        f"{title(metric)} of the best for their cost, the cheapest first (95 % interval). "
        "Validation: one seed. Test: means over seeds, of finalists alone",
        ("GMAC", column("Validation", metric), column("Test", metric), *SETTING_COLUMNS, "Trial"),
        tuple(
            (
                sentences.gmacs(point.gmacs),
                estimated(point.validation),
                estimated(point.test) if point.test else "",
                *_setting(point.setting),
                str(point.trial),
            )
            for point in table.front
        ),
        chosen=numbers.index(found.trial) if found and found.trial in numbers else None,
    )
    told = (
        sentences.of_trade_off(table),
        "Cost is 1e9 multiply-accumulates to classify an image: passes, each to the deepest block read, and the head.",
    )
    return Section("cost", f"{title(metric)} against cost", told, figures.trade_off_figure(table), rows)


def _scores(study: StudyResults) -> Section:
    rows, final = scores.scores(study), bool(study.finalists)
    of = "means over seeds" if final else "one seed"
    table = Table(
        f"The answer by every metric, {of} (95 % interval)",
        ("Metric", "Validation", *(["Test"] if final else [])),
        tuple(
            (
                title(row.metric),
                *(_or_none(each) for each in ((row.validation, row.test) if final else (row.validation,))),
            )
            for row in rows
        ),
        chosen=next((place for place, row in enumerate(rows) if row.metric == study.metric), None),
    )
    return Section("scores", "The answer by other metrics", (sentences.of_scores(study.metric),), table=table)


def _or_none(estimate: Estimate | None) -> str:
    return with_interval(estimate) if estimate else "not kept"


def _confusions(study: StudyResults) -> Section:
    found = scores.confusions(study)
    assert found is not None
    table = Table(
        "The answer's most frequent mistakes on validation images, all seeds together",
        ("True class", "Taken for", "Images"),
        tuple((row.true, row.predicted, f"{row.images:,}") for row in found.rows),
    )
    shelves = [_shelf(row) for row in found.rows[:CONFUSIONS_PICTURED] if row.mistaken]
    return Section(
        "confusions", "What it confuses", (sentences.of_confusions(found),), table=table, shelves=(*shelves,)
    )


def _shelf(row: ConfusionRow) -> Shelf:
    pictures = [(picture, "") for picture in row.mistaken[:MISTAKES_PICTURED]]
    if row.typical:
        pictures.append((row.typical, f"for comparison, a ‘{row.predicted}’"))
    return Shelf(f"‘{row.true}’ taken for ‘{row.predicted}’: {sentences.count(row.images, 'image')}", (*pictures,))


def _contested(study: StudyResults, found: Contested) -> Section:
    pictured = {picture.position: picture for picture in study.pictures if picture.position is not None}
    shelves, rows = [], []
    for what, images in (
        ("Right with good settings, wrong with bad ones", found.gained),
        ("Wrong with good settings, right with bad ones", found.lost),
    ):
        shown = [(pictured[image.position], image) for image in images if image.position in pictured]
        if shown:
            shelves.append(Shelf(what, tuple((p, study_sentences.of_image(p, image, study)) for p, image in shown)))
            rows += [
                (p.name, study.classes[p.label], f"{100 * image.good:.0f}", f"{100 * image.bad:.0f}")
                for p, image in shown
            ]
    table = Table(
        f"How many of the best {found.settings:,} and of the worst {found.settings:,} trials have an image right",
        ("Image", "Class", "Good %", "Bad %"),
        tuple(rows),
    )
    told = (study_sentences.of_contested(found),)
    return Section("contested", "What a good setting changes", told, table=table if rows else None, shelves=(*shelves,))


def _published(found: Published) -> Section:
    rows = [
        (f"{each.head} ({each.source})", f"{100 * each.accuracy:.1f}", *_ours(each.ours, each.tested))
        for each in found.heads
    ]
    rows += [
        (
            f"linear at block {each.block}, t {each.timestep}, pool {each.pool} ({paper.SOURCE})",
            f"{100 * each.accuracy:.1f}",
            *_ours(each.ours, tested=False),
        )
        for each in found.cells
    ]
    table = Table(
        "Published: on the test split, where it was chosen too. Ours: on what its column says (95 % interval)",
        ("Part", "Published %", "Ours %", "Of ours"),
        tuple(rows),
    )
    return Section("published", "Beside what was published", study_sentences.of_published(found), table=table)


def _ours(estimate: Estimate | None, tested: bool) -> tuple[str, str]:
    return ("", "not tried") if estimate is None else (estimated(estimate), "test" if tested else "validation")


def _leaderboard(study: StudyResults) -> Section:
    board = summaries.leaderboard(study)
    found = summaries.answer(study)
    numbers = [row.trial for row in board.rows]
    table = Table(
        f"Best trials by validation {study.metric.label} (95 % interval), one seed each",
        ("Rank", column("Validation", study.metric), *SETTING_COLUMNS, "Trial", "Seconds", "Passes made"),
        tuple(
            (
                str(row.rank),
                estimated(row.validation),
                *_setting(row.setting),
                str(row.trial),
                f"{row.seconds:.1f}",
                f"{row.passes_made:,}",
            )
            for row in board.rows
        ),
        chosen=numbers.index(found.trial) if found and found.trial in numbers else None,
    )
    return Section("leaderboard", "Leaderboard", (sentences.of_leaderboard(board),), table=table)


def _blocks_and_timesteps(study: StudyResults) -> list[Section]:
    table = summaries.block_by_timestep(study)
    if not table.cells:
        return []
    told = "Each cell is its best trial; an empty cell was not tried."
    if len(summaries.by_taps(study)) > 1:
        told += " Trials that read several taps are in no cell."
    return [
        Section(
            "blocks",
            f"{title(study.metric)} by block and timestep",
            (sentences.of_blocks_and_timesteps(table), told),
            figures.block_by_timestep_figure(table),
            _cells(table, study.metric),
        )
    ]


def _cells(found: BlockByTimestep, metric: Metric) -> Table:
    """Of the blocks that were tried: a table of all would be as wide as the network is deep."""
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


def _groups(study: StudyResults) -> list[Section]:
    pools, heads, metric = summaries.by_pooling(study), summaries.by_head(study), study.metric
    measured, taps = f"Validation {metric.label} (95 % interval)", summaries.by_taps(study)
    several = Section(
        "taps",
        f"{title(metric)} by number of taps",
        (sentences.of_taps(taps), "A tap is a block at a timestep; each timestep costs a pass of its own."),
        figures.groups_figure("Taps", taps),
        group_table(f"{measured} by number of taps", "Taps", taps, "Complete trials"),
    )
    return [
        *([several] if len(taps) > 1 else []),
        Section(
            "pooling",
            f"{title(metric)} by pooling",
            (sentences.of_groups("Pool", pools),),
            figures.groups_figure("Pool size", pools),
            group_table(f"{measured} by pool size, the side of the pooled grid", "Pool", pools, "Complete trials"),
        ),
        Section(
            "heads",
            f"{title(metric)} by head",
            (sentences.of_groups("Head", heads),),
            figures.groups_figure("Head", heads),
            group_table(f"{measured} by head", "Head", heads, "Complete trials"),
        ),
    ]


def _importances(importances: Sequence[Importance]) -> Section:
    names = list(importances[0].shares)
    table = Table(
        "Importance of each choice among the settings that were tried",
        ("Choice", *(f"{name} %" for name in names)),
        tuple(
            (each.choice.capitalize(), *(f"{100 * each.shares[name]:.1f}" for name in names)) for each in importances
        ),
    )
    told = (
        study_sentences.of_importances(importances),
        "fANOVA: the share of the variance over the whole space that a choice explains by itself. PED-ANOVA: how much "
        "it matters for being among the best.",
    )
    return Section("importances", "What matters", told, figures.importance_figure(importances), table)


def _interaction(found: Interaction, metric: Metric) -> Section:
    table = Table(
        f"Best validation {with_unit(metric.label, metric)} of each pair that was tried",
        (found.row.capitalize(), *(f"{found.column} {choice_value(each)}" for each in found.columns)),
        tuple(
            (
                choice_value(row),
                *(estimated(found.cells[row, c].best) if (row, c) in found.cells else "" for c in found.columns),
            )
            for row in found.rows
        ),
    )
    return Section(
        "interaction",
        f"{found.row.capitalize()} and {found.column} together",
        (study_sentences.of_interaction(found, metric), "Each cell is its best trial; an empty cell was not tried."),
        figures.interaction_figure(found, metric),
        table,
    )


def _history(study: StudyResults) -> Section:
    points, by_time, metric = summaries.history(study), summaries.history_by_time(study), study.metric
    steps = [points[0], *(new for old, new in pairwise(points) if new.best != old.best)]
    table = Table(
        f"Each time a trial was the best so far, by validation {metric.label}",
        ("Trial", column("Best", metric), "Seconds", *SETTING_COLUMNS),
        tuple(
            (
                str(point.trial),
                metric.number(point.best),
                "" if point.finished is None else f"{point.finished:,.0f}",
                *_setting(point.setting),
            )
            for point in steps
        ),
    )
    figure = figures.history_figure(points, by_time)
    return Section("history", "History", (sentences.of_history(points),), figure, table)


def _time(study: StudyResults) -> Section:
    phases, passes = summaries.time_by_phase(study), summaries.passes(study)
    table = Table(
        "Seconds of work by phase, summed over trials and workers",
        ("Phase", "Seconds", "Share %"),
        tuple((sentences.phase(row.name), f"{row.seconds:,.1f}", f"{100 * row.share:.1f}") for row in phases),
    )
    told = (sentences.of_time(phases), sentences.of_passes(passes))
    return Section("time", "Time and passes", told, figures.time_figure(phases), table)


def _failures(study: StudyResults) -> Section:
    rows = summaries.failures(study)
    table = Table(
        "Failed trials by reason",
        ("Reason", "Count", "Trials"),
        tuple((row.reason, f"{len(row.trials):,}", shortened(row.trials, TRIALS_SHOWN)) for row in rows),
    )
    return Section("failures", "Failures", (sentences.of_trials(summaries.trial_counts(study)) + ".",), table=table)


def _provenance(study: StudyResults) -> Section:
    facts = {
        "Study": study.name,
        "Dataset": study.dataset,
        "Images": sentences.of_images(study.counts, study.folds),
        "Classes": f"{len(study.classes):,}: {shortened(study.classes, CLASSES_SHOWN)}",
        "Backbone": f"{study.backbone}, {len(study.architecture.blocks)} blocks",
        "Space": f"{study.preset}, {study.space_size:,} settings",
        "Running time": duration(study.wall_seconds),
        **study.provenance,
    }
    table = Table("What is needed to repeat this study", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)


def _setting(setting: Setting) -> tuple[str, ...]:
    return *placed(setting), head(setting)
