"""Reads past tasks, that is screenings and studies, from the database."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select

from search.database import leases as runs
from search.database.models import ScreeningRow, StudyRow
from search.database.records import architecture_from_dict, architecture_to_dict
from search.database.store import Store, upsert
from search.samplers.parameters import to_setting
from search.surrogates.past_tasks import PastTask, past_task_of
from spaces import Architecture, Setting

FEWEST = 8
"""Places of which a study must have a result before it teaches."""


@dataclass(frozen=True)
class Screening:
    """A finished screening.

    dataset, backbone: their names. dataset_fingerprint, weights_digest: of the images and the network. seed: of the
    noise. classes, images: their numbers, of training images. errors: of each setting its mean squared error, all on
    the same images. best: the settings to start from, the recommended one first.
    """

    dataset: str
    dataset_fingerprint: str
    backbone: str
    weights_digest: str
    architecture: Architecture
    seed: int
    classes: int
    images: int
    errors: tuple[tuple[Setting, float], ...]
    best: tuple[Setting, ...]

    @property
    def past_task(self) -> PastTask:
        found = [(setting, -error) for setting, error in self.errors]
        task = f"{self.dataset} of {self.classes:,} classes with {self.backbone}, screened"
        return past_task_of(task, self.architecture, found, self.classes, self.images)


def keep_screening(store: Store, screening: Screening) -> None:
    """In place of an earlier one of the same images, network and seed. Raises StorageError as every method of it."""
    values: dict[str, Any] = {
        "dataset": screening.dataset,
        "dataset_fingerprint": screening.dataset_fingerprint,
        "backbone": screening.backbone,
        "weights_digest": screening.weights_digest,
        "architecture": architecture_to_dict(screening.architecture),
        "seed": screening.seed,
        "classes": screening.classes,
        "images": screening.images,
        "errors": [[setting.to_dict(), error] for setting, error in screening.errors],
        "best": [setting.to_dict() for setting in screening.best],
    }
    with store.session() as session:
        values["created"] = runs.now(session)
        upsert(session, ScreeningRow, values, ("dataset_fingerprint", "weights_digest", "seed"))


def kept_screening(store: Store, dataset_fingerprint: str, weights_digest: str, seed: int) -> Screening | None:
    with store.session() as session:
        row = session.scalar(
            select(ScreeningRow).where(
                ScreeningRow.dataset_fingerprint == dataset_fingerprint,
                ScreeningRow.weights_digest == weights_digest,
                ScreeningRow.seed == seed,
            )
        )
        return None if row is None else _screening(row)


def past_of(store: Store, dataset_fingerprint: str, weights_digest: str, besides: str | None = None) -> list[PastTask]:
    """All surfaces but those of screenings of the same images with the same network, which would count twice, and of
    the study named `besides`."""
    with store.session() as session:
        screenings = [
            _screening(row)
            for row in session.scalars(select(ScreeningRow).order_by(ScreeningRow.id))
            if (row.dataset_fingerprint, row.weights_digest) != (dataset_fingerprint, weights_digest)
        ]
        there = {study.name for study in store.studies()}
        studies = [row for row in session.scalars(select(StudyRow)) if row.name in there and row.name != besides]
        found = [(row, study_past_task(row, store.trials(row.name))) for row in studies]
    return [*(each.past_task for each in screenings), *(past_task for _, past_task in found if past_task is not None)]


def study_past_task(row: StudyRow, trials: Sequence[FrozenTrial]) -> PastTask | None:
    """Of a study's complete trials: what each place is worth on average, less what its head is worth on the whole.

    None where there are too few places to tell anything.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    by_head: dict[str, list[tuple[Setting, float]]] = defaultdict(list)
    for trial in complete:
        setting = to_setting(trial.params)
        by_head[setting.head].append((setting, trial.values[0]))
    by_place: dict[Setting, list[float]] = defaultdict(list)
    for found in by_head.values():
        mean = fmean(score for _, score in found)
        for setting, score in found:
            place = Setting(setting.timestep, setting.block, setting.pool, "ridge", further=setting.further)
            by_place[place].append(score - mean)
    if len(by_place) < FEWEST:
        return None
    scores = [(place, fmean(found)) for place, found in by_place.items()]
    task = f"{row.dataset} of {len(row.classes):,} classes with {row.backbone}, {len(complete):,} trials"
    images = row.counts["train"]
    return past_task_of(task, architecture_from_dict(row.architecture), scores, len(row.classes), images)


def _screening(row: ScreeningRow) -> Screening:
    return Screening(
        dataset=row.dataset,
        dataset_fingerprint=row.dataset_fingerprint,
        backbone=row.backbone,
        weights_digest=row.weights_digest,
        architecture=architecture_from_dict(row.architecture),
        seed=row.seed,
        classes=row.classes,
        images=row.images,
        errors=tuple((Setting.from_dict(setting), error) for setting, error in row.errors),
        best=tuple(Setting.from_dict(setting) for setting in row.best),
    )
