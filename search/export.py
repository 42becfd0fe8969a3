"""A study's answer as a classifier in a file: fitted as its final was, so that what the study says of it holds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.home import Home
from objectives.results import Accuracy, Final, StudyResults
from search.cli.options import printable
from search.reports.answer import answer_of
from search.run import RunOptions, spec_of, threads_of
from search.scheduling.resources import available_cores
from spaces import BackboneError, ClassifierError, DatasetError, SearchError, Setting
from spaces.errors import UsageError

if TYPE_CHECKING:
    from objectives.classifier_file import Origin
    from objectives.probe import ProbeSpec
    from search.database.records import SavedOptions

WORTH = ("study", "dataset", "metric", "validation_accuracy", "validation_interval", "test_accuracy", "test_interval")
"""Of `answer_of`, what goes into the file, beside the scores by every metric and the seeds that they are means of."""


def export(
    study: StudyResults,
    recipe: "SavedOptions",
    home: Home,
    say: Callable[[str], None],
    out: Path | None = None,
    data_root: str | None = None,
    backbone: str | None = None,
) -> Path:
    """Fit the answer's classifier on train and validation images, write it, and return where it lies.

    The seed is the first of the finals', so that it is the classifier which that one tested. say: takes lines that a
    person should read. out: the file, None for one in the home folder. data_root, backbone: where the images and the
    network lie, if not where they were. Raises SearchError in words; where they are not the study's, before anything is
    fitted.
    """
    from objectives.classifier_file import Saved, save
    from objectives.features.quota import KINDS
    from objectives.probe import Trained, use_threads
    from search.display.live_table import extracting

    answer = answer_of(study)
    setting, options = Setting.from_dict(answer["setting"]), options_of(study, recipe, home, data_root, backbone)
    path = ready(out or home.classifiers / f"{study.name}.safetensors")
    spec, _, weights_digest = spec_of(options, recipe.space)
    check_same(study, spec, weights_digest)
    seed = min(answer["seeds"], default=options.seed + 1)
    if not answer["seeds"]:
        say(f"there are no finals yet: of the best complete trial, {setting}, which no test image has judged")
    probe, usage = spec.build(available_cores()), spec.usage()
    with usage.using(spec.views, [usage.folder / kind for kind in KINDS]):
        extracting(probe.extract(setting))
        use_threads(threads_of(options))  # as the run did: the last bits of a fit depend on them
        *_, trained = probe.train(setting, seed)
    assert isinstance(trained, Trained)
    final = next((each for each in study.finals if (each.setting, each.seed) == (setting, seed)), None)
    if final is not None and final.validation != trained.validation:
        say(
            f"the fit is not quite the study's: right on {_counts(trained.validation)} validation images, there on "
            f"{_counts(final.validation)}; the device or a library's version is another"
        )
        final = None
    results = {name: answer[name] for name in (*WORTH, "scores", "seeds")}
    results["fitted"] = _fitted(seed, trained.validation, final)
    origin = origin_of(spec, weights_digest, setting)
    save(Saved(trained.classifier, setting, study.classes, trained.layout.groups, origin, results), path)
    return path


def options_of(
    study: StudyResults, recipe: "SavedOptions", home: Home, data_root: str | None, backbone: str | None
) -> RunOptions:
    """Those of the study's last run. Raises SearchError where none were kept, BackboneError where a folder is gone."""
    if recipe.options is None:
        command = printable(study.provenance.get("command", "search run …"))
        raise SearchError(
            f"study {study.name} was made before runs kept what they were told; type its `search run` command again, "
            f"which keeps it: {command}"
        )
    options = RunOptions.of({**recipe.options, "dataset": study.dataset}, home)
    moved = replace(options, data_root=data_root or options.data_root, backbone=backbone or options.backbone)
    if Path(moved.backbone).is_absolute() and not Path(moved.backbone).is_dir():
        raise BackboneError(
            f"there is no network in {moved.backbone}, where study {study.name} had it; name its folder with --backbone"
        )
    return moved.absolute()


def ready(path: Path) -> Path:
    """The path, once a file can be made there: hours may pass until it is. Raises UsageError or ClassifierError."""
    if path.is_dir():
        raise UsageError(f"--out takes a file, got the folder {path}; add a name such as {path / 'birds.safetensors'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClassifierError(f"the classifier cannot be written to {path}: {error.strerror}") from None
    return path


def check_same(study: StudyResults, spec: "ProbeSpec", weights_digest: str) -> None:
    """Raises DatasetError or BackboneError where the images or the network are not those of the study."""
    fingerprint, digest = (study.provenance[name] for name in ("dataset fingerprint", "weights digest"))
    if spec.dataset.fingerprint != fingerprint:
        raise DatasetError(
            f"the images of dataset {study.dataset} are not those of study {study.name}: their fingerprint is "
            f"{spec.dataset.fingerprint[:12]}, the study's {fingerprint[:12]}; name the study's with --data-root"
        )
    if weights_digest != digest:
        raise BackboneError(
            f"the network {spec.backbone} is not that of study {study.name}: its digest is {weights_digest[:12]}, the "
            f"study's {digest[:12]}; name the study's with --backbone"
        )


def origin_of(spec: "ProbeSpec", weights_digest: str, setting: Setting) -> "Origin":
    """What makes the setting's features of an image."""
    from objectives.classifier_file import Origin
    from objectives.datasets.images import TRANSFORM

    grids = {tap.block: spec.grids[tap.block] for tap in setting.taps}
    return Origin(spec.backbone, weights_digest, spec.precision, TRANSFORM, spec.seed, grids)


def _fitted(seed: int, validation: Accuracy, final: Final | None) -> dict[str, Any]:
    """Of this very classifier, [correct, total] images; of the test only where it is the one that a final tested."""
    test = [final.test.correct, final.test.total] if final else None
    return {"seed": seed, "validation": [validation.correct, validation.total], "test": test}


def _counts(accuracy: Accuracy) -> str:
    return f"{accuracy.correct:,} of {accuracy.total:,}"
