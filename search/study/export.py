"""Exports the best setting of a study as a classifier in a file, fitted as its final was."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.study.answer.answer import RULES
from objectives.devices import available_threads
from objectives.home import Home, may_write
from objectives.results import Accuracy, Final, StudyResults
from search.prepare import PreparedProbe, check_same, moved_options, prepare_probe, resources_of
from search.reports.answer import answer_of, answer_record, warning_of
from search.reports.classifier_page import assess_classifier, write_page
from search.reports.study_report import write_study_report
from spaces import ClassifierError, Setting
from spaces.errors import UsageError
from spaces.text import is_utf8

if TYPE_CHECKING:
    from objectives.classifier_file import Origin
    from search.database.records import SavedOptions

SUFFIX = ".safetensors"
"""The end of the name of a classifier's file. Its page has the same name, with .html in its place."""

KEPT = ("study", "dataset", "metric", "validation_accuracy", "validation_interval", "test_accuracy", "test_interval")
"""The parts of `answer_record` that go into the file, beside the scores by every metric and their seeds."""


@dataclass(frozen=True)
class Exported:
    """An exported classifier.

    page: how good it is on each class, its mistakes, and likely label errors. notes: sentences that say where it is no
    better than chance or than a baseline, and where it is not the classifier that the study tested.
    """

    path: Path
    page: Path
    notes: tuple[str, ...]


def export_classifier(
    study: StudyResults,
    saved: "SavedOptions",
    home: Home,
    out: Path | None = None,
    data_root: str | Path | None = None,
    backbone: str | Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Fit the best setting's classifier on train + validation images, write it, and write its page beside it.

    The seed is that of the first final, so that the classifier is the one which that final tested. out: the file, which
    ends in .safetensors; None for one in the home folder. The page is beside it and ends in .html. A file of another
    kind is not replaced. data_root, backbone: where the images and the network lie now, if they have moved.
    on_progress: called with (done, total) forward passes. Raises SearchError in words, before anything is fitted where
    the images or the network are not those of the study.
    """
    from objectives.classifier_file import Saved, save
    from objectives.devices import use_threads
    from objectives.features.cache.quota import CONTENTS
    from objectives.probing.probe import Probe, Trained

    if out is not None:
        check_file(out)
    answer = answer_record(study)
    warning = warning_of(study)
    setting, options = Setting.from_dict(answer["setting"]), moved_options(study, saved, home, data_root, backbone)
    path = writable(out or home.classifiers / f"{study.name}.safetensors")
    prepared = prepare_probe(options, saved.space)
    check_same(study, prepared)
    notes = [warning] if warning else []
    if not answer["seeds"]:
        notes.append(untested_note(study))
    seed = min(answer["seeds"], default=options.seed + 1)
    probe, usage = Probe.build(prepared.spec, available_threads()), prepared.spec.usage()
    with usage.using(prepared.spec.views, [usage.folder / kind for kind in CONTENTS]):
        for report in probe.extract(setting):
            on_progress(report.done, report.total)
        use_threads(resources_of(options).cpus)  # as the run did: the last bits of a fit depend on the threads
        *_, trained = probe.train(setting, seed)
        if not isinstance(trained, Trained):
            raise TypeError(f"the probe ended with {type(trained).__name__} in place of a classifier")
        assessed = assess_classifier(study, probe, trained, setting, seed, on_progress)
    final = next((final for final in study.finals if (final.setting, final.seed) == (setting, seed)), None)
    if final is not None and final.validation != trained.validation:
        notes.append(
            f"This fit differs from the study's: it is right on {_counts(trained.validation)} validation images, the "
            f"study's on {_counts(final.validation)}. The device or a library's version has changed."
        )
        final = None
    results = {name: answer[name] for name in (*KEPT, "scores", "seeds")}
    results["fitted"] = _fitted(seed, trained.validation, final)
    origin = feature_origin(prepared, setting)
    save(Saved(trained.classifier, setting, study.classes, trained.layout.groups, origin, results), path)
    page = write_page(study, prepared, setting, assessed, options, path, classify_command(path, home))
    if out is None and (home.reports / f"{study.name}.html").is_file():
        write_study_report(study, home.reports)  # which now shows the way to this page
    return Exported(path, page, tuple(notes))


def untested_note(study: StudyResults) -> str:
    """Name the answer of a study that has not tested it, and say how it was chosen."""
    answer = answer_of(study)
    if answer.rule == "trials":
        return (
            f"The study has no test result yet; this is the best trial, {answer.setting}, whose test accuracy is "
            "unknown."
        )
    return (
        f"The study has no test result yet; this is its answer so far, {answer.setting}: {RULES[answer.rule]}. "
        "Its test accuracy is unknown."
    )


def classify_command(file: Path, home: Home) -> str:
    """Return the command that uses a classifier. It names the home folder unless that is the default one."""
    words = ["search", "classify", str(file.absolute())]
    words += [] if home.is_default else ["--home", str(home.folder)]
    return f"{shlex.join(words)} IMAGE_OR_FOLDER"


def check_file(path: Path) -> None:
    """Raise UsageError where a classifier or its page would replace a file of another kind, or has another suffix."""
    from dashboards.classifier.report import is_classifier_page
    from objectives.classifier_file import is_classifier

    if path.is_dir():
        raise UsageError(f"`out` takes a file, got the folder {path}; add a name such as {path / 'birds.safetensors'}")
    if path.suffix != SUFFIX:
        raise UsageError(f"`out` takes a file that ends in {SUFFIX}, got {path}; give {Path(f'{path}{SUFFIX}')}")
    page = path.with_suffix(".html")
    if path.exists() and not is_classifier(path):
        raise UsageError(f"`out` {path} is there already and is no classifier; choose another name")
    if page.exists() and not is_classifier_page(page):
        raise UsageError(
            f"`out` {path} has its page in {page}, which is there already and is no page of a classifier; choose "
            "another name"
        )


def writable(path: Path) -> Path:
    """Return the path once a file can be made there. Raises UsageError for no UTF-8, ClassifierError otherwise."""
    if not is_utf8(path):
        raise UsageError(f"`out` must be a path in UTF-8, got {path}; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClassifierError(f"the classifier cannot be written to {path}: {error.strerror}") from None
    if not may_write(path if path.exists() else path.parent):
        raise ClassifierError(f"the classifier cannot be written to {path}: Permission denied")
    return path


def feature_origin(prepared: PreparedProbe, setting: Setting) -> "Origin":
    """Return what makes the setting's features from an image."""
    from objectives.classifier_file import Origin
    from objectives.datasets.images import TRANSFORM

    spec = prepared.spec
    grids = {tap.block: spec.grids[tap.block] for tap in setting.taps}
    return Origin(
        spec.backbone,
        prepared.weights_digest,
        spec.precision,
        TRANSFORM,
        spec.seed,
        grids,
        image_side=spec.image_side,
        prompt=spec.prompt,
        taps_inside=spec.taps_inside,
    )


def _fitted(seed: int, validation: Accuracy, final: Final | None) -> dict[str, Any]:
    """Return [correct, total] images of this classifier; on test only where a final tested this very classifier."""
    test = [final.test.correct, final.test.total] if final else None
    return {"seed": seed, "validation": [validation.correct, validation.total], "test": test}


def _counts(accuracy: Accuracy) -> str:
    return f"{accuracy.correct:,} of {accuracy.total:,}"
