"""The options of a search, as plain data: the one place that defines an option.

`search run` makes its flags and its help from these fields, and `search.run` takes the fields as keywords.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, get_type_hints

from objectives.datasets.validation import FEW, FOLDS_OF_FEW, FOLDS_OF_MORE, MORE
from objectives.home import Home
from objectives.results import ACCURACY, METRICS, SELECTION_METRICS
from search.options.option import MOST, MOST_SEED, OptionInfo, check_range, check_type, option, option_info
from search.options.sets import KEPT
from spaces import Setting, UsageError, check_name
from spaces.errors import shown

LONGEST_STUDY_NAME = 60
"""Characters of a study's name, which is also the name of its report and of its classifier."""

COST = "cost"
"""The objective that may be minimised beside a metric: GMAC to classify an image."""

VALIDATION_FRACTION = 0.2

CANDIDATES = 6
"""The most candidates for the answer that are compared on other splits."""

ROUNDS, ROUNDS_OF_FOLDS = 5, 2
"""The most rounds of that comparison. With folds every round has the same images, so that further ones tell little."""

PARETO_FINALISTS = 3
"""Settings of a Pareto front that are re-evaluated and tested."""


def rounds_of(final_seeds: int | None, folds: int | None) -> int:
    """Return the most rounds of an option `final_seeds` that may not be given."""
    return final_seeds or (ROUNDS_OF_FOLDS if folds else ROUNDS)


