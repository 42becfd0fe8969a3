"""The page of an exported classifier: its accuracy by class, its mistakes, and what is wrong with the images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import plotly.graph_objects as go

from dashboards.classifier import sentences
from dashboards.classifier.near_duplicates import near_duplicates_section
from dashboards.classifier.tables import ConfusionGrid, confusion_grid, most_taken_for, worst_first
from dashboards.page.page import Grid, PictureRow, Section, Table, render_page, write
from dashboards.page.style import BLUE, TEMPLATE, plotly_text
from dashboards.study.answer.answer import Answer
from dashboards.study.answer.sentences import chance_sentence
from dashboards.tables import Estimate
from objectives.results import ACCURACY, Accuracy, Assessment, ClassAccuracy, Mistake, NearDuplicate, Picture
from spaces import Architecture, Setting
from spaces.files import check_ends

MARK = b'<p class="eyebrow">Classifier</p>'
"""The line of the template by which a page of a classifier is known."""

CLASSES_DRAWN = 24
PICTURED = 12
"""Images that a section shows of a longer list."""

LISTED = 500
"""Rows of a table of images."""


@dataclass(frozen=True)
class ClassifierReport:
    """An exported classifier with everything that its page shows.

    file: the classifier's file. study: the name of the study. names: of the classes. pictures: by index into the
    dataset. files: names of images, by index into the dataset. near_duplicates: None if they were not sought.
    test_images: of the dataset. validation, test: the accuracy that the study measured; test is None if it has not.
    answer: of the study. commands: shell commands that use the classifier. python: lines that use it. facts: label →
    text.
    """

    file: Path
    study: str
    dataset: str
    backbone: str
    setting: Setting
    architecture: Architecture
    names: Sequence[str]
    assessment: Assessment
    pictures: Mapping[int, Picture]
    files: Mapping[int, str]
    near_duplicates: Sequence[NearDuplicate] | None
    test_images: int
    validation: Estimate | None
    test: Estimate | None
    answer: Answer | None
    commands: Sequence[str]
    python: str
    facts: Mapping[str, str] = field(default_factory=dict)


def write_classifier_page(report: ClassifierReport, path: Path) -> Path:
    """Write the page atomically and return `path`. Raises SearchError if it cannot be written."""
    return write(render(report), path)


def is_classifier_page(path: Path) -> bool:
    """Return whether a file is the page of a classifier, which `write_classifier_page` may replace."""
    try:
        check_ends(path)
        return MARK in path.read_bytes()
    except OSError:
        return False


def render(report: ClassifierReport) -> str:
    """The page as HTML. Every name from the data is escaped."""
    return render_page(
        "classifier.html",
        sections(report),
        report=report,
        accuracy_metric=ACCURACY,
        warning=chance_sentence(report.answer) if report.answer else "",
        measured=sentences.study_sentence(report.answer) if report.answer else "",
        judged=sentences.judged_sentence(report.assessment),
    )


def sections(report: ClassifierReport) -> list[Section]:
    """All sections, the most important first. Sections without data are left out."""
    assessment = report.assessment
    listed = [_classes(report)]
    if (grid := confusion_grid(assessment)) is not None:
        listed.append(_confusions(report, grid))
    listed.append(_label_errors(report))
    if assessment.mistakes:
        listed.append(_mistakes(report))
    if report.near_duplicates is not None:
        listed.append(
            near_duplicates_section(
                report.near_duplicates, report.test_images, report.names, report.pictures, report.files
            )
        )
    return [*listed, _provenance(report)]


def _classes(report: ClassifierReport) -> Section:
    rows, taken = worst_first(report.assessment), most_taken_for(report.assessment)
    tested = any(row.test is not None for row in rows)
    table = Table(
        "Accuracy by class, the least accurate first (95 % interval)",
        ("Class", "Validation %", "Images", *(("Test %", "Test images") if tested else ()), "Most often taken for"),
        tuple(
            (
                report.names[row.label],
                *_cells(row.validation),
                *(_cells(row.test) if tested else ()),
                f"{report.names[taken[row.label].predicted]} ({taken[row.label].count:,})"
                if row.label in taken
                else "",
            )
            for row in rows
        ),
    )
    shown = rows[:CLASSES_DRAWN]
    told = sentences.classes_sentences(report.assessment, report.names, len(shown))
    return Section("classes", "Accuracy by class", told, _classes_figure(shown, report.names), table)


def _cells(accuracy: Accuracy | None) -> tuple[str, str]:
    if accuracy is None:
        return "", "0"
    low, high = accuracy.interval()
    return f"{100 * accuracy.value:.0f} ({100 * low:.0f}–{100 * high:.0f})", f"{accuracy.total:,}"


def _classes_figure(rows: Sequence[ClassAccuracy], names: Sequence[str]) -> go.Figure:
    """A dot with its interval for each class, the least accurate at the top."""
    accuracies = [row.validation for row in rows if row.validation is not None]
    intervals = [accuracy.interval() for accuracy in accuracies]
    labels = [plotly_text(_shortened(names[row.label])) for row in rows]
    values = [100 * accuracy.value for accuracy in accuracies]
    figure = go.Figure(
        go.Scatter(
            x=values,
            y=list(range(len(rows))),
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * high - value for value, (_, high) in zip(values, intervals, strict=True)],
                "arrayminus": [value - 100 * low for value, (low, _) in zip(values, intervals, strict=True)],
                "color": BLUE,
                "thickness": 1.5,
                "width": 0,
            },
            mode="markers",
            marker={"color": BLUE, "size": 8},
            text=[
                f"<b>{plotly_text(names[row.label])}</b><br>{accuracy.correct:,} of {accuracy.total:,} images"
                for row, accuracy in zip(rows, accuracies, strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    lowest = min(low for low, _ in intervals)
    figure.update_xaxes(title="Accuracy (%)", range=[20 * int(5 * lowest) - 1, 101])
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=labels, autorange="reversed", showgrid=False)
    figure.update_layout(template=TEMPLATE, height=90 + 22 * len(rows))
    return figure


def _confusions(report: ClassifierReport, grid: ConfusionGrid) -> Section:
    names = tuple(report.names[label] for label in grid.labels)
    counts = tuple(
        (*row, other) if any(grid.others) else row for row, other in zip(grid.counts, grid.others, strict=True)
    )
    shades = tuple(
        tuple(
            0.0 if column in (index, len(names)) else min(1.0, 2 * cell / max(sum(row), 1))
            for column, cell in enumerate(row)
        )
        for index, row in enumerate(counts)
    )
    drawn = Grid(
        "Images by true class (row) and predicted class (column); the darker, the larger the share of the row",
        names,
        counts,
        shades,
        "other" if any(grid.others) else "",
    )
    told = (sentences.grid_sentence(grid, len(report.names), drawn.numbered),)
    pairs = Table(
        "The most frequent confusions",
        ("True class", "Predicted", "Images"),
        tuple(
            (report.names[pair.true], report.names[pair.predicted], f"{pair.count:,}")
            for pair in report.assessment.confusions[:LISTED]
        ),
    )
    return Section("confusions", "Which classes are confused", told, table=pairs, grid=drawn)


def _label_errors(report: ClassifierReport) -> Section:
    found = report.assessment.label_errors or ()
    told = sentences.label_errors_sentences(report.assessment)
    return Section(
        "label-errors",
        "Doubtful labels",
        told,
        table=_images_table("Doubtful labels, the least credible first", report, found),
        picture_rows=_pictured(report, found),
    )


def _mistakes(report: ClassifierReport) -> Section:
    found = report.assessment.mistakes
    return Section(
        "mistakes",
        "Most confident mistakes",
        (sentences.mistakes_sentence(report.assessment),),
        table=_images_table("Mistakes, the most confident first", report, found),
        picture_rows=_pictured(report, found),
    )


def _images_table(caption: str, report: ClassifierReport, found: Sequence[Mistake]) -> Table | None:
    rows = tuple(
        (
            report.files[mistake.image],
            report.names[mistake.label],
            f"{100 * mistake.self_confidence:.1f}",
            report.names[mistake.predicted],
            f"{100 * mistake.confidence:.1f}",
        )
        for mistake in found[:LISTED]
        if mistake.image in report.files
    )
    return Table(caption, ("Image", "Class", "Its %", "Predicted", "Its %"), rows) if rows else None


def _pictured(report: ClassifierReport, found: Sequence[Mistake]) -> tuple[PictureRow, ...]:
    pictures = tuple(
        (report.pictures[mistake.image], sentences.mistake_caption(mistake, report.names))
        for mistake in found[:PICTURED]
        if mistake.image in report.pictures
    )
    return (PictureRow("", pictures),) if pictures else ()


def _provenance(report: ClassifierReport) -> Section:
    facts = {"Study": report.study, "Classifier": report.file.name, **report.facts}
    table = Table("What this page was made from", ("Fact", "Value"), tuple(facts.items()))
    return Section("provenance", "Provenance", (), table=table)


def _shortened(name: str, most: int = 28) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
