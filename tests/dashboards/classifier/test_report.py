"""The page of a classifier shows each class, who is confused with whom, and which labels are doubtful."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dashboards.classifier.near_duplicates import near_duplicates_section, write_near_duplicates
from dashboards.classifier.report import ClassifierReport, render, sections, write_classifier_page
from dashboards.classifier.tables import confusion_grid, worst_first
from dashboards.study.answer.answer import Answer, MeasuredBaseline
from dashboards.tables import Estimate
from objectives.data_quality.assessment import assess
from objectives.results import Accuracy, Assessment, NearDuplicate, Picture
from spaces import Setting
from tests.support.architectures import architecture_with
from tests.support.names import EVIL, check_page


def judged(classes: int, accuracy: float = 0.9, images: int = 600) -> Assessment:
    """Classes i and i + 1 are confused with each other, for even i."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % classes
    right = generator.random(images) < accuracy
    predicted = np.where(right, labels, np.minimum(labels ^ 1, classes - 1))
    probabilities = generator.random((images, classes)) * 0.01
    probabilities[np.arange(images), predicted] += generator.uniform(0.6, 2.0, images)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return assess(np.arange(images), labels, probabilities, 5, (labels[:100], labels[:100]))


def jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (112, 112), "teal").save(file, "JPEG")
    return file.getvalue()


def report_of(assessment: Assessment, **changes: Any) -> ClassifierReport:
    names = tuple(f"kind_{i} <b>" for i in range(len(assessment.classes)))
    pictures = {i: Picture(i, None, i % len(names), f"{i}.jpg", jpeg()) for i in range(700)}
    report = ClassifierReport(
        file=Path("birds.safetensors"),
        study="birds-study",
        dataset="birds",
        backbone="unet32",
        setting=Setting(20, 9, 2, "linear"),
        architecture=architecture_with(tuple([32] * 4 + [16] * 4 + [8] * 4), 32, 12),
        names=names,
        assessment=assessment,
        pictures=pictures,
        files={i: f"folder/{i}.jpg" for i in range(700)},
        near_duplicates=(NearDuplicate(3, 610, 0.98, mirrored=True), NearDuplicate(4, 611, 1.0, identical=True)),
        test_images=100,
        validation=Estimate.from_accuracy(Accuracy(540, 600)),
        test=None,
        answer=None,
        commands=("search classify birds.safetensors IMAGE_OR_FOLDER",),
        python="import search",
    )
    return replace(report, **changes)


@pytest.mark.parametrize("classes", [2, 10, 50, 200])
def test_a_grid_holds_at_most_sixteen_classes_those_that_are_confused(classes: int) -> None:
    assessment = judged(classes)
    grid = confusion_grid(assessment)
    assert grid is not None
    assert len(grid.labels) == min(classes, 16)
    assert grid.mistakes == assessment.images - assessment.accuracy.correct
    assert grid.covered + sum(grid.others) <= grid.mistakes
    if classes <= 16:
        assert grid.covered == grid.mistakes
        assert sum(map(sum, grid.counts)) == assessment.images
    else:
        most = assessment.confusions[0]
        assert {most.true, most.predicted} <= set(grid.labels)
    assert confusion_grid(judged(classes, accuracy=1.0)) is None


def test_classes_are_ordered_by_accuracy_and_every_class_is_in_the_table() -> None:
    assessment = judged(50)
    values = [row.validation.value for row in worst_first(assessment) if row.validation]
    assert values == sorted(values)
    table = sections(report_of(assessment))[0].table
    assert table is not None
    assert len(table.rows) == 50
    assert table.columns == ("Class", "Validation %", "Images", "Test %", "Test images", "Most often taken for")


def test_doubtful_labels_are_shown_only_where_a_trial_finds_changed_labels() -> None:
    good, weak = judged(10, 0.98), judged(10, 0.3)
    assert good.label_errors is not None
    assert good.label_trial.precision > 0.5
    assert weak.label_errors is None
    assert len(weak.mistakes) == 100
    told = {section.id: " ".join(section.sentences) for section in sections(report_of(weak))}
    assert "too weak to tell wrong labels from its own mistakes" in told["label-errors"]
    told = {section.id: " ".join(section.sentences) for section in sections(report_of(good))}
    assert f"the labels of {good.label_trial.changed} images were changed at random" in told["label-errors"]


def test_the_page_is_written_escaped_and_needs_no_network(tmp_path: Path, browser: Any) -> None:
    path = write_classifier_page(report_of(judged(50, 0.97)), tmp_path / "birds.html")
    browser.open(path.as_uri())
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [path.as_uri()]
    assert browser.sections() == [
        *("answer", "classes", "confusions", "label-errors", "mistakes", "near-duplicates", "provenance")
    ]
    text = path.read_text()
    assert "&lt;b&gt;" in text
    assert "cosine 0.980, mirrored" in text
    assert "the same bytes" in text


def test_the_head_shows_chance_and_baselines_and_what_each_number_is_measured_on() -> None:
    answer = Answer(
        setting=Setting(20, 9, 2, "linear"),
        rule="candidates",
        trial=0,
        validation=Estimate.from_accuracy(Accuracy(30, 60)),
        seeds=(1, 2, 3),
        test_accuracy=Estimate.from_accuracy(Accuracy(5, 100)),
        majority=0.125,
        baselines=(MeasuredBaseline("raw pixels", Estimate.from_accuracy(Accuracy(8, 100)), None),),
    )
    page = render(report_of(judged(10, 0.9), answer=answer))
    assert "it is no better than chance" in page
    assert "by always naming the most frequent class" in page
    assert "12.5" in page
    assert "Linear head on raw pixels" in page
    assert "the mean over 3 seeds, each with a classifier of its own on 60 validation images." in page
    assert "no better than chance" not in render(report_of(judged(10, 0.9), answer=replace(answer, majority=0.01)))


def test_without_copies_or_a_test_the_page_says_less() -> None:
    alone = render(report_of(judged(3, 0.9), near_duplicates=None))
    assert "Likely copies across splits" not in alone
    assert "Test accuracy" not in alone
    none = render(report_of(judged(3, 0.9), near_duplicates=()))
    assert "None of the 100 test images looks like a changed copy of a training image." in none


def test_the_pages_spell_control_characters(tmp_path: Path) -> None:
    pictures = {image: Picture(image, None, image % 10, EVIL, jpeg()) for image in range(700)}
    report = report_of(
        judged(10),
        study=EVIL,
        dataset=EVIL,
        backbone=EVIL,
        names=tuple(f"{EVIL} {number}" for number in range(10)),
        pictures=pictures,
        files=dict.fromkeys(range(700), EVIL),
        commands=(f"search classify {EVIL}", "search best"),
        python=f"import search\nname = {EVIL!r}",
    )
    page = render(report)
    check_page(page)
    assert "import search\nname = " in page
    section = near_duplicates_section(report.near_duplicates or (), 100, report.names, pictures, report.files)
    check_page(write_near_duplicates(section, EVIL, tmp_path / "copies.html").read_text("utf-8"))
