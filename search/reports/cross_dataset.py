"""Compares the studies of all datasets, and says where a new dataset should begin."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any

from dashboards.cross_dataset.report import CrossDatasetReport, NetworkResults
from dashboards.cross_dataset.tables import Task, regret_matrix
from objectives.datasets.catalog import DATASETS
from objectives.home import Home
from search.commands import home_words
from search.database.store import Store
from search.recommendation.advice import advice_of
from search.recommendation.past_tasks import past_tasks
from search.reports.missing_trials import Listener, make_missing_trials, missing_trials
from search.surrogates.past_tasks import PUBLISHED_TASKS
from spaces import SearchError
from spaces.lookup import check_name

if TYPE_CHECKING:
    from search.database.records import StudySummary


MEASURE = ("search", "report", "--all", "--measure")
"""The command that runs the missing trials, without its options."""

SavedValues = Mapping[str, Any] | None
"""The options of a study's last run; None if they were not stored."""


def compare_datasets(
    home: Home, storage: str | None, backbone: str | None, listener: Listener | None = None
) -> tuple[CrossDatasetReport, int]:
    """Compare all studies across datasets; return the comparison, and how many missing trials could not be made.

    backbone: use only studies of this backbone. listener: if given, the missing trials are run first and reported to
    it. Raises SearchError if no study has a complete trial.
    """
    words = home_words(home.folder, storage)
    failed = 0
    with Store.open(storage or home.storage, reading=listener is None) as store:
        networks = networks_of(store, backbone, words)
        if listener is not None:
            missing = missing_trials(network.matrix for network in networks)
            only = [] if backbone is None else ["--backbone", backbone]
            command = shlex.join([*MEASURE, *only, *words])
            failed = make_missing_trials(store, missing, home, command, listener)
            networks = networks_of(store, backbone, words)
    more = shlex.join([*MEASURE, *words])
    datasets = {task.label for network in networks for task in network.matrix.tasks}
    return CrossDatasetReport(tuple(networks), len(datasets), f"{more}  # makes the trials that are missing"), failed


def networks_of(store: Store, backbone: str | None, words: Sequence[str]) -> list[NetworkResults]:
    """Return the networks with their studies: the one with most datasets first, then the one with most studies.

    backbone: use only studies of this backbone. words: command-line options that name the home folder and the storage,
    if they are not the default. Raises SearchError if no study has a complete trial, UnknownNameError for a backbone
    without studies.
    """
    complete = [study for study in store.studies() if study.complete]
    if not complete:
        raise SearchError("no study has a complete trial yet; `search run --dataset digits --trials 40` makes some")
    if backbone is not None:
        check_name("backbone of a study", backbone, {study.backbone for study in complete})
    by_weights: dict[str, list[StudySummary]] = defaultdict(list)
    for study in complete:
        if backbone in (None, study.backbone):
            by_weights[study.weights_digest].append(study)
    tasks = {digest: _tasks(store, summaries) for digest, summaries in by_weights.items()}
    past = (*PUBLISHED_TASKS, *past_tasks(store, "", ""))  # no dataset has an empty fingerprint: these are all
    networks_of_name = Counter(summaries[0].backbone for summaries in by_weights.values())
    networks = []
    for digest in sorted(by_weights, key=lambda digest: (-len(tasks[digest]), -len(by_weights[digest]))):
        network_tasks, latest = tasks[digest], by_weights[digest][0]
        unique = networks_of_name[latest.backbone] == 1
        name = latest.backbone if unique else f"{latest.backbone} ({digest[:8]})"
        classes = median_low(len(task.study.classes) for task in network_tasks)
        images = median_low(task.study.counts["train"] for task in network_tasks)
        options = store.saved_options(latest.name).options
        typed = str(options["backbone"]) if options else latest.backbone
        advice = advice_of(network_tasks[0].study.architecture, past, classes, images, typed, words)
        networks.append(NetworkResults(name, regret_matrix(network_tasks), advice))
    return networks


def _tasks(store: Store, summaries: "Sequence[StudySummary]") -> list[Task]:
    """Return a task for each dataset of one network. Of its studies, a tested one with most trials represents it.

    summaries: the studies of the network, the one that ran last first.
    """
    summaries = sorted(summaries, key=lambda study: study.rank, reverse=True)
    options = {study.name: store.saved_options(study.name).options for study in summaries}
    representative = _representatives(summaries, options)
    studies_of_task = Counter(representative.values())
    chosen = [study for study in summaries if representative[study.name] == study.name]
    labels = _distinct(chosen, [_label(study.dataset, options[study.name]) for study in chosen])
    tasks = [
        Task(
            label,
            store.read_study(study.name),
            store.saved_options(study.name).space,
            studies_of_task[study.name] - 1,
        )
        for label, study in zip(labels, chosen, strict=True)
    ]
    return sorted(tasks, key=lambda task: task.label)


def _representatives(summaries: "Sequence[StudySummary]", options: Mapping[str, SavedValues]) -> dict[str, str]:
    """Map each study to the study that represents its dataset.

    Two studies have the same dataset if their images are the same, or are in the same folder, whose images have changed
    since.
    """
    representative: dict[str, str] = {}
    seen: dict[tuple[str, str], str] = {}
    for study in summaries:
        saved = options[study.name]
        keys = [("images", study.dataset_fingerprint)]
        keys += [(study.dataset, str(saved["data_root"]))] if saved else []
        representative[study.name] = next((seen[key] for key in keys if key in seen), study.name)
        seen |= {key: representative[study.name] for key in keys if key not in seen}
    return representative


def _label(dataset: str, options: SavedValues) -> str:
    """Return the dataset's name in the catalog; for a person's own images, with the name of their folder."""
    entry = DATASETS.get(dataset)
    if entry is None or entry.page is not None or not entry.needs_root or not options:
        return dataset
    return f"{Path(str(options['data_root'])).name} ({dataset})"


def _distinct(summaries: "Sequence[StudySummary]", labels: Sequence[str]) -> list[str]:
    """Add the beginning of the images' fingerprint to labels that are the same."""
    counts = Counter(labels)
    return [
        label if counts[label] == 1 else f"{label} {study.dataset_fingerprint[:8]}"
        for label, study in zip(labels, summaries, strict=True)
    ]
