"""Pictures that a study keeps of the images which its report talks about, so that it can be written anywhere."""

from typing import TYPE_CHECKING

from dashboards.study.contested import contested
from search.database.store import Store

if TYPE_CHECKING:
    from objectives.probe import ProbeSpec

CONFUSED = 10
"""Pairs of classes."""


def keep_pictures(store: Store, study: str, spec: "ProbeSpec") -> None:
    """Of the images that good and bad settings answer otherwise, of the answer's mistakes, and of the classes that it
    took them for. No test image is shown. Raises DatasetError where an image can no longer be read."""
    from objectives.datasets.pictures import pictures_of
    from objectives.probe import validated_images

    found = store.read_study(study)
    validated = validated_images(spec.splits(spec.seed)).tolist()
    place = {image: position for position, image in enumerate(validated)}
    wanted: dict[int, int | None] = {}
    if table := contested(found):
        wanted |= {validated[each.position]: each.position for each in (*table.gained, *table.lost)}
    for pair in found.finalists[0].confused[:CONFUSED] if found.finalists else ():
        of_class = (spec.dataset.labels == pair.predicted) & ~spec.dataset.is_test
        typical = int(of_class.nonzero()[0][0])
        wanted |= {image: place.get(image) for image in (*pair.examples, typical)}
    store.record_pictures(study, pictures_of(spec.dataset, wanted) if wanted else ())