@dataclass(frozen=True)
class RunOptions:
    """The options of a search. The help of each option is the documentation of its field."""

    dataset: str = field(
        metadata={
            "option": OptionInfo("A name from `search datasets`; folder, csv or huggingface for your own images.")
        }
    )
    _: KW_ONLY
    data_root: str | Path | None = option(
        None,
        "Where the images lie, or the hub id of a huggingface dataset. digits and fetched datasets need none.",
        metavar="PATH",
    )
    name: str | None = option(
        None, "Name of the study. [default: made of the dataset or folder, the network and the space]"
    )
    trials: int = option(100, "Continue until the study has this many finished trials.", low=1, high=MOST)
    backbone: str = option("bundled", "A name from `search backbones`, a local folder, or a hub id.", path=True)
    space: str = option("default", "default, paper, or a TOML file that narrows the default.", path=True)
    blocks: Sequence[int] | None = option(None, "Only these blocks, e.g. 10,13-18.", notation="integers")
    timesteps: Sequence[int] | None = option(None, "Only these timesteps, e.g. 10,50,90.", notation="integers")
    pools: Sequence[int] | None = option(None, "Only these pool sizes, e.g. 1,2,4.", notation="integers")
    heads: Sequence[str] | None = option(None, "Only these heads, e.g. linear,mlp.", notation="names")
    draws: Sequence[int] | None = option(
        None,
        "Noise draws to average, e.g. 0,1,4. Each costs a forward pass; 0 is one without noise. [default: 1]",
        notation="integers",
    )
    taps: Sequence[int] | None = option(
        None,
        "How many (block, timestep) pairs a setting may read together, e.g. 1-3. [default: 1]",
        notation="integers",
    )
    sampler: str | None = option(
        None,
        "cost-aware, tpe, greedy, random, grid, qmc or gp. "
        "[default: cost-aware; greedy with several taps; tpe with several objectives]",
    )
    warm_start: bool = option(True, "Screen a new study's settings first, and learn from past studies.")
    seed: int = option(0, "Random seed for the sampler, noise, split and heads.", low=0, high=MOST_SEED)
    validation_fraction: float | None = option(
        None,
        "Share of the training images that validates. "
        f"[default: folds; {VALIDATION_FRACTION} for many images, or for classes of one or two]",
        low=0.05,
        high=0.5,
    )
    folds: int | None = option(
        None,
        f"Cross-validate in this many folds. [default: {FOLDS_OF_FEW} up to {FEW:,} training images if all heads are "
        f"linear, else {FOLDS_OF_MORE} up to {MORE:,}, none for more]",
        low=2,
        high=MOST,
    )
    shots: int | None = option(
        None, "Fit heads on this many training images of each class. [default: all]", low=1, high=MOST
    )
    flips: bool = option(False, "Fit heads on mirror images too. Each training image then costs another forward pass.")
    balanced: bool = option(False, "Give every class the same weight when heads are fitted.")
    metric: str | None = option(
        None, "Metric to optimise on validation: accuracy, mean-per-class or nll. [default: accuracy]"
    )
    objectives: Sequence[str] | None = option(
        None,
        "Use instead of metric: accuracy,cost searches for the best setting at each cost, in GMAC an image.",
        notation="names",
    )
    halving: bool = option(
        False,
        "Successive halving: try a setting that needs new forward passes on a quarter, then half of the images, and "
        "stop it unless it is in the better half so far.",
        former="ladder",
    )
    finalists: int | None = option(
        None,
        "Most candidates for the answer, which are compared on other splits. "
        f"[default: {CANDIDATES}; with several objectives {PARETO_FINALISTS}, which are all tested]",
        low=1,
        high=MOST,
    )
    final_seeds: int | None = option(
        None,
        "Most rounds of that comparison, and seeds of the test. Each seed has its own split. "
        f"[default: {ROUNDS}; with folds {ROUNDS_OF_FOLDS}, since each round has all images]",
        low=1,
        high=1000,
    )
    workers: int | None = option(None, "Trials at a time. [default: one a GPU, or one a core]", low=1, high=10_000)
    gpus_per_trial: float | None = option(
        None, "GPUs of each worker; a fraction such as 0.25 shares one. [default: an equal share]", low=0, high=1000
    )
    gpu_type: str | None = option(
        None, "On a cluster: only GPUs of this type, as Ray names it, e.g. A100. [default: any]", metavar="TYPE"
    )
    precision: str = option("float32", "Precision of the forward passes: float32, bfloat16 or float16.")
    image_side: int | None = option(
        None,
        "Side of the images in pixels, for networks that take several. [default: that of the network's training]",
        low=1,
        high=4096,
    )
    prompt: str | None = option(
        None, "The text for a network that reads one. [default: the empty text]", metavar="TEXT"
    )
    taps_inside: Sequence[str] | None = option(
        None,
        "Blocks inside each layer of a transformer too: modulated, query, key, value, mlp. [default: none]",
        notation="names",
    )
    skip_unreadable: bool = option(False, "Leave out files that are no readable image.")
    ray_address: str | None = option(
        None, "A running Ray cluster. [default: a private Ray on this machine]", metavar="HOST:PORT"
    )
    cache_size: int | None = option(
        None,
        "Most that the feature cache may take, e.g. 200GB. [default: all the disk has]",
        metavar="SIZE",
        low=1,
        high=2**63 - 1,
        notation="size",
    )
    time_limit: float | None = option(
        None,
        "Most time for this run, from its start to its report, e.g. 45s, 90m or 1h30m. It keeps time for the finals, "
        "and also ends after the trials.",
        metavar="TIME",
        low=1,
        high=MOST,
        notation="duration",
        flag="for",
    )
    patience: int | None = option(
        None,
        "Stop when this many finished trials in a row were not better than the interval of the best one, and the "
        "sampler expects less than a tenth of a standard error. Only cost-aware says what it expects; with the others "
        "the trials decide.",
        low=1,
        high=MOST,
    )
    target: float | None = option(
        None, "Stop when a trial reaches this validation value of the metric, e.g. 0.95.", metavar="VALUE"
    )
    notify: Sequence[str] | None = option(
        None,
        "Where to send a message when the run ends, fails or has a new best trial, as Apprise writes it: a webhook, "
        "mail or chat. Give the option once for each.",
        metavar="URL",
        notation="repeated",
        secret=True,
    )
    on_finish: str | None = option(
        None,
        "A shell command for when the run ends or fails. It finds SEARCH_STUDY, SEARCH_STATE and SEARCH_BEST in "
        "its environment.",
        metavar="COMMAND",
        secret=True,
    )
    home: str | Path | None = option(
        None,
        "Folder for studies, features, reports and fetched datasets. [default: $SEARCH_HOME, or the platform's]",
        metavar="DIR",
    )
    storage: str | None = option(
        None,
        "Study database, SQLite or PostgreSQL. [default: $SEARCH_STORAGE, or SQLite in the home folder]",
        metavar="URL",
        secret=True,
    )

    settings: "tuple[Setting | Mapping[str, Any], ...]" = ()
    """If there are any, only these settings are tried, as `search try` does; no option of a search."""
    finals: bool = True
    """Whether candidates are compared and the answer is tested; no option of a search."""

    def __post_init__(self) -> None:
        for item in fields(self):
            info, value = option_info(item), getattr(self, item.name)
            if info is not None and info.path and isinstance(value, Path):  # absolute, so that it is never a known name
                object.__setattr__(self, item.name, str(value.absolute()))

    @classmethod
    def of(cls, dataset: str, names: Collection[str] | None = None, **options: Any) -> Self:
        """Make options from keywords. names: the options that may be given; None for all.

        Raises UnknownNameError for another keyword.
        """
        known = [item.name for item in fields(cls) if option_info(item)] if names is None else names
        for name in options:
            check_name("option", name, known)
        return cls(dataset, **options)

    @property
    def home_folder(self) -> Home:
        return Home.at(self.home)

    @property
    def database(self) -> str | Path:
        """URL of the study database, which may hold a password, or the file in the home folder."""
        return self.storage or self.home_folder.storage

    @property
    def narrowing(self) -> dict[str, Sequence[Any] | None]:
        """Map each dimension of the space to the values that it is narrowed to, None for all."""
        names = ("blocks", "timesteps", "pools", "heads", "draws", "taps")
        return {name: getattr(self, name) for name in names}

    @property
    def optimised_metric(self) -> str:
        """Name of the metric that the search maximises on validation."""
        return self.objectives[0] if self.objectives else self.metric or ACCURACY.name

    @property
    def by_cost(self) -> bool:
        """Whether the cost of a setting is an objective too."""
        return self.objectives is not None and COST in self.objectives

    @property
    def most_candidates(self) -> int:
        """The most settings that are re-evaluated after the trials."""
        return self.finalists or (PARETO_FINALISTS if self.by_cost else CANDIDATES)

    @property
    def rounds(self) -> int:
        """The most rounds in which candidates are compared, and the number of tests of the answer."""
        return rounds_of(self.final_seeds, self.folds)

    @property
    def tested_settings(self) -> int:
        """The most settings that are read on the test split."""
        return self.most_candidates if self.by_cost else 1

    def check(self) -> None:
        """Refuse at once what needs no loading to be refused. Raises UsageError in words."""
        hints = get_type_hints(type(self))
        for option_field in fields(self):
            if option_info(option_field):
                check_type(option_field.name, getattr(self, option_field.name), hints[option_field.name])
            check_range(option_field, getattr(self, option_field.name))
        gpus = self.gpus_per_trial
        if gpus and gpus != int(gpus) and not 0.01 <= gpus < 1:
            raise UsageError(f"`gpus_per_trial` must be a whole number or a fraction from 0.01 to 1, got {shown(gpus)}")
        if self.name is not None:
            check_study_name(self.name)
        if self.folds is not None and self.validation_fraction is not None:
            raise UsageError("with `folds` every image validates, got `validation_fraction` too; leave one of them out")
        self._check_objectives()
        if self.by_cost and self.patience is not None:
            raise UsageError("`patience` compares trials by one metric, got cost in `objectives` too; leave one out")
        self._check_target()
        if self.by_cost and self.halving:
            raise UsageError("`halving` stops trials by accuracy alone, got cost in `objectives` too; leave one out")

    @property
    def says_validation(self) -> bool:
        """Whether the options say how settings are validated. If not, `default_folds` decides."""
        return self.folds is not None or self.validation_fraction is not None

    def check_finals(self) -> None:
        """Refuse a seed after which no seeds are left for the finals. Raises UsageError."""
        highest = MOST_SEED - self.rounds
        if self.seed > highest:
            raise UsageError(
                f"`seed` must be from 0 to {highest:,}, since the finals take the next {self.rounds:,} seeds; "
                f"got {self.seed}"
            )

    def _check_target(self) -> None:
        """Refuse a target that no trial can reach."""
        metric, target = METRICS.get(self.optimised_metric, ACCURACY), self.target
        if target is None:
            return
        if metric.is_proportion and not 0 < target <= 1:
            raise UsageError(
                f"`target` must be above 0 and at most 1 for {metric.label}, such as 0.95, got {shown(target)}"
            )
        if not 0 <= target < math.inf:
            raise UsageError(f"`target` must be a number from 0 for {metric.label}, such as 0.3, got {shown(target)}")

    def _check_objectives(self) -> None:
        if self.metric is not None:
            check_name("metric", self.metric, SELECTION_METRICS)
        if self.objectives is None:
            return
        for name in self.objectives:
            check_name("objective", name, (*SELECTION_METRICS, COST))
        if list(self.objectives) not in [[metric, *cost] for metric in SELECTION_METRICS for cost in ([], [COST])]:
            metrics = " or ".join(SELECTION_METRICS)
            raise UsageError(
                f"`objectives` takes one metric, {metrics}, and after it cost if wanted; got "
                f"{','.join(self.objectives)!r}"
            )
        if self.metric not in (None, self.optimised_metric):
            raise UsageError(
                f"`metric` is {self.metric} and `objectives` begins with {self.optimised_metric}; leave `metric` out"
            )

    def absolute(self) -> Self:
        """Return the same options with absolute folders, which workers and later commands find from anywhere."""
        root, folder = self.data_root, backbone_folder(self.backbone)
        return replace(
            self,
            data_root=Path(root).absolute() if root is not None and Path(root).exists() else root,
            backbone=self.backbone if folder is None else str(folder.absolute()),
        )

    def to_record(self) -> dict[str, Any]:
        """Return JSON-ready values for the study database: all from which features and fits follow, beside the space.

        What may hold a password is left out. The names are those of the first version that kept them.
        """
        options = self.absolute()
        values = {name: getattr(options, name) for name in KEPT}
        return values | {
            "data_root": None if options.data_root is None else str(options.data_root),
            "validation_fraction": VALIDATION_FRACTION
            if self.validation_fraction is None
            else self.validation_fraction,
            "metric": self.optimised_metric,
            "cost": self.by_cost,
            "ladder": self.halving,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], home: str | Path | None) -> Self:
        """Make options from what `to_record` returned, in a home folder. Values of a newer version are left out."""
        values = {name: record[name] for name in KEPT if name in record}
        metric = record.get("metric", ACCURACY.name)
        if values.get("folds") is None:
            values["validation_fraction"] = record.get("validation_fraction", VALIDATION_FRACTION)
        objectives = (metric, COST) if record.get("cost") else None
        return cls(**values, metric=metric, objectives=objectives, halving=bool(record.get("ladder", False)), home=home)


def check_study_name(name: str, field: str = "name") -> None:
    """Refuse a name that files cannot have. field: what the error calls it. Raises UsageError."""
    if not re.fullmatch(r"\w[\w.-]*", name) or len(name) > LONGEST_STUDY_NAME or name == "all":
        raise UsageError(
            f"`{field}` must be at most {LONGEST_STUDY_NAME} letters, digits, dots, hyphens and underscores, begin "
            f"with a letter or digit, and not be 'all', got {shown(name)}; try birds-linear"
        )


def backbone_folder(backbone: str) -> Path | None:
    """Return the local folder that a backbone names; None for a known name or a hub id."""
    from objectives.backbones.catalog import BACKBONES

    return Path(backbone) if backbone not in BACKBONES and Path(backbone).is_dir() else None
