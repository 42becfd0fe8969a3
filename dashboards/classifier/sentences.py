"""Sentences of a classifier's page: plain text, escaped by whoever prints it."""

from collections.abc import Sequence

from dashboards.classifier.tables import ConfusionGrid
from dashboards.formatting import count, percent, whole_percent
from dashboards.study.answer.answer import Answer
from objectives.results import Assessment, Mistake, NearDuplicate


def study_sentence(answer: Answer) -> str:
    """Say on which images the study measured the validation accuracy at the head of the page."""
    images = count(answer.validation.images, "validation image")
    if len(answer.seeds) < 2:
        return f"The validation accuracy above is the study's, of one classifier on {images}."
    return (
        f"The validation accuracy above is the study's: the mean over {len(answer.seeds)} seeds, each with a "
        f"classifier of its own on {images}."
    )


def judged_sentence(assessment: Assessment) -> str:
    """Say on which images the page judges the classifier."""
    if assessment.fits == 1:
        return (
            f"Everything below is measured on the {assessment.images:,} validation images, by a classifier that was "
            "fitted on the training images alone."
        )
    return (
        f"Everything below is measured on all {assessment.images:,} images outside the test split. Each was judged by "
        f"one of {assessment.fits} classifiers, which was fitted on the other images."
    )


def classes_sentences(assessment: Assessment, names: Sequence[str], shown: int) -> tuple[str, ...]:
    """Name the least accurate class, and say what the intervals mean."""
    measured = [(row.label, row.validation) for row in assessment.classes if row.validation is not None]
    label, worst = min(measured, key=lambda pair: pair[1].value)
    told = f"The least accurate class is ‘{names[label]}’: {worst.correct:,} of {count(worst.total, 'image')}."
    outside = round(0.05 * len(measured))
    of_all = f"; of {len(measured):,} such intervals, about {outside:,} miss the true accuracy" if outside else ""
    fewest = min(accuracy.total for _, accuracy in measured)
    few = f" A class has as few as {count(fewest, 'image')}." if fewest < 20 else ""
    more = f" The {shown:,} least accurate are drawn; the table has all." if shown < len(measured) else ""
    return f"{told} An interval of 95 % holds for its class alone{of_all}.{few}{more}", *_without_images(assessment)


def _without_images(assessment: Assessment) -> tuple[str, ...]:
    absent = sum(row.validation is None for row in assessment.classes)
    if not absent:
        return ()
    return (f"{absent:,} {'class has' if absent == 1 else 'classes have'} no image here.",)


def grid_sentence(grid: ConfusionGrid, classes: int, numbered: bool) -> str:
    """Say how to read the grid, and what it leaves out. numbered: whether columns bear numbers in place of names."""
    by = ", by the number in front of its name" if numbered else ""
    read = f"A row is the true class, a column the predicted one{by}."
    if len(grid.labels) == classes:
        return f"{read} Off the diagonal: {count(grid.mistakes, 'mistake')}."
    share = whole_percent(grid.covered / grid.mistakes)
    others = " The last column counts images that are taken for a class not shown." if any(grid.others) else ""
    return (
        f"{read} These {len(grid.labels)} of {classes:,} classes are in the pairs that are confused most; the grid "
        f"holds {share} of all {count(grid.mistakes, 'mistake')}.{others}"
    )


def label_errors_sentences(assessment: Assessment) -> tuple[str, ...]:
    """Say how many labels are doubtful, what makes them so, and how far the list can be trusted."""
    trial = assessment.label_trial
    tried = (
        f"In a trial, the labels of {count(trial.changed, 'image')} were changed at random: the list then named "
        f"{whole_percent(trial.recall)} of them, and {whole_percent(trial.precision)} of the list were changed ones."
    )
    if assessment.label_errors is None:
        return ("This classifier is too weak to tell wrong labels from its own mistakes.", tried)
    found = len(assessment.label_errors)
    if not found:
        return ("No label is doubtful: no image confidently belongs to another class than its label says.", tried)
    are = "image confidently belongs" if found == 1 else "images confidently belong"
    return (
        f"{found:,} {are} to another class than the label says ({percent(found / assessment.images)} of the judged "
        "images). The least credible label comes first. Look at each: some are mistakes of the classifier.",
        tried,
        "“Confidently” is meant as in confident learning (Northcutt et al. 2021).",
    )


def mistakes_sentence(assessment: Assessment) -> str:
    """Say what the list of confident mistakes holds."""
    beside = ", beside the doubtful labels" if assessment.label_errors else ""
    return f"The mistakes of which the classifier was most certain{beside}."


def mistake_caption(mistake: Mistake, names: Sequence[str]) -> str:
    """ "labelled 3, taken for 8 (97 %; 3: 1 %)"."""
    likely, own = whole_percent(mistake.confidence), whole_percent(mistake.self_confidence)
    return f"labelled ‘{names[mistake.label]}’ ({own}), taken for ‘{names[mistake.predicted]}’ ({likely})"


def copies_sentence(pairs: Sequence[NearDuplicate], test_images: int) -> str:
    """Say how many test images have a near-duplicate, and what follows."""
    if not pairs:
        return f"None of the {test_images:,} test images looks like a changed copy of a training image."
    identical = sum(pair.identical for pair in pairs)
    also = f", {identical:,} of them with the same bytes" if identical else ""
    return (
        f"{len(pairs):,} of {count(test_images, 'test image')} ({percent(len(pairs) / test_images)}) "
        f"{'looks' if len(pairs) == 1 else 'look'} like a changed copy of a training image{also}. Judge by eye. A "
        "classifier may know copies by heart, so the test accuracy may be too high. Remove copies from one split, and "
        "search again."
    )


def copy_caption(pair: NearDuplicate) -> str:
    how = "the same bytes" if pair.identical else f"cosine {pair.similarity:.3f}"
    return f"{how}, mirrored" if pair.mirrored else how
