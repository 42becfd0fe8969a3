"""Refuses at once what needs no image and no network to be refused."""

import re
from pathlib import Path

from search.options.run_options import RunOptions
from search.prepare import narrowed_space
from spaces import HEAD_OPTIONS, PRESETS, UsageError, check_name
from spaces.errors import shown
from spaces.space import read_space_file


def check(options: RunOptions, this_machine: bool = True) -> None:
    """Refuse at once what needs no image and no network to be refused. Raises SearchError in words.

    Nothing heavy is imported for it: neither torch nor Ray, nor what upgrades a database. this_machine: whether the
    search will run here, so that it must fit this machine's cores and GPUs.
    """
    from objectives.backbones.catalog import bundled_outline, check_backbone
    from objectives.datasets.catalog import check_dataset, check_root
    from search.database.connection.url import Address
    from search.samplers.catalog import SAMPLERS

    options.check()
    check_dataset(options.dataset)
    if not options.space.endswith(".toml"):
        check_name("space", options.space, [*PRESETS, "a .toml file"])
    else:
        read_space_file(Path(options.space))
    if options.sampler is not None:
        check_name("sampler", options.sampler, SAMPLERS)
    for head in options.heads or ():
        check_name("head", head, HEAD_OPTIONS)
    if options.ray_address is None:
        if options.gpu_type is not None:
            raise UsageError("`gpu_type` is for a cluster, got no `ray_address`; leave it out, or name a cluster")
        if this_machine:
            check_machine(options)
    else:
        check_ray_address(options.ray_address)
    check_backbone(options.backbone, options.precision)
    if options.backbone == "bundled":
        narrowed_space(options, bundled_outline(options.image_side))
    options.home_folder.check_writable()
    Address(options.database)
    check_root(options.dataset, options.data_root, options.home_folder.datasets)


def check_ray_address(address: str) -> None:
    """Refuse what is no HOST:PORT. Raises UsageError in words."""
    match = re.fullmatch(r"[^\s/]+:([0-9]{1,5})", address)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise UsageError(
            "`ray_address` must be HOST:PORT of a running cluster with a port from 1 to 65,535, such as 10.0.0.1:6379, "
            f"got {shown(address)}; leave it out for a private Ray"
        )


def check_machine(options: RunOptions) -> None:
    """Refuse more workers or GPUs than this machine has. Raises UsageError in words."""
    from objectives.devices import available_cores, gpu_count
    from search.scheduling.resources import workers_on

    share, gpus = options.gpus_per_trial, gpu_count()
    if share and not gpus:
        raise UsageError(
            f"`gpus_per_trial` is {share:g}, and torch finds no GPU on this machine; leave it out, or name a cluster "
            "with `ray_address`"
        )
    if share and share > gpus:
        raise UsageError(f"`gpus_per_trial` must be at most {gpus} on this machine, its number of GPUs, got {share:g}")
    most, rule = available_cores(), "one for each core that this process may use"
    if share:
        most, rule = workers_on(gpus, share), f"whose {gpus} GPUs have room for {share:g} that often"
    shares_gpus_equally = gpus and share is None
    if options.workers is not None and options.workers > most and not shares_gpus_equally:
        raise UsageError(f"`workers` must be at most {most} on this machine, {rule}; got {options.workers}")
