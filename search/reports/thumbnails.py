"""Stores small pictures of the images that a study's report shows, so that the report needs no images."""

from typing import TYPE_CHECKING

from dashboards.selection.answer import answer_finalist
from dashboards.study.choices.contested import contested
from search.database.store import Store

if TYPE_CHECKING:
    from objectives.probing.spec import ProbeSpec

CONFUSED = 10
"""Pairs of confused classes whose mistakes are stored."""


def keep_pictures(store: Store, study: str, spec: "ProbeSpec") -> None:
    """Store the pictures that the report of a study shows. Test images are never shown.

    The pictures are: images that good settings classify correctly and bad ones do not (or the reverse), mistakes of the
    best setting, and an example of each class that was predicted by mistake. Raises DatasetError if an image can no
    longer be read.
    """
    from objectives.datasets.pictures import pictures_of
    from objectives.probing.spec import validated_images

    results, dataset = store.read_study(study), spec.dataset
    validated = validated_images(spec.splits(spec.seed)).tolist()
    positions = {image: position for position, image in enumerate(validated)}
    wanted: dict[int, int | None] = {}
    if table := contested(results):
        wanted |= {validated[image.position]: image.position for image in (*table.gained, *table.lost)}
    answer = answer_finalist(results)
    for pair in answer.confused[:CONFUSED] if answer else ():
        of_predicted_class = (dataset.labels == pair.predicted) & ~dataset.is_test
        typical = int(of_predicted_class.nonzero()[0][0])
        wanted |= {image: positions.get(image) for image in (*pair.examples, typical)}
    store.record_pictures(study, pictures_of(dataset, wanted) if wanted else ())
