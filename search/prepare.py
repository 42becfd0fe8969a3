"""Turns options into a checked run: what workers need, the space, the resources and the plan.

Nothing is written here, apart from the block table of a network in a cache that exists. So a mistake costs an error
message and nothing else.
"""

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.formatting import count, shortened
from objectives.datasets.validation import default_folds
from objectives.home import Home
from objectives.results import ACCURACY, StudyResults
from search.options.option import check_type
from search.options.run_options import VALIDATION_FRACTION, RunOptions, backbone_folder, check_study_name
from spaces import (
    FOLDS_TOGETHER,
    PRESETS,
    Architecture,
    BackboneError,
    DatasetError,
    SearchError,
    Space,
    UsageError,
)
from spaces.blocks import INSIDE
from spaces.space import NARROWABLE
from spaces.text import escaped

if TYPE_CHECKING:
    from objectives.datasets.dataset import Dataset
    from objectives.features.plan import Plan
    from objectives.probing.spec import ProbeSpec
    from search.database.records import SavedOptions, StudyRecord
    from search.scheduling.resources import Resources

FILES_NAMED = 3
"""Unreadable files that a phrase names."""


@dataclass(frozen=True)
class PreparedProbe:
    """The parts that score settings, before any network is loaded.

    spec: what a worker needs to build its probe. space: the settings. weights_digest: of the network's weights.
    """

    spec: "ProbeSpec"
    space: Space
    weights_digest: str


@dataclass(frozen=True)
class PreparedRun:
    """A run that can begin.

    options: with the validation that was chosen. counts: images by "train", "validation", "test". plan: an upper bound
    on what it takes. by_rule: whether a rule chose the validation, because the options did not say it.
    """

    options: RunOptions
    probe: PreparedProbe
    resources: "Resources"
    counts: Mapping[str, int]
    plan: "Plan"
    record: "StudyRecord"
    by_rule: bool


def prepare(options: RunOptions, on_found: Callable[[], None] = lambda: None) -> PreparedRun:
    """Plan a run whose options passed `check`. Raises SearchError in words, before a study is written.

    on_found: called when the network, the space and the dataset are found, before the images are decoded.
    """
    options = options.absolute()
    probe = prepare_probe(options, on_found=on_found)
    resources = resources_of(options)
    plan = plan_of(probe, resources, options)
    return _prepared(options, probe, resources, plan)


def _prepared(options: RunOptions, probe: PreparedProbe, resources: "Resources", plan: "Plan") -> PreparedRun:
    spec = probe.spec
    fraction = None if spec.folds else spec.validation_fraction
    resolved = replace(options, folds=spec.folds, validation_fraction=fraction)
    counts = spec.counts(spec.splits(options.seed))
    record = study_record(resolved, probe, counts)
    return PreparedRun(resolved, probe, resources, counts, plan, record, not options.says_validation)


def with_one_split(prepared: PreparedRun) -> PreparedRun:
    """Return the run with the split that validated by default before there was a rule. Raises as `prepare` does."""
    probe = replace(prepared.probe, spec=replace(prepared.probe.spec, folds=None))
    options = replace(prepared.options, folds=None, validation_fraction=None)
    return _prepared(options, probe, prepared.resources, prepared.plan)


def prepare_probe(
    options: RunOptions, space: Space | None = None, on_found: Callable[[], None] = lambda: None
) -> PreparedProbe:
    """Decode and hash every image, and describe the network; load no weights.

    space: the study's own, where there is one; else that of the options. on_found: as of `prepare`. Raises SearchError
    where the dataset, the network or the space cannot be had.
    """
    import numpy as np

    from objectives.backbones.catalog import describe_backbone
    from objectives.backbones.reading import Reading
    from objectives.datasets.catalog import DATASETS, check_root, decoded, listed
    from objectives.datasets.splits import check_trains
    from objectives.probing.spec import ProbeSpec

    home, fraction = options.home_folder, options.validation_fraction
    check_root(options.dataset, options.data_root, home.datasets)
    has_files = DATASETS[options.dataset].needs_root
    images = listed(options.dataset, options.data_root, home.datasets) if has_files else None
    inside = taps_inside(options)
    reading = Reading(options.precision, home.cache, options.image_side, options.prompt, inside)
    architecture, weights_digest = describe_backbone(options.backbone, reading)
    space = narrowed_space(options, architecture) if space is None else space
    on_found()
    images = images or listed(options.dataset, None)
    dataset = decoded(images, options.skip_unreadable)
    check_trains(dataset)
    folds = options.folds
    if not options.says_validation:
        counts = np.bincount(dataset.labels[~dataset.is_test], minlength=len(dataset.classes))
        folds = default_folds(counts.tolist(), space.heads, options.shots)
    spec = ProbeSpec(
        dataset=dataset,
        backbone=options.backbone,
        precision=options.precision,
        image_side=options.image_side,
        prompt=options.prompt,
        taps_inside=inside,
        cache=home.cache,
        grids=space.grids,
        seed=options.seed,
        validation_fraction=VALIDATION_FRACTION if fraction is None else fraction,
        shots=options.shots,
        flips=options.flips,
        balanced=options.balanced,
        folds=folds,
        metric=options.optimised_metric,
        cache_size=options.cache_size,
        halving=options.halving,
    )
    return PreparedProbe(spec, space, weights_digest)


