"""The sections of a study's report: sentences that say what to see, a figure, and a table of the numbers."""

from collections.abc import Sequence
from itertools import pairwise

from dashboards.formatting import (
    column,
    count,
    duration,
    gmacs,
    head_text,
    image_counts,
    loss_with_interval,
    number_with_interval,
    shortened,
    title,
    with_interval,
    with_unit,
)
from dashboards.page.page import FEATURE_COLUMNS, PictureRow, Section, Table, feature_cells
from dashboards.selection.answer import Selection, selection
from dashboards.study import figures, sentences, tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.scores import ConfusionRow, Confusions, ScoreRow, confusions, scores
from dashboards.study.answer.tradeoff import TradeOff, trade_off
from dashboards.study.choices.analysis import NO_ANALYSIS, Analysis
from dashboards.study.choices.contested import Contested, contested
from dashboards.study.choices.sections import (
    ablation_section,
    block_sections,
    group_sections,
    importance_section,
    interaction_section,
)
from dashboards.study.choices.tables import interaction
from dashboards.study.published import Published, published
from dashboards.tables import Estimate
from objectives import published_results
from objectives.results import StudyResults
from spaces import Setting

CLASSES_SHOWN = 24
TRIALS_SHOWN = 20
CONFUSIONS_PICTURED, MISTAKES_PICTURED = 5, 5
SETTING_COLUMNS = (*FEATURE_COLUMNS, "Head")


def sections(study: StudyResults, analysis: Analysis = NO_ANALYSIS) -> list[Section]:
    """All sections, the most important first. Sections without data are left out."""
    chosen = selection(study)
    listed = [_candidates(study, chosen)] if chosen else [_finalists(study)] if study.finals else []
    if (publications := published(study)) is not None:
        listed.append(_published(publications))
    if study.complete:
        listed += [*ablation_section(study), *block_sections(study, analysis.expected), *group_sections(study)]
    if analysis.importances:
        listed.append(importance_section(analysis.importances))
    if (pairs := interaction(study, analysis.importances)) is not None:
        listed.append(interaction_section(pairs, study.metric))
    if (costs := trade_off(study)) is not None:
        listed.append(_trade_off(study, costs))
    if study.complete:
        listed.append(_history(study))
    listed += _times(study)
    if len(rows := scores(study)) > 1:
        listed.append(_scores(study, rows))
    if (mistakes := confusions(study)) is not None:
        listed.append(_confusions(mistakes))
    if (images := contested(study)) is not None:
        listed.append(_contested(study, images))
    if study.complete:
        listed.append(_leaderboard(study))
    if tables.failures(study):
        listed.append(_failures(study))
    return [*listed, _provenance(study)]


def _finalists(study: StudyResults) -> Section:
    rows, metric = tables.finalists(study), study.metric
    refitted = "train images" if "shots" in study.provenance else "train and validation images"
    table = Table(
        f"{title(metric)}: means over seeds (95 % interval). Test: refitted on {refitted}. Tied: not significantly "
        "different from the first",
        ("Rank", column("Validation", metric), column("Test", metric), *SETTING_COLUMNS, "Seeds", "Tied"),
        tuple(
            (
                str(rank),
                number_with_interval(row.validation),
                number_with_interval(row.test),
                *_setting(row.setting),
                str(len(row.seeds)),
                "chosen" if rank == 1 else "yes" if row.tied else "no",
            )
            for rank, row in enumerate(rows, start=1)
        ),
        chosen=0,
    )
    return Section("finalists", "Finalists", (sentences.finalists_sentence(rows),), table=table)


def _candidates(study: StudyResults, chosen: Selection) -> Section:
    metric = study.metric
    state = {True: "chosen", False: "tied"}
    table = Table(
        f"Validation {metric.label}: mean over the rounds (95 % interval). Loss: to the leader, on the same images, "
        "with an interval that holds for all candidates and rounds together. Tied: not significantly worse than the "
        "leader",
        ("Rank", column("Validation", metric), with_unit("Loss", metric), *SETTING_COLUMNS, "Rounds", "Result"),
        tuple(
            (
                str(rank),
                number_with_interval(row.validation),
                loss_with_interval(row.loss, metric),
                *_setting(row.setting),
                str(len(row.seeds)),
                state[rank == 1] if row.dropped is None else f"dropped after round {row.dropped}",
            )
            for rank, row in enumerate(chosen.candidates, start=1)
        ),
        chosen=0,
    )
    return Section("candidates", "Candidates for the answer", (sentences.candidates_sentence(chosen),), table=table)


