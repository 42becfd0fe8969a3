"""The section that shows copies of training images in the test split, and the page that holds nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dashboards.classifier.sentences import copies_sentence, copy_caption
from dashboards.page.page import PictureRow, Section, Table, render_page, write
from objectives.results import NearDuplicate, Picture

PICTURED, LISTED = 30, 500


def near_duplicates_section(
    pairs: Sequence[NearDuplicate],
    test_images: int,
    names: Sequence[str],
    pictures: Mapping[int, Picture],
    files: Mapping[int, str],
) -> Section:
    """The section of the pairs. names: of the classes. pictures, files: of these images, by index into the dataset."""
    pictured = [pair for pair in pairs[:PICTURED] if pair.train in pictures and pair.test in pictures]
    shown = [
        (pictures[image], f"{split}: {names[pictures[image].label]}{how}")
        for pair in pictured
        for split, image, how in (("train", pair.train, ""), ("test", pair.test, f"; {copy_caption(pair)}"))
    ]
    table = Table(
        "Test images with their nearest training image, the most similar first",
        ("Image", "Training image", "Cosine"),
        tuple((files[pair.test], files[pair.train], copy_caption(pair)) for pair in pairs[:LISTED]),
    )
    return Section(
        "near-duplicates",
        "Copies of training images in the test split",
        (copies_sentence(pairs, test_images),),
        table=table if pairs else None,
        picture_rows=(PictureRow("", tuple(shown), side_by_side=2),) if shown else (),
    )


def write_near_duplicates(section: Section, dataset: str, path: Path) -> Path:
    """Write a page with this section alone, and return `path`. Raises SearchError if it cannot be written."""
    return write(render_page("near_duplicates.html", [section], dataset=dataset), path)
