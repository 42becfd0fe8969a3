"""Keeps finished screenings in the study database, for later tasks to learn from and for searches to start from."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from objectives.features.versions import key_of
from search.database.connection.dialects import now, upsert
from search.database.models import ScreeningRow
from search.database.records import architecture_from_dict, architecture_to_dict
from search.database.store import Store
from spaces import Architecture, Setting


@dataclass(frozen=True)
class Screening:
    """A finished screening.

    dataset, backbone: their names. dataset_fingerprint, weights_digest: of the images and of the network. seed: of the
    noise. classes, images: the numbers of classes and of training images. errors: the mean squared error of each
    setting, all on the same images. best: the settings to start a search from, the recommended one first.
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


def save_screening(store: Store, screening: Screening) -> None:
    """Save a screening, in place of an earlier one of the same images, network and seed.

    Raises StorageError where the database cannot be used.
    """
    values: dict[str, Any] = {
        "dataset": screening.dataset,
        "dataset_fingerprint": screening.dataset_fingerprint,
        "backbone": screening.backbone,
        "weights_digest": key_of(screening.weights_digest),
        "architecture": architecture_to_dict(screening.architecture),
        "seed": screening.seed,
        "classes": screening.classes,
        "images": screening.images,
        "errors": [[setting.to_dict(), error] for setting, error in screening.errors],
        "best": [setting.to_dict() for setting in screening.best],
    }

    def save() -> None:
        with store.session() as session:
            values["created"] = now(session)
            upsert(session, ScreeningRow, values, ("dataset_fingerprint", "weights_digest", "seed"))

    store.outages.repeat(save)


def load_screening(store: Store, dataset_fingerprint: str, weights_digest: str, seed: int) -> Screening | None:
    """Return the screening of these images with this network and seed, or None where there is none."""
    same = select(ScreeningRow).where(
        ScreeningRow.dataset_fingerprint == dataset_fingerprint,
        ScreeningRow.weights_digest == key_of(weights_digest),
        ScreeningRow.seed == seed,
    )
    return next(iter(_screenings(store, same)), None)


def load_screenings(store: Store) -> list[Screening]:
    """Return all screenings, oldest first."""
    return _screenings(store, select(ScreeningRow).order_by(ScreeningRow.id))


def _screenings(store: Store, rows: Select[ScreeningRow]) -> list[Screening]:
    def load() -> list[Screening]:
        with store.session() as session:
            return [_screening(row) for row in session.scalars(rows)]

    return store.outages.repeat(load)


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
