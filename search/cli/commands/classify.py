"""The command `search classify`: classifies images with an exported classifier."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import HomeOption, number_option
from search.cli.output import print_fields, print_json, print_left_out
from spaces.errors import DatasetError, SearchError
from spaces.text import escaped, one_line

if TYPE_CHECKING:
    import numpy as np


def classify(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A classifier file that `search export` wrote."),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE_OR_FOLDER...",
            help="Images, or folders whose images are all classified, those of subfolders too.",
        ),
    ],
    top: Annotated[int, number_option(1, "Number of classes to print, the most probable first.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each image, one a line.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="The classifier's network, if it has moved. [default: where the run had it]",
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Classify images with an exported classifier.

    Each image gets a line with its class and the probability of the class. Images that cannot be read are named and
    left out, and the exit code is then 1. Other files in a folder are counted and named.
    """
    from dashboards.formatting import count
    from objectives.classifier import Classifier
    from search.display.counter import counted

    paths, phrases = image_files(images)
    print_left_out(phrases)
    classifier, left_out = Classifier.load(file, backbone, Home.at(home).cache), 0
    rows = counted(classifier.answers(paths), len(paths), "images")
    for path, probabilities in zip(paths, rows, strict=True):
        if isinstance(probabilities, SearchError):
            left_out += 1
            print_left_out([str(probabilities)])
        if as_json:
            print_json(_record(path, probabilities, classifier.classes, top), indent=None)
        elif not isinstance(probabilities, SearchError):
            ranked = _most_probable(probabilities, classifier.classes, top)
            cells = (cell for name, probability in ranked for cell in (name, f"{probability:.4f}"))
            print_fields(escaped(str(path)), *cells)
    if left_out:
        were = "was" if left_out == 1 else "were"
        raise SearchError(f"{left_out:,} of {count(len(paths), 'image')} {were} left out; each is named above")


def image_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the files among the paths and the images of the folders among them, and what these folders leave out.

    Raises DatasetError for a folder without images, or one that cannot be read.
    """
    from objectives.datasets.layouts.image_files import LeftOut, images_below

    images: list[Path] = []
    phrases: list[str] = []
    for path in paths:
        left_out = LeftOut(path)
        try:
            files = images_below(path, left_out) if path.is_dir() else [path]
        except OSError as error:
            name = one_line(str(error.filename))
            raise DatasetError(
                f"{name} cannot be read: {error.strerror}; leave it out, or get permission to read it"
            ) from None
        if not files:
            raise DatasetError(
                f"{one_line(str(path))} and its subfolders contain no image that Pillow can read"
                f"{''.join(f'; {phrase}' for phrase in left_out.phrases())}; give images, or a folder of images"
            )
        images += files
        phrases += left_out.phrases()
    return images, phrases


def _record(path: Path, probabilities: "np.ndarray | SearchError", classes: Sequence[str], top: int) -> dict[str, Any]:
    """Return the most probable classes of an image as JSON-ready values, or why the image has none."""
    if isinstance(probabilities, SearchError):
        return {"image": escaped(str(path)), "error": str(probabilities)}
    ranked = _most_probable(probabilities, classes, top)
    return {"image": escaped(str(path)), "classes": [{"class": name, "probability": value} for name, value in ranked]}


def _most_probable(probabilities: "np.ndarray", classes: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Return the most probable classes with their probabilities in [0, 1]. Equals keep the order of `classes`."""
    order = (-probabilities).argsort(kind="stable")[:count]
    return [(classes[label], float(probabilities[label])) for label in order.tolist()]
