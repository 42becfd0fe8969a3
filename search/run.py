"""One run from its options to its report: the whole product in the order in which it happens."""

import importlib.metadata
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from objectives.home import Home
from objectives.results import ACCURACY, SELECTION_METRICS
from search.reports.answer import answer_lines, spread
from search.scheduling.resources import available_cores
from spaces import HEAD_OPTIONS, PRESETS, Architecture, Setting, Space
from spaces.lookup import check_name

if TYPE_CHECKING:
    from rich.console import Console

    from objectives.features.plan import Plan
    from objectives.probe import ProbeSpec
    from objectives.results import Final, StudyResults
    from search.database.records import RunState
    from search.database.store import Store
    from search.scheduling.resources import Resources


@dataclass(frozen=True)
class RunOptions:
    """What `search run` takes; every field as its option says. narrowing: dimension → values, None leaves it."""

    dataset: str
    home: Home
    data_root: Path | str | None = None
    trials: int = 100
    backbone: str = "bundled"
    space: str = "default"
    narrowing: Mapping[str, Sequence[Any] | None] = field(default_factory=dict)
    sampler: str | None = None
    seed: int = 0
    validation_fraction: float = 0.2
    shots: int | None = None
    flips: bool = False
    balanced: bool = False
    folds: int | None = None
    metric: str = ACCURACY.name
    cost: bool = False
    halving: bool = False
    finalists: int = 3
    final_seeds: int = 5
    workers: int | None = None
    gpus_per_trial: float | None = None
    precision: str = "float32"
    skip_unreadable: bool = False
    ray_address: str | None = None
    storage: str | None = None
    cache_size: int | None = None
    warm_start: bool = True
    command: str = ""

    def absolute(self) -> Self:
        """With folders that are found from anywhere: workers run elsewhere, and other commands are typed elsewhere."""
        root, folder = self.data_root, folder_of(self.backbone)
        return replace(
            self,
            data_root=Path(root).absolute() if root is not None and Path(root).exists() else root,
            backbone=self.backbone if folder is None else str(folder.absolute()),
        )

    def kept(self) -> dict[str, Any]:
        """JSON-ready, for the study database: all from which its features and fits follow, beside the study's space.

        What may hold a password is left out.
        """
        values = {each.name: getattr(self.absolute(), each.name) for each in fields(self) if each.name not in NOT_KEPT}
        return values | {"data_root": values["data_root"] and str(values["data_root"])}

    @classmethod
    def of(cls, kept: Mapping[str, Any], home: Home) -> Self:
        """The inverse of `kept`, in a home folder. What a newer version kept besides is left out."""
        prior = {each.name for each in fields(cls)} - NOT_KEPT
        return cls(home=home, **{name: value for name, value in kept.items() if name in prior})


FORMER_NAMES = {"ladder": "halving"}
"""Options of former versions, under which older studies kept them."""

NOT_KEPT = frozenset({"home", "storage", "ray_address", "command", "space", "narrowing"})


