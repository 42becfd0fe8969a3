"""How settings are validated where nobody says it."""

import math
from collections.abc import Collection, Sequence

from spaces import FOLDS_TOGETHER

FEW, FOLDS_OF_FEW = 3_000, 5
"""The number of images up to which there are 5 folds, if all heads fit folds together."""

MORE, FOLDS_OF_MORE = 10_000, 3
"""The number of images up to which there are 3 folds, and up to which linear heads fit folds together."""


def default_folds(counts: Sequence[int], heads: Collection[str], shots: int | None = None) -> int | None:
    """Return the number of folds for cross-validation; None for one split.

    A fold costs a fit, and no forward pass. k folds compare two settings on all images; one split compares them on a
    fifth, with about twice the standard error. So there are 5 folds where fits take seconds, 3 where they take
    longer (a fit's time can grow with the cube of the number of images, and some heads train in epochs, fold after
    fold), and one split of more images, whose fifth is large.

    counts: the number of images of each class outside the test split. A class with fewer images than folds lowers the
    number of folds, to 3 at least. heads: of the space. shots: the training images of each class that every fold must
    leave; None for all.
    """
    images, scarce = sum(counts), min(counts)
    few = FEW if FOLDS_TOGETHER.issuperset(heads) else 0
    k = min(FOLDS_OF_FEW if images <= few else FOLDS_OF_MORE if images <= MORE else 1, scarce)
    if k < FOLDS_OF_MORE or (shots is not None and scarce - math.ceil(scarce / k) < shots):
        return None
    return k
