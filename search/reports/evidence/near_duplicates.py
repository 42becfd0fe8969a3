"""Writes the page of near-duplicates across splits, and gives other pages names and pictures of images."""

import os.path
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from objectives.results import NearDuplicate, Picture

if TYPE_CHECKING:
    from objectives.datasets.dataset import Dataset


def write_near_duplicates_page(dataset: "Dataset", pairs: Sequence[NearDuplicate], path: Path) -> Path:
    """Write the page of these pairs, and return `path`. Raises SearchError if it cannot be written."""
    from dashboards.classifier.near_duplicates import near_duplicates_section, write_near_duplicates

    pictures = pictures_by_image(dataset, images_pictured(pairs))
    files = file_names(dataset, images_listed(pairs))
    section = near_duplicates_section(pairs, int(dataset.is_test.sum()), dataset.classes, pictures, files)
    return write_near_duplicates(section, dataset.name, path)


def images_pictured(pairs: Sequence[NearDuplicate]) -> list[int]:
    """Return the images of the pairs whose pictures a page shows, by their indices into the dataset."""
    from dashboards.classifier.near_duplicates import PICTURED

    return [image for pair in pairs[:PICTURED] for image in (pair.train, pair.test)]


def images_listed(pairs: Sequence[NearDuplicate]) -> list[int]:
    """Return the images of the pairs that a page names, by their indices into the dataset."""
    from dashboards.classifier.near_duplicates import LISTED

    return [image for pair in pairs[:LISTED] for image in (pair.train, pair.test)]


def pictures_by_image(dataset: "Dataset", images: Sequence[int]) -> dict[int, Picture]:
    """Return thumbnails of images, by their indices into the dataset."""
    from objectives.datasets.pictures import pictures_of

    return {picture.image: picture for picture in pictures_of(dataset, dict.fromkeys(images))} if images else {}


def file_names(dataset: "Dataset", images: Sequence[int]) -> dict[int, str]:
    """Return the names of images below the folder that all of them share, by their indices into the dataset."""
    names = {image: dataset.images.name(image) for image in images}
    shared = os.path.commonpath({os.path.dirname(name) for name in names.values()}) if names else ""  # noqa: PTH120
    return {image: os.path.relpath(name, shared or ".") for image, name in names.items()}
