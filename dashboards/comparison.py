"""The comparison of two studies of the same images: a paired test of their best settings on the test images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from dashboards.statistics import Paired, paired
from dashboards.study.tradeoff import gmacs_of
from objectives.results import CorrectMask, Finalist, StudyResults
from spaces import SearchError
from spaces.errors import UsageError

LIKELY = 0.05
"""What chance does as often as this is no difference."""

PROTOCOL = (
    "seed",
    "validation fraction",
    "folds",
    "shots",
    "flips",
    "classes weigh",
    "metric",
    "objectives",
    "precision",
)
"""Labels of a study's provenance that say how its classifiers were chosen and fitted."""


@dataclass(frozen=True)
class StudyComparison:
    """Two studies' best finalists on the same test images.

    differing: the labels of `PROTOCOL` by which the two studies differ.
    """

    studies: tuple[StudyResults, StudyResults]
    paired: Paired
    differing: tuple[str, ...]

    @classmethod
    def of(cls, first: StudyResults, second: StudyResults) -> Self:
        """Compare two studies. Raises UsageError and SearchError where they cannot be compared."""
        if first.name == second.name:
            raise UsageError(f"two studies are compared, got {first.name} twice; `search status` lists them")
        if first.provenance["dataset fingerprint"] != second.provenance["dataset fingerprint"]:
            raise SearchError(
                f"studies are compared on the same images, and {first.name} is of {_images(first)}, {second.name} of "
                f"{_images(second)}; `search run` on one dataset makes two that compare"
            )
        masks = test_masks(first), test_masks(second)
        totals = [each[0].total for each in masks]
        if len(set(totals)) > 1:
            raise SearchError(f"the studies tested on {totals[0]:,} and {totals[1]:,} images, which cannot be the same")
        differing = (label for label in PROTOCOL if first.provenance.get(label) != second.provenance.get(label))
        return cls((first, second), paired(*masks), tuple(differing))

    @property
    def finalists(self) -> list[tuple[StudyResults, Finalist]]:
        """Each study with its best finalist."""
        return [(study, study.finalists[0]) for study in self.studies]

    @property
    def sentence(self) -> str:
        """What follows, in words."""
        found, images = self.paired, self.paired.images
        chance = f"chance alone makes as large a difference {_often(found.p)}"
        if found.p >= LIKELY:
            return f"the test images cannot tell them apart: {chance}"
        better = "first" if found.difference > 0 else "second"
        more = abs(found.difference) * images
        return f"the {better} is better: it has {more:.1f} of {images:,} test images more right, and {chance}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. paired: see `dashboards.statistics.Paired`, accuracies as shares."""
        studies = [
            {
                "study": study.name,
                "backbone": study.backbone,
                "setting": best.setting.to_dict(),
                "test_accuracy": best.test,
                "test_interval": list(best.test_interval),
                "seeds": sorted(final.seed for final in best.finals),
                "gmacs": gmacs_of(study, best.setting),
            }
            for study, best in self.finalists
        ]
        differing = list(self.differing)
        return {"studies": studies, "paired": asdict(self.paired), "differing": differing, "sentence": self.sentence}


def test_masks(study: StudyResults) -> Sequence[CorrectMask]:
    """Which test images the best finalist classified correctly, one mask a seed. Raises SearchError where none are
    kept."""
    if not study.finalists:
        raise SearchError(
            f"study {study.name} has no finals yet, which read the test images; its `search run` makes them"
        )
    masks = [final.test_correct_mask for final in study.finalists[0].finals]
    kept = [mask for mask in masks if mask is not None]
    if len(kept) < len(masks):
        raise SearchError(
            f"study {study.name} was made before its answers to each image were kept; make it again under another "
            f"home or seed"
        )
    return kept


def _images(study: StudyResults) -> str:
    return f"{study.dataset} ({sum(study.counts.values()):,} images)"


def _often(p: float) -> str:
    """ "4 times in 100", "once in 2,500 times"."""
    if p >= 0.015:
        return f"{100 * p:.0f} times in 100"
    return f"once in {1 / p:,.0f} times" if p > 1e-6 else "less than once in a million times"
