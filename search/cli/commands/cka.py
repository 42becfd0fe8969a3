"""The command `search cka`: measures how similar the features of blocks, timesteps, noise draws and networks are."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.flags import JsonOption, number_option, parse_names, with_run_options
from search.cli.output import print_aside, print_json, print_left_out, print_lines
from search.options.run_options import RunOptions
from search.options.sets import CKA_OPTIONS, HELP_OF_IMAGES
from spaces import SearchError
from spaces.text import file_name


@with_run_options(
    *CKA_OPTIONS,
    blocks="Blocks to compare, e.g. 4-22. [default: the blocks that a search tries]",
    timesteps="Timesteps to compare, e.g. 10,50,90. [default: 5 of those that a search tries]",
    **HELP_OF_IMAGES,
)
def cka(
    options: RunOptions,
    against: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Other backbones to compare with, e.g. dinov2,clip.")
    ] = None,
    timestep: Annotated[
        int | None, number_option(0, "Timestep at which blocks are compared. [default: the middle one]")
    ] = None,
    block: Annotated[
        int | None, number_option(0, "Block at which timesteps are compared. [default: the bottleneck]")
    ] = None,
    pool: Annotated[
        int, number_option(1, "Pool size: side of the pooled maps. Blocks with smaller maps use the next smaller size.")
    ] = 4,
    draws: Annotated[bool, typer.Option(help="Also compare two noise draws of the same images.")] = True,
    images: Annotated[int, number_option(4, "Images to compare, at most. Test images are never used.")] = 1000,
    batch: Annotated[
        int, number_option(4, "Images of a minibatch. --images or more compares all images at once.")
    ] = 256,
    png: Annotated[bool, typer.Option(help="Also draw each heatmap as a PNG file; needs Chrome or Chromium.")] = True,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page to write. [default: in reports/ in the home folder]")
    ] = None,
) -> None:
    """Compare the features of blocks, timesteps and networks.

    The measure is unbiased linear CKA: 1 for features that are equal up to rotation and scale, about 0 for unrelated
    features. Two noise draws of the same images are compared too.
    """
    from dashboards.page.page import check_file
    from dashboards.page.png import write_pictures
    from dashboards.similarity.report import figures, sections, write_similarity
    from objectives.datasets.catalog import called
    from search.display.counter import counter
    from search.reports.cka import CkaOptions, compare_features, comparison_record, printed_name

    others = tuple(dict.fromkeys(name for name in parse_names(against or "") if name))
    own = called(options.dataset, options.absolute().data_root)
    name = f"{file_name(f'{own}-{printed_name(options.backbone)}')}-cka.html"
    path = out or options.home_folder.reports / name
    check_file(path, ("html",))
    with counter("passes") as update:
        comparison = compare_features(options, CkaOptions(others, timestep, block, pool, draws, images, batch), update)
    print_left_out(comparison.left_out)
    write_similarity(comparison, path)
    pictures: list[Path] = []
    if png:
        try:
            pictures = write_pictures(figures(comparison), path.parent, path.stem)
        except SearchError as error:
            print_aside(f"warning: {error}")
    if as_json:
        print_json(comparison_record(comparison) | {"report": path, "pictures": pictures})
    else:
        shown = (section for section in sections(comparison) if section.sentences)
        lines = [line for section in shown for line in (section.title, f"  {section.sentences[0]}")]
        print_lines(*lines, f"report    {path}", *(f"picture   {picture}" for picture in pictures))
