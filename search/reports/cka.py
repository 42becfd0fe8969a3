"""Compares features by CKA: blocks, timesteps, noise draws and networks, on the same images."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.devices import available_threads
from search.checks import check
from search.commands import command_line
from search.options.run_options import RunOptions
from search.options.sets import CKA_OPTIONS
from search.prepare import left_out_phrases, page_facts, prepare_probe
from spaces import DatasetError, Space
from spaces.errors import UsageError

if TYPE_CHECKING:
    from dashboards.similarity.report import SimilarityReport
    from objectives.cka.networks import ComparedNetwork

TIMESTEPS = 5
"""The number of timesteps that are compared with each other if the caller names none."""


@dataclass(frozen=True)
class CkaOptions:
    """Options of a comparison, beside those of the dataset and the network.

    against: other backbones. timestep: the timestep at which blocks are compared; None for the middle one. block: the
    block at which timesteps are compared; None for the bottleneck. pool: side of the pooled maps. draws: whether to
    also compare two noise draws. images: the most images to compare; test images are never used. batch: images of a
    minibatch.
    """

    against: tuple[str, ...] = ()
    timestep: int | None = None
    block: int | None = None
    pool: int = 4
    draws: bool = True
    images: int = 1000
    batch: int = 256


def compare_features(
    options: RunOptions, cka: CkaOptions, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> "SimilarityReport":
    """Make the forward passes and compare the features.

    on_progress: called with (done, total) images of a network. Raises SearchError before the first forward pass if the
    dataset, a network, a block or a timestep is not available.
    """
    from dashboards.similarity.report import SimilarityReport
    from objectives.cka.estimator import MIN_BATCH
    from objectives.cka.networks import chosen_images, draw_similarity, similarity
    from objectives.features.cache.quota import CONTENTS
    from objectives.results import Representation

    started = time.monotonic()
    check(options)
    networks, spaces = _networks(options.absolute(), cka)
    name, *others = networks
    network, space = networks[name], spaces[name]
    timesteps = compared_timesteps(space, options.timesteps is not None)
    timestep, block = comparison_point(space, timesteps, cka)
    images = chosen_images(network.spec, cka.images)
    if len(images) < MIN_BATCH:
        raise DatasetError(
            f"a comparison takes at least {MIN_BATCH} images outside the test split, and {options.dataset} has "
            f"{len(images)}; add images"
        )
    by_block = [Representation(name, number, timestep) for number in space.blocks]
    by_timestep = [Representation(name, block, step) for step in timesteps]
    second_draws = [Representation(name, space.blocks[0], step, 1) for step in timesteps if cka.draws]
    by_other = {
        other: [Representation(other, number, middle_timestep(spaces[other])) for number in spaces[other].blocks]
        for other in others
    }
    wanted = {name: [*by_block, *by_timestep, *second_draws], **by_other}
    usage, noised = network.spec.usage(), [step for step in timesteps if step is not None]
    with ExitStack() as in_use:
        for compared_network in networks.values():
            in_use.enter_context(usage.using(compared_network.spec.views, [usage.folder / kind for kind in CONTENTS]))
        for network_name, representations in wanted.items():
            for report in networks[network_name].fill(images, representations):
                on_progress(report.done, report.total)
        return SimilarityReport(
            dataset=options.dataset,
            backbone=printed_name(name),
            architecture=space.architecture,
            pool=cka.pool,
            blocks=similarity(networks, images, by_block, by_block, cka.batch),
            timesteps=similarity(networks, images, by_timestep, by_timestep, cka.batch) if len(timesteps) > 1 else None,
            agreement=draw_similarity(name, network, images, space.blocks, noised, cka.batch) if second_draws else None,
            others={
                printed_name(other): similarity(networks, images, by_block, representations, cka.batch)
                for other, representations in by_other.items()
            },
            facts=page_facts(network.spec.dataset, options, cka_command(options, cka)),
            left_out=left_out_phrases(network.spec.dataset),
            seconds=time.monotonic() - started,
        )


def cka_command(options: RunOptions, cka: CkaOptions) -> str:
    """Return the `search cka` command that repeats a comparison."""
    values = {item.name: getattr(cka, item.name) for item in fields(cka)}
    others = {item.name: values[item.name] for item in fields(cka) if values[item.name] != item.default}
    return command_line("cka", options, CKA_OPTIONS, others)


def _networks(options: RunOptions, cka: CkaOptions) -> tuple[dict[str, "ComparedNetwork"], dict[str, Space]]:
    """Load the networks, by name, and return the space of each: the default one for the others."""
    from objectives.cka.networks import ComparedNetwork
    from objectives.probing.probe import Probe

    networks, spaces = {}, {}
    for name in (options.backbone, *cka.against):
        if name in networks:
            raise UsageError(f"`against` names other backbones, got {name!r}, which `backbone` names already")
        narrowed = replace(options, backbone=name, pools=pools_with(cka.pool))
        if name != options.backbone:
            narrowed = replace(narrowed, blocks=None, timesteps=None)
        prepared = prepare_probe(narrowed)
        backbone = Probe.build(prepared.spec, available_threads()).backbone
        networks[name] = ComparedNetwork(prepared.spec, backbone, cka.pool)
        spaces[name] = prepared.space
    return networks, spaces


def compared_timesteps(space: Space, named: bool) -> list[int | None]:
    """Return the timesteps to compare: all where they were named, else `TIMESTEPS` from the first to the last."""
    timesteps = list(space.timesteps)
    if named or len(timesteps) <= TIMESTEPS:
        return timesteps
    return [timesteps[round(index * (len(timesteps) - 1) / (TIMESTEPS - 1))] for index in range(TIMESTEPS)]


def comparison_point(space: Space, timesteps: Sequence[int | None], cka: CkaOptions) -> tuple[int | None, int]:
    """Return the timestep at which blocks are compared, and the block at which timesteps are compared.

    Raises UsageError for one that does not exist.
    """
    architecture = space.architecture
    last = len(architecture.alphas_cumprod) - 1
    if cka.timestep is not None and not architecture.noised:
        raise UsageError(f"backbone {architecture.name} adds no noise: it has no timesteps; leave `timestep` out")
    if cka.timestep is not None and not 0 <= cka.timestep <= last:
        raise UsageError(
            f"`timestep` {cka.timestep} does not exist for backbone {architecture.name}; valid: 0 to {last}"
        )
    if cka.block is not None and cka.block not in space.blocks:
        raise UsageError(f"`block` {cka.block} is not among the compared ones: {', '.join(map(str, space.blocks))}")
    bottleneck = min(space.blocks, key=lambda number: abs(number - architecture.bottleneck))
    timestep = timesteps[len(timesteps) // 2] if cka.timestep is None else cka.timestep
    return timestep, bottleneck if cka.block is None else cka.block


def middle_timestep(space: Space) -> int | None:
    """Return the middle timestep of a space; None for an encoder."""
    return space.timesteps[len(space.timesteps) // 2]


def pools_with(pool: int) -> list[int]:
    """Return this pool size and those of the default space, so that forward passes are shared with searches."""
    from spaces.presets import DEFAULT_POOLS

    return sorted({*DEFAULT_POOLS, pool})


def printed_name(backbone: str) -> str:
    """Return a backbone's name for people and file names: the last part of a folder, or a hub id without its slash."""
    return re.sub(r"[^\w.-]+", "-", Path(backbone).name if Path(backbone).is_dir() else backbone)


def comparison_record(comparison: "SimilarityReport") -> dict[str, Any]:
    """Return the comparison as JSON-ready values. A pair without a value has None."""
    return {
        "dataset": comparison.dataset,
        "backbone": comparison.backbone,
        "pool": comparison.pool,
        "blocks": asdict(comparison.blocks),
        "timesteps": comparison.timesteps and asdict(comparison.timesteps),
        "agreement": comparison.agreement and asdict(comparison.agreement),
        "others": {name: asdict(other) for name, other in comparison.others.items()},
        "seconds": comparison.seconds,
        "left_out": comparison.left_out,
    }