def run_search(options: RunOptions, console: "Console") -> "StudyResults":
    """Search until the study has `options.trials` finished trials, test the finalists, write the report.

    Everything is checked before anything is written. Raises SearchError in words, and KeyboardInterrupt after Ctrl-C or
    SIGTERM; then the same options go on where this run stopped.
    """
    check_names(options)

    from dashboards.formatting import of_images
    from objectives.datasets.splits import fingerprint_of
    from search.database.heartbeat import heartbeat
    from search.database.records import RunRecord, StudyRecord
    from search.database.store import Store
    from search.display.live_table import RunProgress
    from search.recommendation.warm_start import prior_knowledge, screen_first
    from search.reports.dashboard_sync import refreshing
    from search.reports.thumbnails import keep_pictures
    from search.samplers.catalog import default_sampler, sampler_named
    from search.scheduling.driver import StudyDriver
    from search.scheduling.ray_tune import ray_session, run_study

    options = options.absolute()
    spec, space, weights_digest = spec_of(options)
    dataset, resources = spec.dataset, resources_of(options)
    planned = plan_of(spec, space, weights_digest, resources, options)
    splits, folds = spec.splits(options.seed), str(options.folds) if options.folds else None
    counts = spec.counts(splits)
    facts = StudyRecord(
        dataset=options.dataset,
        dataset_fingerprint=dataset.fingerprint,
        backbone=folder.name if (folder := folder_of(options.backbone)) else options.backbone,
        weights_digest=weights_digest,
        preset=preset_of(options),
        space=space,
        classes=dataset.classes,
        counts=counts,
        protocol={
            "seed": str(options.seed),
            **({"folds": folds} if folds else {"validation fraction": str(options.validation_fraction)}),
            "split fingerprint": fingerprint_of(splits),
            "precision": options.precision,
            # Studies without these keep the identity that they have.
            **({"shots": str(options.shots)} if options.shots else {}),
            **({"flips": "horizontal"} if options.flips else {}),
            **({"classes weigh": "the same"} if options.balanced else {}),
            **({"metric": options.metric} if options.metric != ACCURACY.name else {}),
            **({"objectives": f"{options.metric}, cost"} if options.cost else {}),
        },
    )
    console.print(
        f"{options.dataset}: {len(dataset):,} images of {len(dataset.classes)} classes ({of_images(counts, folds)})"
        + (f"; {len(dataset.skipped):,} unreadable files left out" if dataset.skipped else ""),
        highlight=False,
    )
    with Store.open(options.storage or options.home.storage) as store:
        name = store.ensure_study(facts)
        console.print(f"study {name}: {len(space):,} settings, {resources.workers} workers", highlight=False)
        console.print(planned.words(resources.workers), highlight=False)
        command = store.address.masked(options.command)
        run_id = store.begin_run(
            name, RunRecord(resources.workers, command, library_versions(), options=options.kept())
        )
        state: RunState = "failed"
        try:
            before = store.read_study(name)
            if not before.trials and screens_first(options, space):
                console.print("screening the settings first (--no-warm-start does not)", highlight=False)
                with heartbeat(lambda: store.record_heartbeat(run_id)):
                    screen_first(store, spec, space, weights_digest, available_cores())
                planned = plan_of(spec, space, weights_digest, resources, options)
            prior = prior_knowledge(store, name, spec, space, weights_digest, planned, options.warm_start)
            proposer = sampler_named(options.sampler or default_sampler(space, options.cost), options.seed, prior)
            driver = StudyDriver(store, name, space, proposer, seed=options.seed, budget=options.trials, run_id=run_id)
            driver.reconcile()
            before = store.read_study(name)
            finals = Finals(store, name, options)
            reason = f"the study has {before.finished} finished trials already"
            if before.finished < options.trials or finals.wanted():
                progress = RunProgress.of(console, options.trials, before)
                in_use = spec.usage().using(spec.views, planned.folders)
                shown = refreshing(store, name, run_id, options.home.reports / f"{name}.html")
                with (
                    in_use,
                    heartbeat(lambda: store.record_heartbeat(run_id)),
                    shown,
                    progress.showing(),
                    ray_session(resources),
                ):
                    reason = run_study(driver, spec, finals, resources, progress)
                keep_pictures(store, name, spec)
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            console.print("interrupted: every finished trial is kept; type the same command again to go on")
            raise
        finally:
            store.end_run(run_id, state)
        study = store.read_study(name)
        report = publish(study, store, options.home)
    console.print(f"{reason}\n", highlight=False, markup=False)  # a trial's error may hold [brackets]
    lines = [*answer_lines(study), f"report      {report}", f"use it      {export_command(name, options)}"]
    console.print("\n".join(lines), highlight=False, markup=False)
    return study


def screens_first(options: RunOptions, space: Space) -> bool:
    """Whether a new study should. A cluster's network and cache are not this machine's."""
    from search.recommendation.warm_start import WORTH_SCREENING

    enough = options.trials >= WORTH_SCREENING and len(space) > options.trials
    return options.warm_start and options.ray_address is None and 1 in space.taps and enough


def check_names(options: RunOptions) -> None:
    """Refuse at once what needs no loading to be refused."""
    from objectives.datasets.catalog import DATASETS
    from search.database.url import Address
    from search.samplers.catalog import sampler_named

    check_name("dataset", options.dataset, DATASETS)
    Address(options.storage or options.home.storage)
    if not options.space.endswith(".toml"):
        check_name("space", options.space, [*PRESETS, "a .toml file"])
    if options.sampler is not None:
        sampler_named(options.sampler, options.seed)
    check_name("metric", options.metric, SELECTION_METRICS)
    for head in options.narrowing.get("heads") or ():
        check_name("head", head, HEAD_OPTIONS)


def spec_of(options: RunOptions, space: Space | None = None) -> tuple["ProbeSpec", Space, str]:
    """What workers need, the space, which is that of the options if none is given, and the weights' digest.

    Decodes and hashes every image; loads no weights. Raises SearchError where dataset, network or space cannot be had.
    """
    from objectives.backbones.catalog import describe_backbone
    from objectives.datasets.catalog import load_dataset
    from objectives.probe import ProbeSpec

    dataset = load_dataset(
        options.dataset,
        options.data_root,
        fetched=options.home.datasets,
        skip_unreadable=options.skip_unreadable,
    )
    architecture, weights_digest = describe_backbone(options.backbone, options.precision, options.home.cache)
    space = space_of(options, architecture) if space is None else space
    spec = ProbeSpec(
        dataset=dataset,
        backbone=options.backbone,
        precision=options.precision,
        cache=options.home.cache,
        grids=space.grids,
        seed=options.seed,
        validation_fraction=options.validation_fraction,
        shots=options.shots,
        flips=options.flips,
        balanced=options.balanced,
        folds=options.folds,
        metric=options.metric,
        cache_size=options.cache_size,
        halving=options.halving,
    )
    return spec, space, weights_digest


