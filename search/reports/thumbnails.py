"""Keeps small pictures of the images that a study's report shows, so that the report can be written anywhere."""

from typing import TYPE_CHECKING

from dashboards.study.contested import contested
from search.database.store import Store

if TYPE_CHECKING:
    from objectives.probe_spec import ProbeSpec

CONFUSED = 10
"""Pairs of confused classes whose mistakes are kept."""


def keep_pictures(store: Store, study: str, spec: "ProbeSpec") -> None:
    """Keep the pictures that the report of a study shows. None is of the test split.

    They show images that good settings get right and bad ones wrong (or the reverse), mistakes of the best setting, and
    an example of each class that was predicted by mistake. Raises DatasetError where an image cannot be read any more.
    """
    from objectives.datasets.pictures import pictures_of
    from objectives.probe_spec import validated_images

    results, dataset = store.read_study(study), spec.dataset
    validated = validated_images(spec.splits(spec.seed)).tolist()
    positions = {image: position for position, image in enumerate(validated)}
    wanted: dict[int, int | None] = {}
    if table := contested(results):
        wanted |= {validated[image.position]: image.position for image in (*table.gained, *table.lost)}
    for pair in results.finalists[0].confused[:CONFUSED] if results.finalists else ():
        of_predicted_class = (dataset.labels == pair.predicted) & ~dataset.is_test
        typical = int(of_predicted_class.nonzero()[0][0])
        wanted |= {image: positions.get(image) for image in (*pair.examples, typical)}
    store.record_pictures(study, pictures_of(dataset, wanted) if wanted else ())
