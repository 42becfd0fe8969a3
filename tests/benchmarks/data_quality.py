"""Measures what the searches for near-duplicates and for label errors find, where the truth is known.

    python tests/benchmarks/data_quality.py copies digits
    python tests/benchmarks/data_quality.py copies cub CUB_FOLDER
    python tests/benchmarks/data_quality.py labels

`copies` changes 150 training images in a few ways, and looks for the copies. `labels` changes the labels of 5 % of the
digits, which are blurred by noise to make the classifier worse, and looks for the changed labels.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from objectives.data_quality.label_errors import label_errors, label_trial
from objectives.data_quality.near_duplicates import SIDE, nearest_copies
from objectives.datasets.catalog import load_dataset
from objectives.datasets.given_images import GivenImages
from objectives.datasets.images import square_pixels

PLANTED = 150


def saved_again(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=50)
    with Image.open(BytesIO(file.getvalue())) as copy:
        return copy.convert("RGB")


def cropped(left: float, top: float, right: float, bottom: float) -> Callable[[Image.Image], Image.Image]:
    """Return a function that cuts these shares of the sides away."""

    def crop(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        return image.crop(tuple(map(round, box)))  # type: ignore[arg-type]

    return crop


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 50": saved_again,
    "half the size": lambda image: image.resize((max(image.width // 2, 1), max(image.height // 2, 1))),
    "3 % cut off two sides": cropped(0.03, 0, 0, 0.03),
    "5 % cut off two sides": cropped(0.05, 0, 0, 0.05),
    "5 % cut off all sides": cropped(0.05, 0.05, 0.05, 0.05),
    "25 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "25 % darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "30 % more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "mirrored": ImageOps.mirror,
    "all: 2 % cut, 15 % brighter, JPEG, mirrored": lambda image: ImageOps.mirror(
        saved_again(ImageEnhance.Brightness(cropped(0.02, 0.02, 0.02, 0.02)(image)).enhance(1.15))
    ),
}


def copies(name: str, root: Path | None) -> None:
    dataset = load_dataset(name, root)
    train, test = np.flatnonzero(~dataset.is_test), np.flatnonzero(dataset.is_test)
    known = square_pixels(dataset.images, train, SIDE)
    named = nearest_copies(known, square_pixels(dataset.images, test, SIDE))
    print(f"{name}: {len(named)} of {len(test):,} test images are named; look at them")
    rows = np.random.default_rng(0).permutation(len(train))[:PLANTED]
    originals = [dataset.images.read(int(image)) for image in train[rows]]
    for change_name, change in CHANGES.items():
        changed = GivenImages(tuple(change(image) for image in originals))
        found = nearest_copies(known, square_pixels(changed, range(len(rows)), SIDE))
        right = sum(rows[copy] == original for original, copy, *_ in found)
        print(f"  {change_name:<44} {100 * right / len(rows):5.0f} %")


def labels() -> None:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, true = load_digits(return_X_y=True)
    for noise in (0, 2, 4, 8):
        blurred = images + noise * np.random.default_rng(0).normal(size=images.shape)

        def out_of_fold(given: np.ndarray, blurred: np.ndarray = blurred) -> np.ndarray:
            probabilities = np.empty((len(given), 10))
            for train, held in StratifiedKFold(5, shuffle=True, random_state=0).split(blurred, given):
                head = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300))
                probabilities[held] = head.fit(blurred[train], given[train]).predict_proba(blurred[held])
            return probabilities

        clean = out_of_fold(true)
        trial = label_trial(clean, true)
        generator = np.random.default_rng(100)
        rows = generator.permutation(len(true))[: trial.changed]
        given = true.copy()
        given[rows] = (true[rows] + generator.integers(1, 10, len(rows))) % 10
        named = label_errors(out_of_fold(given), given).images
        found = np.isin(named, rows)
        print(
            f"noise {noise}: accuracy {(clean.argmax(axis=1) == true).mean():.3f}; fitted on changed labels: recall "
            f"{found.sum() / len(rows):.2f}, precision {found.mean():.2f}; the page's trial: {trial.recall:.2f}, "
            f"{trial.precision:.2f}"
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["copies", name]:
            copies(name, None)
        case ["copies", name, root]:
            copies(name, Path(root))
        case ["labels"]:
            labels()
        case _:
            sys.exit(__doc__)