def plan_of(
    spec: "ProbeSpec", space: Space, weights_digest: str, resources: "Resources", options: RunOptions
) -> "Plan":
    """What the search will take at most. Raises CacheError where there is no room for it."""
    from objectives.features.extraction import source_of
    from objectives.features.plan import Demand, check_room, expected_gmacs_per_second, plan
    from objectives.probe import gpu_count

    side = space.architecture.image_side
    demand = Demand.of(spec.views, side, options.trials, options.finalists)
    source = source_of(weights_digest, space.architecture, spec.seed)
    alone = options.ray_address is None and not gpu_count()  # what others can do is not seen from here
    speed = resources.cpus * expected_gmacs_per_second() if alone else None
    planned = plan(demand, space, source, spec.usage(), speed)
    check_room(planned, spec.usage())
    return planned


@dataclass(frozen=True)
class Finals:
    """The finalists of a study: the best of its complete trials on validation, or where the cost counts too so many of
    those that are the best for theirs, under seeds other than the search's."""

    store: "Store"
    study: str
    options: RunOptions

    def wanted(self) -> list[tuple[Setting, int]]:
        """(setting, seed) of those that have not been re-evaluated yet."""
        study, options = self.store.read_study(self.study), self.options
        finalists = (
            spread(study.pareto_front, options.finalists) if study.by_cost else study.complete[: options.finalists]
        )
        seeds = range(options.seed + 1, options.seed + 1 + options.final_seeds)
        done = {(final.setting, final.seed) for final in study.finals}
        wanted = [(trial.setting, seed) for trial in finalists for seed in seeds]
        return [pair for pair in wanted if pair not in done]

    def keep(self, final: "Final") -> None:
        self.store.record_final(self.study, final)


def publish(study: "StudyResults", store: "Store", home: Home) -> Path:
    """Write the report, and show the same figures in Optuna Dashboard."""
    from search.reports.dashboard_sync import show
    from search.reports.study_report import written

    report = written(study, home.reports / f"{study.name}.html")
    show(store, study.name, report)
    return report


def export_command(study: str, options: RunOptions) -> str:
    """What to type for the study's classifier; the password of a storage is masked."""
    from search.database.url import Address

    words = ["search", "export", "--study", study]
    if options.home != Home.at(None):
        words += ["--home", str(options.home.folder)]
    if options.storage is not None:
        words += ["--storage", str(Address(options.storage))]
    return shlex.join(words)


def resources_of(options: RunOptions) -> "Resources":
    """What was asked for; by default a worker a GPU, or where there is none a worker a core."""
    from objectives.probe import gpu_count
    from search.scheduling.resources import Resources

    gpus, workers, each = gpu_count(), workers_of(options), options.gpus_per_trial
    if each is None:
        each = gpus / workers if gpus and not options.ray_address else 0.0
    return Resources(workers, threads_of(options), each, options.ray_address)


def workers_of(options: RunOptions) -> int:
    """Trials at a time, on this machine where nothing else was asked for."""
    from objectives.probe import gpu_count

    gpus, each = gpu_count(), options.gpus_per_trial
    return max(options.workers or (int(gpus / each) if gpus and each else gpus or available_cores()), 1)


def threads_of(options: RunOptions) -> int:
    """CPU threads of each worker: the last bits of a fit depend on them."""
    return max(available_cores() // workers_of(options), 1)


def folder_of(backbone: str) -> Path | None:
    """The folder that a backbone is, where it goes by no name of its own."""
    from objectives.backbones.catalog import BACKBONES

    return Path(backbone) if backbone not in BACKBONES and Path(backbone).is_dir() else None


def preset_of(options: RunOptions) -> str:
    """What a person calls the space: the preset's or file's name, and whether it was narrowed further."""
    name = Path(options.space).stem
    return f"{name} narrowed" if any(values is not None for values in options.narrowing.values()) else name


def library_versions() -> dict[str, str]:
    """Of everything that a result depends on."""
    libraries = ("diffusion-feature-search", "torch", "diffusers", "optuna", "ray", "scikit-learn", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in libraries}}


def space_of(options: RunOptions, architecture: Architecture) -> Space:
    """The preset or the TOML file, narrowed by what was named."""
    if options.space in PRESETS:
        space = PRESETS[options.space](architecture)
    else:
        space = PRESETS["default"](architecture).narrow_from_file(Path(options.space))
    return space.narrow(**options.narrowing)
