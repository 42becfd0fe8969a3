"""The functions of `import search`. Each does what the command of its name does, and returns what it found."""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from objectives.home import Home
from search.given import GivenDataset, with_folders
from search.options.option import check_type, option_info
from search.options.run_options import RunOptions
from search.options.sets import FEATURE_OPTIONS, HELP_OF_IMAGES, SCREENING_OPTIONS
from spaces import Setting, UsageError, check_name
from spaces.errors import shown

if TYPE_CHECKING:
    from dashboards.comparison import StudyComparison
    from search.database.records import StudySummary
    from search.database.store import Store
    from search.events import OnEvent
    from search.recommendation.recommend import Recommendation
    from search.study.feature_matrix import Features
    from search.study.study import Study

F = TypeVar("F", bound=Callable[..., Any])

STUDY_FEATURE_OPTIONS = ("data_root", "backbone")
"""Options of `features` where it reads those of a study: all others are the study's."""


def with_option_keywords(*names: str, **helps: str) -> Callable[[F], F]:
    """Show options of a search in a function's signature and help, in place of `**options`.

    names: the options; without names, all. helps: option → its help for this function, where that differs.
    """

    def decorate(function: F) -> F:
        own = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        hints, lines, parameters = get_type_hints(RunOptions), [], []
        for item in fields(RunOptions):
            info = option_info(item)
            if info is None or item.name == "dataset" or (names and item.name not in names):
                continue
            kind = hints[item.name] | Path if info.path else hints[item.name]
            parameters.append(
                inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=kind)
            )
            lines.append(f"    {item.name}: {helps.get(item.name, info.help)}")
        function.__signature__ = inspect.Signature([*own, *parameters])  # type: ignore[attr-defined]
        function.__doc__ = inspect.cleandoc(function.__doc__ or "") + "\n\nOptions:\n" + "\n".join(lines)
        return function

    return decorate


@with_option_keywords()
def run(dataset: str | GivenDataset, *, on_event: "OnEvent | None" = None, **options: Any) -> "Study":
    """Search the best setting for a dataset, and return the study. The same call again continues the study.

    dataset: a name from `search datasets`; or (images, labels) or (images, labels, splits), lists of one length or
    arrays, which are written to the home folder. `backbone` may be a pipeline or model of diffusers or transformers.
    on_event: called with everything that happens, see `search.events`. A terminal or a notebook shows the
    progress by itself. options: as of `search run`, see `search.options.run_options.RunOptions`. Raises SearchError in
    words, and KeyboardInterrupt after Ctrl-C; then the same call continues where this run stopped.
    """
    from search.display.downloads import showing_downloads
    from search.display.run_display import RunDisplay
    from search.running import process
    from search.study.study import Study

    if on_event is not None and not callable(on_event):
        raise UsageError(f"`on_event` must be a function of one event, got {on_event!r}")
    name, options = with_folders(dataset, options)
    run_options = RunOptions.of(name, **options)
    with showing_downloads(), RunDisplay(plain=False) as display:

        def send(event: Any) -> None:
            display(event)
            if on_event is not None:
                on_event(event)

        results = process.run(run_options, send)
    return Study(results, run_options.home_folder, run_options.database)


@with_option_keywords(*SCREENING_OPTIONS, **HELP_OF_IMAGES)
def recommend(
    dataset: str | GivenDataset,
    *,
    passes: int | None = None,
    budget: float | None = None,
    memory: bool = True,
    **options: Any,
) -> "Recommendation":
    """Recommend a setting for a dataset from a small part of the forward passes.

    dataset: as of `run`. passes: the most forward passes, each of one image at one timestep; None for a tenth of all.
    budget: time limit in seconds; no round after the first starts unless it would finish in time. memory: learn from
    past studies and screenings, and keep this screening for later ones. options: as of `search recommend`. Raises
    SearchError in words.
    """
    from search.display.counter import counter
    from search.display.downloads import showing_downloads
    from search.recommendation import recommend as recommending

    name, options = with_folders(dataset, options)
    run_options = RunOptions.of(name, SCREENING_OPTIONS, **options)
    with showing_downloads(), counter("settings", plain=False) as update:
        return recommending.recommend(run_options, passes, budget, memory, update)


