"""Collects past tasks from the study database: finished screenings and studies, which a new task learns from."""

from collections import defaultdict
from collections.abc import Hashable
from statistics import fmean

from objectives.features.versions import key_of
from search.database.records import StudyScores
from search.database.screenings import Screening, load_screenings
from search.database.store import Store
from search.surrogates.past_tasks import PastTask, past_task_of
from spaces import Setting

MIN_SETTINGS = 8
"""The fewest settings, heads aside, of which a study must have a score before it counts as a past task."""


def past_tasks(
    store: Store, dataset_fingerprint: str, weights_digest: str, exclude: str | None = None
) -> list[PastTask]:
    """Return the past tasks for a new one, each dataset with a network once.

    Screenings and studies have the same dataset where their images are the same, whatever the dataset is called, or lie
    in the same folder, whose images have changed since. Of these the one with most settings counts.
    dataset_fingerprint, weights_digest: of the new task. Its own images with the same network are left out, since they
    would count twice. exclude: the name of a study that is left out.
    """
    own = (dataset_fingerprint, key_of(weights_digest))
    candidates: list[tuple[list[Hashable], PastTask | None]] = [
        ([(screening.dataset_fingerprint, screening.weights_digest)], screening_task(screening))
        for screening in load_screenings(store)
    ]
    for study in store.study_scores():
        network = key_of(study.weights_digest)
        keys: list[Hashable] = [
            (study.dataset_fingerprint, network),
            (study.dataset, study.data_root, network),
        ]
        candidates.append((keys, None if study.name == exclude else study_task(study)))
    group_of: dict[Hashable, Hashable] = {}
    largest: dict[Hashable, PastTask] = {}
    for keys, task in sorted(candidates, key=lambda candidate: len(candidate[0])):
        group = next((group_of[key] for key in keys if key in group_of), keys[0])
        group_of |= {key: group_of.get(key, group) for key in keys}
        if task is not None and (group not in largest or len(task.scores) > len(largest[group].scores)):
            largest[group] = task
    return [task for group, task in largest.items() if group != group_of.get(own)]


def screening_task(screening: Screening) -> PastTask:
    """Return the past task of a screening. The score of a setting is its negative error."""
    scores = [(setting, -error) for setting, error in screening.errors]
    task = f"{screening.dataset} of {screening.classes:,} classes with {screening.backbone}, screened"
    return past_task_of(task, screening.architecture, scores, screening.classes, screening.images)


def study_task(study: StudyScores) -> PastTask | None:
    """Return the past task of a study, or None where it has too few scores.

    Heads do not count: the mean score of its head is subtracted from each score, and then the scores of equal settings
    with different heads are averaged.
    """
    by_head: dict[str, list[tuple[Setting, float]]] = defaultdict(list)
    for setting, score in study.scores:
        by_head[setting.head].append((setting, score))
    differences: dict[Setting, list[float]] = defaultdict(list)
    for scores in by_head.values():
        mean = fmean(score for _, score in scores)
        for setting, score in scores:
            headless = Setting(setting.timestep, setting.block, setting.pool, "ridge", further=setting.further)
            differences[headless].append(score - mean)
    if len(differences) < MIN_SETTINGS:
        return None
    task = f"{study.dataset} of {study.classes:,} classes with {study.backbone}, {len(study.scores):,} trials"
    means = [(setting, fmean(values)) for setting, values in differences.items()]
    return past_task_of(task, study.architecture, means, study.classes, study.images)