def taps_inside(options: RunOptions) -> tuple[str, ...]:
    """Return the activations inside layers that the options name, each once, in the order of `INSIDE`.

    A name that no network has stays, to be refused where the network is read.
    """
    named = options.taps_inside or ()
    return (*(part for part in INSIDE if part in named), *(part for part in named if part not in INSIDE))


def narrowed_space(options: RunOptions, architecture: Architecture) -> Space:
    """Return the preset or the TOML file's space, narrowed by the options."""
    if options.space in PRESETS:
        space = PRESETS[options.space](architecture)
    else:
        space = PRESETS["default"](architecture).narrow_from_file(Path(options.space))
    return space.narrow(**options.narrowing)


def plan_of(probe: PreparedProbe, resources: "Resources", options: RunOptions) -> "Plan":
    """Plan the passes, bytes and seconds of the search, at most. Raises CacheError where there is no room for it."""
    from objectives.devices import gpu_count
    from objectives.features.cache.feature_cache import Source
    from objectives.features.plan import Demand, check_room, expected_gmacs_per_second, plan_passes

    spec, space = probe.spec, probe.space
    demand = Demand.of(spec.views, space.architecture.image_side, options.trials, options.tested_settings)
    source = Source.of(probe.weights_digest, space.architecture, spec.seed)
    on_this_cpu = options.ray_address is None and not gpu_count()  # the speed of other devices is not known here

    def expected_speed() -> float | None:
        return resources.cpus * expected_gmacs_per_second() if on_this_cpu else None

    planned = plan_passes(demand, space, source, spec.usage(), expected_speed)
    check_room(planned, spec.usage())
    return planned


