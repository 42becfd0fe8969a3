"""Writes the page of an exported classifier beside its file."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from objectives.results import ACCURACY, Assessment, NearDuplicate, Picture, StudyResults
from search.prepare import page_facts
from search.reports.evidence.near_duplicates import file_names, images_listed, images_pictured, pictures_by_image

if TYPE_CHECKING:
    from objectives.datasets.dataset import Dataset
    from objectives.probing.probe import Probe, Trained
    from search.options.run_options import RunOptions
    from search.prepare import PreparedProbe
    from spaces import Setting

T = TypeVar("T")

COMPARED_IMAGES = 20_000
"""The most images among which an export seeks near-duplicates: it decodes each once more."""

NOT_SOUGHT = "not sought among so many images: `search datasets check {} --near-duplicates` does"


def assess_classifier(
    study: StudyResults,
    probe: "Probe",
    trained: "Trained",
    setting: "Setting",
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Assessment:
    """Assess a classifier by out-of-fold predictions, and by the test images if the study has tested its answer.

    trained, setting, seed: of the classifier. on_progress: called with (done, total) forward passes.
    """
    from objectives.data_quality.assessment import assess

    judged = _result(probe.out_of_fold(setting, seed, trained.details), on_progress)
    tested = None
    if study.finals:
        predictions = _result(probe.tested(setting, trained.classifier), on_progress)
        tested = predictions.labels, predictions.predicted
    return assess(judged.images, judged.labels, judged.probabilities, judged.fits, tested)


def write_page(
    study: StudyResults,
    prepared: "PreparedProbe",
    setting: "Setting",
    assessment: Assessment,
    options: "RunOptions",
    file: Path,
    command: str,
) -> Path:
    """Write the page of a classifier beside its file, and return the page's path. command: a command that uses it."""
    from dashboards.classifier.report import ClassifierReport, write_classifier_page
    from dashboards.study.answer.answer import study_answer
    from dashboards.study.answer.scores import scores
    from objectives.data_quality.near_duplicates import near_duplicates

    dataset = prepared.spec.dataset
    copies = near_duplicates(dataset) if len(dataset) <= COMPARED_IMAGES else None
    accuracy = next((row for row in scores(study) if row.metric == ACCURACY), None)
    sought = {} if copies is not None else {"Copies across splits": NOT_SOUGHT.format(study.dataset)}
    report = ClassifierReport(
        file=file,
        study=study.name,
        dataset=study.title,
        backbone=study.backbone,
        setting=setting,
        architecture=study.architecture,
        names=study.classes,
        assessment=assessment,
        pictures=_pictures(dataset, assessment, copies or ()),
        files=_files(dataset, assessment, copies or ()),
        near_duplicates=copies,
        test_images=int(dataset.is_test.sum()),
        validation=accuracy.validation if accuracy else None,
        test=accuracy.test if accuracy else None,
        answer=study_answer(study),
        commands=(command,),
        python=_python(file),
        facts=page_facts(dataset, options, study.provenance.get("command", "")) | sought,
    )
    return write_classifier_page(report, file.with_suffix(".html"))


def _python(file: Path) -> str:
    lines = (
        "import search",
        "",
        f"classifier = search.Classifier.load({str(file.absolute())!r})",
        "# classifier.predict(images): paths, PIL images, or arrays uint8 (height, width, 3)",
    )
    return "\n".join(lines)


def _result(reports: Generator[Any, None, T], on_progress: Callable[[int, int], None]) -> T:
    """Exhaust a generator of reports, show their progress, and return its result."""
    while True:
        try:
            report = next(reports)
        except StopIteration as end:
            result: T = end.value
            return result
        on_progress(report.done, report.total)


def _pictures(dataset: "Dataset", assessment: Assessment, copies: Sequence[NearDuplicate]) -> dict[int, Picture]:
    from dashboards.classifier.report import PICTURED

    doubtful = assessment.label_errors or ()
    wanted = [mistake.image for mistake in (*doubtful[:PICTURED], *assessment.mistakes[:PICTURED])]
    return pictures_by_image(dataset, [*wanted, *images_pictured(copies)])


def _files(dataset: "Dataset", assessment: Assessment, copies: Sequence[NearDuplicate]) -> dict[int, str]:
    from dashboards.classifier.report import LISTED

    wanted = [mistake.image for mistake in (*(assessment.label_errors or ())[:LISTED], *assessment.mistakes)]
    return file_names(dataset, [*wanted, *images_listed(copies)])