def load_study(name: str, *, home: str | Path | None = None, storage: str | None = None) -> "Study":
    """Load a study by its name, or by its dataset's name; of several, a tested one with most finished trials.

    A UserWarning then says which, and names the others.

    home: the folder of everything that is kept; None for SEARCH_HOME or the platform's. storage: URL of the study
    database; None for the one in the home folder. Raises StorageError where there is no such study.
    """
    from search.study.choice import choice_sentence, named_studies
    from search.study.study import Study

    if not isinstance(name, str) or not name:
        raise UsageError(f"a study is loaded by its name or by its dataset's name, got {shown(name)}")
    folder, database, store = _opened(home, storage)
    with store:
        found = named_studies(store, name)
        sentence = choice_sentence(found, name)
        if sentence is not None:
            warnings.warn(f"{sentence}; load one by its name", stacklevel=2)
        return Study(store.read_study(found[0].name), folder, database)


def studies(*, home: str | Path | None = None, storage: str | None = None) -> "list[StudySummary]":
    """List the studies of a database, the one that ran last first. home, storage: as of `load_study`."""
    _, _, store = _opened(home, storage)
    with store:
        return list(store.studies())


def compare(
    first: "Study | str", second: "Study | str", *, home: str | Path | None = None, storage: str | None = None
) -> "StudyComparison":
    """Compare the best settings of two studies of the same images, by a paired test on the same test images.

    first, second: studies, or names as of `load_study`. home, storage: where to load named studies from, as of
    `load_study`. Raises SearchError where the studies cannot be compared.
    """
    from dashboards.comparison import StudyComparison
    from search.study.study import Study

    loaded = [
        study if isinstance(study, Study) else load_study(study, home=home, storage=storage)
        for study in (first, second)
    ]
    return StudyComparison.of(*(study.results for study in loaded))


@with_option_keywords(*FEATURE_OPTIONS, seed="Random seed for the noise and the split.")
def features(dataset: "str | GivenDataset | Study", *, setting: Setting | None = None, **options: Any) -> "Features":
    """Return the features of a dataset's images at a setting as arrays (X, y, names, splits).

    dataset: as of `run`; or a study, whose own features are returned: the same images, noise, network and rounding.
    With a study, `data_root` and `backbone` say where its images and its network lie now, if they have moved, and there
    are no other options. setting: which blocks, timesteps, noise draws and pooling to read; its head plays no part;
    None for a study's best setting. options: as of `search run`, among them data_root, backbone, precision and seed.
    Raises SearchError in words.
    """
    from search.display.counter import counter
    from search.display.downloads import showing_downloads
    from search.study.feature_matrix import read_features, read_study_features
    from search.study.study import Study

    if setting is None and isinstance(dataset, Study):
        setting = dataset.best.setting
    if not isinstance(setting, Setting):
        raise UsageError(f"`setting` must be a search.Setting, got {setting!r}")
    with showing_downloads(), counter("passes", plain=False) as update:
        if isinstance(dataset, Study):
            for name in options:
                check_name("option", name, STUDY_FEATURE_OPTIONS)
            return read_study_features(dataset, setting, **options, on_progress=update)
        named, options = with_folders(dataset, options)
        return read_features(RunOptions.of(named, FEATURE_OPTIONS, **options), setting, update)


def _opened(home: str | Path | None, storage: str | None) -> "tuple[Home, str | Path, Store]":
    """Return the home folder, the URL or the file of the study database, and the open database."""
    from search.database.store import Store

    for name, value in (("home", home), ("storage", storage)):
        check_type(name, value, str | Path | None)
    folder = Home.at(home)
    database = storage or folder.storage
    return folder, database, Store.open(database, reading=True)
