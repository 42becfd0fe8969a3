"""The command `search classify`: an exported classifier at work on images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.flags import HomeOption
from spaces.errors import DatasetError, SearchError

if TYPE_CHECKING:
    import numpy as np


def classify(
    file: Annotated[Path, typer.Argument(help="What `search export` wrote.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE_OR_FOLDER...", help="Of a folder, all images in it and below it.")
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="Name so many classes, the likeliest first.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each image.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="NAME", help="Where its network is now. [default: where the run had it]"),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Classify images with an exported classifier: one line an image, with its class and its probability.

    Files that cannot be read are named and left out; then the exit code is 1.
    """
    from objectives.classifier import Classifier
    from search.display.counter import counted
    from search.display.text import printable

    paths = files_of(images)
    classifier, left_out = Classifier.load(file, backbone, Home.at(home).cache), 0
    answers = counted(classifier.answers(paths), len(paths), "images")
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, SearchError):
            left_out += 1
            typer.echo(f"left out: {printable(str(answer))}", err=True)
        if as_json:
            typer.echo(json.dumps(_entry(path, answer, classifier.classes, top)))
        elif not isinstance(answer, SearchError):
            likeliest = (
                f"{printable(name)}\t{probability:.4f}" for name, probability in _top(answer, classifier.classes, top)
            )
            typer.echo("\t".join([printable(str(path)), *likeliest]))
    if left_out:
        raise SearchError(f"{left_out:,} of {len(paths):,} images were left out; each is named above")


def files_of(places: Sequence[Path]) -> list[Path]:
    """Return the files to classify: every path that is a file, and every image in or below a path that is a folder.

    Raises DatasetError for a folder that cannot be read or has no image.
    """
    from objectives.datasets.layouts.layout import SUFFIXES, images_below
    from search.display.text import printable

    found: list[Path] = []
    for place in places:
        try:
            files = images_below(place) if place.is_dir() else [place]
        except OSError as error:
            named = printable(str(error.filename))
            raise DatasetError(f"{named} cannot be read: {error.strerror}; leave it out, or have it opened") from None
        if not files:
            raise DatasetError(f"no image ({', '.join(sorted(SUFFIXES))}) lies in {printable(str(place))} or below it")
        found += files
    return found


def _entry(path: Path, answer: "np.ndarray | SearchError", classes: Sequence[str], top: int) -> dict[str, Any]:
    if isinstance(answer, SearchError):
        return {"image": str(path), "error": str(answer)}
    likeliest = [{"class": name, "probability": probability} for name, probability in _top(answer, classes, top)]
    return {"image": str(path), "classes": likeliest}


def _top(probabilities: "np.ndarray", classes: Sequence[str], count: int) -> list[tuple[str, float]]:
    """The likeliest classes, of equals the first, with their probabilities in [0, 1]."""
    order = (-probabilities).argsort(kind="stable")[:count]
    return [(classes[label], float(probabilities[label])) for label in order.tolist()]
