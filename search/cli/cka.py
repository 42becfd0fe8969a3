"""The command `search cka`: how alike the representations are that networks make of the same images."""

import json
import re
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from objectives.home import Home
from search.cli.options import HomeOption, integers
from search.run import RunOptions, check_names, spec_of
from search.scheduling.resources import available_cores
from spaces import DatasetError, SearchError, Space
from spaces.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from dashboards.similarity.report import Comparison
    from objectives.cka.networks import Network
    from objectives.results import Representation

TIMESTEPS = 5
"""Of the default space that are compared with each other, where none were named."""


def cka(
    dataset: Annotated[str, typer.Option(help="A name from `search datasets`; folder, csv or huggingface: your own.")],
    data_root: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where the images lie, or a hub id; as for `search run`.")
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="A name from `search backbones`, a local folder, or a hub id.")
    ] = "bundled",
    against: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Other backbones to compare it with, e.g. dinov2,clip.")
    ] = None,
    blocks: Annotated[
        str | None, typer.Option(help="Only these blocks, e.g. 4-22. [default: those of a search]")
    ] = None,
    timesteps: Annotated[
        str | None, typer.Option(help="Compared with each other, e.g. 10,50,90. [default: 5 of those of a search]")
    ] = None,
    timestep: Annotated[
        int | None, typer.Option(help="At which blocks are compared. [default: the middle one of --timesteps]")
    ] = None,
    block: Annotated[
        int | None, typer.Option(help="At which timesteps are compared. [default: the bottleneck]")
    ] = None,
    pool: Annotated[int, typer.Option(min=1, help="Maps are averaged to this side, or the next smaller.")] = 4,
    draws: Annotated[
        bool, typer.Option(help="Compare two noise draws too, which takes a second pass at every timestep.")
    ] = True,
    images: Annotated[int, typer.Option(min=4, help="At most so many, none of the test split.")] = 1000,
    batch: Annotated[int, typer.Option(min=4, help="Images of a minibatch; --images or more for all at once.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise and of which images are compared.")] = 0,
    precision: Annotated[str, typer.Option(help="Of the passes: float32, bfloat16 or float16.")] = "float32",
    skip_unreadable: Annotated[bool, typer.Option(help="Leave out files that are no readable image.")] = False,
    png: Annotated[bool, typer.Option(help="Every heatmap as a PNG file too, drawn by Chrome or Chromium.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page. [default: reports/ in the home folder]")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Compare what blocks, timesteps, noise draws and networks make of the same images, by unbiased linear CKA."""
    options = RunOptions(
        dataset=dataset,
        data_root=data_root,
        backbone=backbone,
        narrowing={"blocks": integers(blocks), "timesteps": integers(timesteps), "pools": pools_with(pool)},
        seed=seed,
        precision=precision,
        skip_unreadable=skip_unreadable,
        home=Home.at(home),
        command=shlex.join(["search", *sys.argv[1:]]),
    ).absolute()
    others = list(dict.fromkeys(name.strip() for name in (against or "").split(",") if name.strip()))
    path = out or options.home.reports / f"{dataset}-{named(backbone)}-cka.html"
    found = compared(options, others, timestep, block, pool, draws, images, batch)
    from dashboards.similarity.report import figures, write_comparison

    write_comparison(found, path)
    pictures: Sequence[Path] = ()
    if png:
        from dashboards.page.png import write_pictures

        try:
            pictures = write_pictures(figures(found), path.parent, path.stem)
        except SearchError as error:
            typer.echo(f"warning: {error}", err=True)
    if as_json:
        typer.echo(json.dumps(answer_of(found) | {"report": str(path), "pictures": [*map(str, pictures)]}, indent=2))
    else:
        from dashboards.similarity.report import sections

        told = [f"{each.title}\n  {each.sentences[0]}" for each in sections(found) if each.sentences]
        typer.echo("\n".join([*told, f"report    {path}", *(f"picture   {each}" for each in pictures)]))


def compared(
    options: RunOptions,
    others: Sequence[str],
    timestep: int | None,
    block: int | None,
    pool: int,
    draws: bool,
    count: int,
    batch: int,
) -> "Comparison":
    """Raises SearchError where dataset, networks, blocks or timesteps cannot be had, before a pass is made."""
    from dashboards.similarity.report import Comparison
    from objectives.cka.estimator import FEWEST
    from objectives.cka.networks import agreement, chosen_images, similarity
    from objectives.features.quota import KINDS
    from objectives.results import Representation

    since = time.monotonic()
    check_names(options)
    networks, spaces = networks_of(options, others, pool)
    name = options.backbone
    network, space = networks[name], spaces[name]
    steps = steps_of(space, options.narrowing["timesteps"] is not None)
    at, on = chosen(space, steps, timestep, block)
    some = chosen_images(network.spec, count)
    if len(some) < FEWEST:
        raise DatasetError(
            f"a comparison takes at least {FEWEST} images outside the test split, and {options.dataset} has "
            f"{len(some)}; add images"
        )
    mine = [Representation(name, each, at) for each in space.blocks]
    theirs = {
        other: [Representation(other, each, middle_of(spaces[other])) for each in spaces[other].blocks]
        for other in others
    }
    along = [Representation(name, on, step) for step in steps]
    twice = [Representation(name, space.blocks[0], step, 1) for step in steps if draws]
    usage = network.spec.usage()
    with ExitStack() as held:
        for each in networks.values():
            held.enter_context(usage.using(each.spec.views, [usage.folder / kind for kind in KINDS]))
        passed(networks, some, {name: [*mine, *along, *twice], **theirs})
        found = Comparison(
            dataset=options.dataset,
            backbone=named(name),
            architecture=space.architecture,
            pool=pool,
            seconds=0.0,
            blocks=similarity(networks, some, mine, mine, batch),
            timesteps=similarity(networks, some, along, along, batch) if len(steps) > 1 else None,
            agreement=agreement(name, network, some, space.blocks, [s for s in steps if s is not None], batch)
            if twice
            else None,
            others={named(other): similarity(networks, some, mine, each, batch) for other, each in theirs.items()},
            facts={
                "Dataset fingerprint": network.spec.dataset.fingerprint,
                "Seed": str(options.seed),
                "Precision": options.precision,
                "Command": options.command,
            },
        )
    return replace(found, seconds=time.monotonic() - since)


def networks_of(options: RunOptions, others: Sequence[str], pool: int) -> tuple[dict[str, "Network"], dict[str, Space]]:
    """By name, and the space of each: of the others the default one."""
    from objectives.cka.networks import Network

    networks, spaces = {}, {}
    for name in (options.backbone, *others):
        if name in networks:
            raise UsageError(f"--against names other backbones, got {name!r}, which --backbone names already")
        narrowing = options.narrowing if name == options.backbone else {"pools": pools_with(pool)}
        spec, space, _ = spec_of(replace(options, backbone=name, narrowing=narrowing))
        networks[name], spaces[name] = Network(spec, spec.build(available_cores()).backbone, pool), space
    return networks, spaces


def passed(
    networks: "dict[str, Network]", images: "np.ndarray[Any, Any]", wanted: "dict[str, list[Representation]]"
) -> None:
    """Have every pass made, while progress is told."""
    from search.display.live_table import extracting

    for name, representations in wanted.items():
        extracting(networks[name].fill(images, representations))


def steps_of(space: Space, asked: bool) -> list[int | None]:
    """The timesteps to compare: those that were asked for, else `TIMESTEPS` from the first to the last of the space."""
    steps = list(space.timesteps)
    if asked or len(steps) <= TIMESTEPS:
        return steps
    return [steps[round(place * (len(steps) - 1) / (TIMESTEPS - 1))] for place in range(TIMESTEPS)]


def chosen(
    space: Space, steps: Sequence[int | None], timestep: int | None, block: int | None
) -> tuple[int | None, int]:
    """At which timestep blocks are compared, and at which block timesteps. Raises UsageError for what is not there."""
    architecture = space.architecture
    last = len(architecture.alphas_cumprod) - 1
    if timestep is not None and not architecture.noised:
        raise UsageError(f"backbone {architecture.name} adds no noise: it has no timesteps; leave --timestep out")
    if timestep is not None and not 0 <= timestep <= last:
        raise UsageError(f"--timestep {timestep} does not exist for backbone {architecture.name}; valid: 0 to {last}")
    if block is not None and block not in space.blocks:
        raise UsageError(f"--block {block} is not among the compared ones: {', '.join(map(str, space.blocks))}")
    bottleneck = min(space.blocks, key=lambda each: abs(each - architecture.bottleneck))
    return steps[len(steps) // 2] if timestep is None else timestep, bottleneck if block is None else block


def middle_of(space: Space) -> int | None:
    return space.timesteps[len(space.timesteps) // 2]


def pools_with(pool: int) -> list[int]:
    """Those that every search keeps, so that passes are shared with it, and this one."""
    from spaces.presets import DEFAULT_POOLS

    return sorted({*DEFAULT_POOLS, pool})


def named(backbone: str) -> str:
    """For people and file names: of a folder its own name, of a hub id without its slash."""
    return re.sub(r"[^\w.-]+", "-", Path(backbone).name if Path(backbone).is_dir() else backbone)


def answer_of(found: "Comparison") -> dict[str, Any]:
    """JSON-ready. values: of each row with each column; null where there is none."""
    return {
        "dataset": found.dataset,
        "backbone": found.backbone,
        "pool": found.pool,
        "blocks": asdict(found.blocks),
        "timesteps": found.timesteps and asdict(found.timesteps),
        "agreement": found.agreement and asdict(found.agreement),
        "others": {name: asdict(other) for name, other in found.others.items()},
        "seconds": found.seconds,
    }