def _trade_off(study: StudyResults, table: TradeOff) -> Section:
    metric, best = study.metric, study_answer(study)
    numbers = [point.trial for point in table.pareto_front]
    rows = Table(
        f"{title(metric)} on the Pareto front, the cheapest first (95 % interval). "
        "Validation: one seed. Test: means over seeds, only where it was measured",
        ("GMAC", column("Validation", metric), column("Test", metric), *SETTING_COLUMNS, "Trial"),
        tuple(
            (
                gmacs(point.gmacs),
                number_with_interval(point.validation),
                number_with_interval(point.test) if point.test else "",
                *_setting(point.setting),
                str(point.trial),
            )
            for point in table.pareto_front
        ),
        chosen=numbers.index(best.trial) if best and best.trial in numbers else None,
    )
    told = (
        sentences.trade_off_sentence(table, best.setting if best else None),
        "The cost counts 1e9 multiply-accumulates (GMAC) to classify one image: the forward passes, each up to the "
        "deepest block that is read, and the head.",
    )
    return Section(
        "cost",
        f"{title(metric)} against cost",
        told,
        figures.trade_off_figure(table, best.setting if best else None),
        rows,
    )


def _scores(study: StudyResults, rows: Sequence[ScoreRow]) -> Section:
    final = bool(study.finalists)
    seeds = "means over seeds" if final else "one seed"
    table = Table(
        f"The best setting by every metric, {seeds} (95 % interval)",
        ("Metric", "Validation", *(["Test"] if final else [])),
        tuple(
            (
                title(row.metric),
                *map(_estimate_or_not_kept, (row.validation, row.test) if final else (row.validation,)),
            )
            for row in rows
        ),
        chosen=next((index for index, row in enumerate(rows) if row.metric == study.metric), None),
    )
    return Section(
        "scores", "The best setting by other metrics", (sentences.metrics_sentence(study.metric),), table=table
    )


def _estimate_or_not_kept(estimate: Estimate | None) -> str:
    return with_interval(estimate) if estimate else "not kept"


def _confusions(found: Confusions) -> Section:
    table = Table(
        "The best setting's most frequent mistakes on validation images, summed over all seeds",
        ("True class", "Predicted", "Images"),
        tuple((row.true, row.predicted, f"{row.images:,}") for row in found.rows),
    )
    rows = [_mistakes(row) for row in found.rows[:CONFUSIONS_PICTURED] if row.mistaken]
    return Section(
        "confusions",
        "Most frequent mistakes",
        (sentences.confusions_sentence(found),),
        table=table,
        picture_rows=tuple(rows),
    )


def _mistakes(row: ConfusionRow) -> PictureRow:
    pictures = [(picture, "") for picture in row.mistaken[:MISTAKES_PICTURED]]
    if row.typical:
        pictures.append((row.typical, f"for comparison, a ‘{row.predicted}’"))
    return PictureRow(f"‘{row.true}’ predicted as ‘{row.predicted}’: {count(row.images, 'image')}", (*pictures,))


def _contested(study: StudyResults, found: Contested) -> Section:
    pictured = {picture.position: picture for picture in study.pictures if picture.position is not None}
    picture_rows, rows = [], []
    for heading, images in (
        ("Correct with the best settings, wrong with the worst", found.gained),
        ("Wrong with the best settings, correct with the worst", found.lost),
    ):
        shown = [(pictured[image.position], image) for image in images if image.position in pictured]
        if shown:
            captions = (
                (picture, sentences.contested_caption(picture, image, study, found.settings))
                for picture, image in shown
            )
            picture_rows.append(PictureRow(heading, tuple(captions)))
            rows += [
                (picture.name, study.classes[picture.label], f"{100 * image.good:.0f}", f"{100 * image.bad:.0f}")
                for picture, image in shown
            ]
    table = Table(
        f"The share of the best {found.settings:,} and of the worst {found.settings:,} trials that classify each image "
        "correctly",
        ("Image", "Class", "Best %", "Worst %"),
        tuple(rows),
    )
    told = (sentences.contested_sentences(found),)
    title_text = "Images that a good setting changes"
    return Section("contested", title_text, told, table=table if rows else None, picture_rows=tuple(picture_rows))