def resources_of(options: RunOptions, machines: Sequence[Mapping[str, float]] = ()) -> "Resources":
    """Return what the options ask for. By default each GPU has a worker, or where there is none each core.

    machines: what each machine of a cluster has, by Ray's names, once they are known.
    """
    from objectives.devices import available_cores, available_threads, gpu_count
    from search.scheduling.resources import Resources, equal_share, resources_of_cluster, workers_on

    gpus_per_trial = options.gpus_per_trial
    if options.ray_address is not None:
        return resources_of_cluster(
            machines, options.ray_address, options.workers, gpus_per_trial, options.gpu_type if machines else None
        )
    gpus = gpu_count()
    by_gpu = workers_on(gpus, gpus_per_trial) if gpus and gpus_per_trial else gpus
    workers = max(options.workers or by_gpu or available_cores(), 1)
    if gpus_per_trial is None:
        gpus_per_trial = equal_share(gpus, workers) if gpus else 0.0
    cpus = min(max(available_cores() // workers, 1), available_threads())
    return Resources(workers, cpus, gpus_per_trial)


def study_record(options: RunOptions, probe: PreparedProbe, counts: Mapping[str, int]) -> "StudyRecord":
    """Return what the database keeps of the study, from which the study's identity follows."""
    from objectives.datasets.catalog import called
    from objectives.datasets.splits import fingerprint_of
    from objectives.features.versions import changed
    from search.database.records import StudyRecord

    dataset = probe.spec.dataset
    fraction = probe.spec.validation_fraction
    together = probe.spec.fits_folds_together and not FOLDS_TOGETHER.isdisjoint(probe.space.heads)
    return StudyRecord(
        dataset=options.dataset,
        dataset_fingerprint=dataset.fingerprint,
        backbone=printed_backbone(options),
        weights_digest=probe.weights_digest,
        preset=preset_name(options),
        space=probe.space,
        classes=dataset.classes,
        counts=counts,
        protocol={
            "seed": str(options.seed),
            **({"folds": str(options.folds)} if options.folds else {"validation fraction": str(fraction)}),
            **({"fold fits": "together"} if together else {}),
            "split fingerprint": fingerprint_of(probe.spec.splits(options.seed)),
            "precision": options.precision,
            # A study without these options keeps the identity that it had before they existed.
            **changed(),
            **({"image side": str(options.image_side)} if options.image_side else {}),
            **({"prompt": options.prompt} if options.prompt else {}),
            **({"taps inside": ",".join(taps_inside(options))} if options.taps_inside else {}),
            **({"shots": str(options.shots)} if options.shots else {}),
            **({"flips": "horizontal"} if options.flips else {}),
            **({"classes weigh": "the same"} if options.balanced else {}),
            **({"metric": options.optimised_metric} if options.optimised_metric != ACCURACY.name else {}),
            **({"objectives": f"{options.optimised_metric}, cost"} if options.by_cost else {}),
        },
        chosen_name=options.name,
        majority=_majority(dataset),
        called=called(options.dataset, options.absolute().data_root),
    )


def _majority(dataset: "Dataset") -> float:
    """Return the share of the test images that are of the most frequent class among them."""
    labels = dataset.labels[dataset.is_test].tolist()
    return max(Counter(labels).values()) / len(labels)


def left_out_phrases(dataset: "Dataset") -> tuple[str, ...]:
    """Say what was left out of a dataset, the unreadable files first: how many files, why, and some names."""
    if not dataset.skipped:
        return dataset.left_out
    names = shortened(dataset.skipped, FILES_NAMED)
    return f"{count(len(dataset.skipped), 'unreadable file')}: {names}", *dataset.left_out


def page_facts(dataset: "Dataset", options: RunOptions, command: str) -> dict[str, str]:
    """Return label → text: what a page about the features of a dataset says so that others can repeat it.

    command: the command that makes the page's numbers.
    """
    from objectives.features.versions import versions

    phrases = left_out_phrases(dataset)
    return {
        "Dataset fingerprint": dataset.fingerprint,
        **({"Left out": "; ".join(phrases)} if phrases else {}),
        "Seed": str(options.seed),
        "Precision": options.precision,
        **({"Image side": f"{options.image_side} pixels"} if options.image_side else {}),
        **({"Prompt": options.prompt} if options.prompt else {}),
        **({"Taps inside layers": ", ".join(options.taps_inside)} if options.taps_inside else {}),
        **{kind.capitalize(): name for kind, name in versions().items()},
        "Command": command,
    }


def moved_options(
    study: StudyResults,
    saved: "SavedOptions",
    home: Home,
    data_root: str | Path | None = None,
    backbone: str | Path | None = None,
) -> RunOptions:
    """Return the options of the study's last run, with the places where images and network lie now.

    Raises SearchError where no options were kept, BackboneError where the network's folder is gone.
    """
    if saved.options is None:
        command = study.provenance.get("command", "search run …")
        raise SearchError(
            f"study {study.name} was made before runs kept their options; type its `search run` command again, which "
            f"keeps them: {command}"
        )
    options = RunOptions.from_record({**saved.options, "dataset": study.dataset}, home.folder)
    places: dict[str, Any] = {"data_root": data_root, "backbone": backbone}
    for option_name, place in places.items():
        check_type(option_name, place, str | Path | None)
    moved = replace(options, **{option_name: place for option_name, place in places.items() if place})
    if Path(moved.backbone).is_absolute() and not Path(moved.backbone).is_dir():
        raise BackboneError(
            f"there is no network in {moved.backbone}, where study {study.name} had it; name its folder with `backbone`"
        )
    return moved.absolute()


def options_of_study(study: StudyResults, saved: "SavedOptions", home: Home) -> RunOptions:
    """Return the options with which a run continues a study: those of its last run, in its own space.

    Raises as `moved_options` does.
    """
    preset = study.preset.partition(" ")[0]
    options = replace(moved_options(study, saved, home), space=preset if preset in PRESETS else "default")
    whole = PRESETS[options.space](saved.space.architecture)
    own = {name: getattr(saved.space, name) for name in NARROWABLE}
    narrowing = {name: values for name, values in own.items() if values != getattr(whole, name)}
    try:
        check_study_name(study.name)
    except UsageError:  # so long a name was made from the options, and is made from them again
        return replace(options, **narrowing)
    return replace(options, name=study.name, **narrowing)


def check_same(study: StudyResults, prepared: PreparedProbe) -> None:
    """Raise a SearchError where the images, the network, or their transform and noise are not those of the study."""
    from objectives.features.versions import versions

    for kind, name in versions().items():
        if study.provenance[kind] != name:
            raise SearchError(
                f"study {study.name} was made with the {kind} {study.provenance[kind]!r}, this version has {name!r}: "
                "use the version that made it, or search again"
            )
    fingerprint, digest = (study.provenance[name] for name in ("dataset fingerprint", "weights digest"))
    spec = prepared.spec
    if spec.dataset.fingerprint != fingerprint:
        raise DatasetError(
            f"the images of dataset {study.dataset} are not those of study {study.name}: their fingerprint is "
            f"{spec.dataset.fingerprint[:12]}, the study's {fingerprint[:12]}; name the study's images with `data_root`"
        )
    if prepared.weights_digest != digest:
        raise BackboneError(
            f"the network {spec.backbone} is not that of study {study.name}: its digest is "
            f"{prepared.weights_digest[:12]}, the study's {digest[:12]}; name the study's network with `backbone`"
        )


def printed_backbone(options: RunOptions) -> str:
    """Return what a person calls the network: its name or hub id, or the name of its folder."""
    folder = backbone_folder(options.backbone)
    return escaped(folder.absolute().name if folder else options.backbone)


def preset_name(options: RunOptions) -> str:
    """Return what a person calls the space: the preset's or file's name, and whether it was narrowed further."""
    name = escaped(Path(options.space).stem)
    return f"{name} narrowed" if any(values is not None for values in options.narrowing.values()) else name


def library_versions() -> dict[str, str]:
    """Return the version of every library that a result depends on."""
    libraries = ("diffusion-feature-search", "torch", "diffusers", "optuna", "ray", "scikit-learn", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in libraries}}
