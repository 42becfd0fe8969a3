"""The comparison of two studies of the same images: a paired test of their best settings on the test images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from dashboards.selection.answer import answer_finalist
from dashboards.statistics import PairedDifference, paired_difference, verdict
from dashboards.study.answer.tradeoff import gmacs_of
from objectives.results import CorrectMask, Finalist, StudyResults
from spaces import SearchError
from spaces.errors import UsageError

PROTOCOL = (
    "seed",
    "validation fraction",
    "folds",
    "fold fits",
    "shots",
    "flips",
    "classes weigh",
    "metric",
    "objectives",
    "precision",
    "image side",
    "prompt",
    "taps inside",
    "transform",
    "noise",
)
"""Labels of a study's provenance that say how its classifiers were chosen and fitted."""


@dataclass(frozen=True)
class StudyComparison:
    """Two studies' answers on the same test images.

    differing: the labels of `PROTOCOL` by which the two studies differ.
    """

    studies: tuple[StudyResults, StudyResults] = field(repr=False)
    paired: PairedDifference
    differing: tuple[str, ...]

    @classmethod
    def of(cls, first: StudyResults, second: StudyResults) -> Self:
        """Compare two studies. Raises UsageError or SearchError if they cannot be compared."""
        if first.name == second.name:
            raise UsageError(
                f"comparing needs two different studies, got {first.name} twice; `search status` lists the studies"
            )
        if first.provenance["dataset fingerprint"] != second.provenance["dataset fingerprint"]:
            raise SearchError(
                f"comparing needs two studies of the same images: {first.name} is of {_images(first)}, {second.name} "
                f"of {_images(second)}; use two studies of one dataset"
            )
        masks = test_masks(first), test_masks(second)
        totals = [each[0].total for each in masks]
        if len(set(totals)) > 1:
            raise SearchError(
                f"comparing needs the same test images, but the studies used {totals[0]:,} and {totals[1]:,} of them"
            )
        differing = (label for label in PROTOCOL if first.provenance.get(label) != second.provenance.get(label))
        return cls((first, second), paired_difference(*masks), tuple(differing))

    @property
    def finalists(self) -> list[tuple[StudyResults, Finalist]]:
        """Each study with its tested answer."""
        answers = [(study, answer_finalist(study)) for study in self.studies]
        return [(study, answer) for study, answer in answers if answer is not None]

    @property
    def sentence(self) -> str:
        """The verdict in one sentence; it names the better study only if the difference is significant."""
        difference = self.paired.difference
        result = verdict(difference)
        if not difference.significant:
            return f"{result[0].upper()}{result[1:]}."
        better = "first" if difference.value > 0 else "second"
        more = f"{abs(difference.value) * self.paired.images:.1f}".removesuffix(".0")
        return (
            f"The {better} study is better: it classifies {more} more of {self.paired.images:,} test images "
            f"correctly; {result}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. Accuracies, their difference and its interval are in [0, 1]; see `PairedDifference`."""
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
        difference = self.paired.difference
        paired = {
            "images": self.paired.images,
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "p": difference.p,
            "both": self.paired.both,
            "first_only": self.paired.first_only,
            "second_only": self.paired.second_only,
            "neither": self.paired.neither,
        }
        return {"studies": studies, "paired": paired, "differing": list(self.differing), "sentence": self.sentence}


def test_masks(study: StudyResults) -> Sequence[CorrectMask]:
    """Return the test images that the answer classified correctly, one mask for each seed.

    Raises SearchError if the study kept none.
    """
    answer = answer_finalist(study)
    if answer is None:
        raise SearchError(f"study {study.name} has no test result yet; its `search run` makes one at the end")
    masks = [final.test_correct_mask for final in answer.finals]
    kept = [mask for mask in masks if mask is not None]
    if len(kept) < len(masks):
        raise SearchError(
            f"study {study.name} is too old: it keeps no result for each test image; run it again with another "
            "`home` or `seed`"
        )
    return kept


def _images(study: StudyResults) -> str:
    return f"{study.dataset} ({study.fitted_images + study.counts['test']:,} images)"