def _published(found: Published) -> Section:
    rows = [
        (f"{head.head} ({head.source})", f"{100 * head.accuracy:.1f}", *_ours(head.ours, head.tested))
        for head in found.heads
    ]
    rows += [
        (
            f"linear, block {cell.block}, t {cell.timestep}, pool {cell.pool} ({published_results.SOURCE})",
            f"{100 * cell.accuracy:.1f}",
            *_ours(cell.ours, tested=False),
        )
        for cell in found.cells
    ]
    table = Table(
        "Published: chosen and measured on the test split. Ours: measured on the split that the last column names "
        "(95 % interval)",
        ("Head", "Published %", "Ours %", "Split of ours"),
        tuple(rows),
    )
    return Section("published", "Comparison with published results", sentences.published_sentences(found), table=table)


def _ours(estimate: Estimate | None, tested: bool) -> tuple[str, str]:
    return (
        ("", "not tried") if estimate is None else (number_with_interval(estimate), "test" if tested else "validation")
    )


def _leaderboard(study: StudyResults) -> Section:
    board = tables.leaderboard(study)
    best = study_answer(study)
    numbers = [row.trial for row in board.rows]
    table = Table(
        f"Best trials by validation {study.metric.label} (95 % interval), one seed each",
        ("Rank", column("Validation", study.metric), *SETTING_COLUMNS, "Trial", "Seconds", "Passes made"),
        tuple(
            (
                str(row.rank),
                number_with_interval(row.validation),
                *_setting(row.setting),
                str(row.trial),
                f"{row.seconds:.1f}",
                f"{row.passes_made:,}",
            )
            for row in board.rows
        ),
        chosen=numbers.index(best.trial) if best and best.trial in numbers else None,
    )
    told = (sentences.leaderboard_sentence(board), sentences.rank_sentence(study, best))
    return Section("leaderboard", "Leaderboard", tuple(filter(None, told)), table=table)


def _history(study: StudyResults) -> Section:
    points, by_time, metric = tables.history(study), tables.history_by_time(study), study.metric
    steps = [points[0], *(new for old, new in pairwise(points) if new.best != old.best)]
    table = Table(
        f"Trials that were the best so far, by validation {metric.label}",
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
    return Section("history", "History", (sentences.history_sentence(points),), figure, table)


def _times(study: StudyResults) -> list[Section]:
    """The sections about time, which a study without any kept seconds lacks."""
    stages = [_stages(study)] if tables.stages(study) else []
    return [*stages, *([_time(study)] if tables.time_by_phase(study) else [])]


def _stages(study: StudyResults) -> Section:
    stages = tables.stages(study)
    table = Table(
        "Seconds of running time by stage",
        ("Stage", "Seconds", "Share %"),
        (
            *((sentences.STAGES[row.name], f"{row.seconds:,.1f}", f"{100 * row.share:.1f}") for row in stages),
            ("all", f"{sum(row.seconds for row in stages):,.1f}", "100.0"),
        ),
    )
    return Section("stages", "Running time", (sentences.stages_sentence(stages, study.wall_seconds),), table=table)


def _time(study: StudyResults) -> Section:
    phases, passes = tables.time_by_phase(study), tables.passes(study)
    table = Table(
        "Seconds of work in trials and re-evaluations by phase, summed over workers",
        ("Phase", "Seconds", "Share %"),
        tuple((sentences.phase_text(row.name), f"{row.seconds:,.1f}", f"{100 * row.share:.1f}") for row in phases),
    )
    told = (sentences.time_sentence(phases), sentences.passes_sentence(passes))
    return Section("time", "Work and forward passes", told, figures.time_figure(phases), table)


def _failures(study: StudyResults) -> Section:
    rows = tables.failures(study)
    table = Table(
        "Failed trials by reason",
        ("Reason", "Count", "Trials"),
        tuple((row.reason, f"{len(row.trials):,}", shortened(row.trials, TRIALS_SHOWN)) for row in rows),
    )
    counts = tables.trial_counts(study)
    told = (f"{sentences.trial_counts_text(counts)}.", sentences.other_trials_sentence(counts))
    return Section("failures", "Failures", tuple(filter(None, told)), table=table)


def _provenance(study: StudyResults) -> Section:
    facts = {
        "Study": study.name,
        "Dataset": study.dataset,
        "Images": image_counts(study.counts, study.folds),
        "Classes": f"{len(study.classes):,}: {shortened(study.classes, CLASSES_SHOWN)}",
        "Backbone": f"{study.backbone}, {len(study.architecture.blocks)} blocks",
        "Space": f"{study.preset}, {study.space_size:,} settings",
        "Running time": duration(study.wall_seconds),
        **study.provenance,
    }
    table = Table("Everything needed to repeat this study", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)


def _setting(setting: Setting) -> tuple[str, ...]:
    return *feature_cells(setting), head_text(setting)
