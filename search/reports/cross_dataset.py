"""Compares the studies of all datasets, and says where a new dataset should begin."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any

from dashboards.cross_dataset.report import Comparison, Network
from dashboards.cross_dataset.tables import Task, matrix
from objectives.datasets.catalog import DATASETS
from objectives.home import Home
from search.database.store import Store
from search.database.url import Address
from search.recommendation.advice import advice_of
from search.recommendation.past_tasks import past_tasks
from search.reports.missing_trials import Listener, make_missing_trials, missing_trials
from search.surrogates.past_tasks import PUBLISHED_TASKS
from spaces import SearchError
from spaces.lookup import check_name

if TYPE_CHECKING:
    from search.database.records import StudySummary


Options = Mapping[str, Any] | None
"""What a study's last run was told, where that was kept."""


def compare_datasets(
    home: Home, storage: str | None, backbone: str | None, command: str, listener: Listener | None = None
) -> tuple[Comparison, int]:
    """Compare all studies across datasets; return the comparison, and how many missing trials could not be made.

    backbone: compare the studies of this backbone alone. command: what was typed. listener: make the missing trials
    first, and hear how that goes. Raises SearchError where no study has a complete trial.
    """
    words = ["--home", str(home.folder)] if home != Home.at(None) else []
    words += ["--storage", str(Address(storage))] if storage is not None else []  # Address masks the password
    failed = 0
    with Store.open(storage or home.storage) as store:
        networks = networks_of(store, backbone, words)
        if listener is not None:
            missing = missing_trials(network.matrix for network in networks)
            failed = make_missing_trials(store, missing, home, store.address.masked(command), listener)
            networks = networks_of(store, backbone, words)
    more = shlex.join(["search", "report", "--all", "--measure", *words])
    datasets = {task.label for network in networks for task in network.matrix.tasks}
    return Comparison(tuple(networks), len(datasets), f"{more}  # makes the trials that are missing"), failed


def networks_of(store: Store, backbone: str | None, words: Sequence[str]) -> list[Network]:
    """That with most datasets first, of equals that with most studies. words: that name the home folder and the
    storage to a command, where they are not the usual ones.

    Raises SearchError where no study has a complete trial, UnknownNameError for a backbone of which there is none.
    """
    there = [each for each in store.studies() if each.complete]
    if not there:
        raise SearchError("no study has a complete trial yet; `search run --dataset digits --trials 40` makes some")
    names = {each.backbone for each in there}
    if backbone is not None:
        check_name("backbone of a study", backbone, names)
    studies: dict[str, list[StudySummary]] = defaultdict(list)
    for each in there:
        if backbone in (None, each.backbone):
            studies[each.weights_digest].append(each)
    tasks = {digest: _tasks(store, mine) for digest, mine in studies.items()}
    past = (*PUBLISHED_TASKS, *past_tasks(store, "", ""))  # of no dataset of theirs: all
    several = Counter(mine[0].backbone for mine in studies.values())
    found = []
    for digest in sorted(studies, key=lambda each: (-len(tasks[each]), -len(studies[each]))):
        mine, latest = tasks[digest], studies[digest][0]
        name = latest.backbone if several[latest.backbone] == 1 else f"{latest.backbone} ({digest[:8]})"
        classes = median_low(len(task.study.classes) for task in mine)
        images = median_low(task.study.counts["train"] for task in mine)
        options = store.saved_options(latest.name).options
        typed = str(options["backbone"]) if options else latest.backbone
        advice = advice_of(mine[0].study.architecture, past, classes, images, typed, words)
        found.append(Network(name, matrix(mine), advice))
    return found


def _tasks(store: Store, studies: "Sequence[StudySummary]") -> list[Task]:
    """Of one network's studies, the one that ran last first. The first of a dataset stands for it."""
    options = {each.name: store.saved_options(each.name).options for each in studies}
    standing = _standing(studies, options)
    others = Counter(standing.values())
    chosen = [each for each in studies if standing[each.name] == each.name]
    labels = _distinct(chosen, [_label(each.dataset, options[each.name]) for each in chosen])
    found = [
        Task(label, store.read_study(each.name), store.saved_options(each.name).space, others[each.name] - 1)
        for label, each in zip(labels, chosen, strict=True)
    ]
    return sorted(found, key=lambda task: task.label)


def _standing(studies: "Sequence[StudySummary]", options: Mapping[str, Options]) -> dict[str, str]:
    """Study → the study that stands for its dataset, which is the same where the images are, or where they lie in the
    same place: there they have changed since."""
    standing: dict[str, str] = {}
    seen: dict[tuple[str, str], str] = {}
    for each in studies:
        told = options[each.name]
        keys = [("images", each.dataset_fingerprint), *([(each.dataset, str(told["data_root"]))] if told else [])]
        standing[each.name] = next((seen[key] for key in keys if key in seen), each.name)
        seen |= {key: standing[each.name] for key in keys if key not in seen}
    return standing


def _label(dataset: str, options: Options) -> str:
    """The catalog's name; of images of one's own where they lie, too."""
    entry = DATASETS.get(dataset)
    if entry is None or entry.page is not None or not entry.needs_root or not options:
        return dataset
    return f"{Path(str(options['data_root'])).name} ({dataset})"


def _distinct(studies: "Sequence[StudySummary]", labels: Sequence[str]) -> list[str]:
    """With the beginning of the images' fingerprint where labels are the same."""
    counts = Counter(labels)
    return [
        label if counts[label] == 1 else f"{label} {each.dataset_fingerprint[:8]}"
        for label, each in zip(labels, studies, strict=True)
    ]
