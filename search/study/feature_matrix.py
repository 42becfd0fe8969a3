"""Reads the features of a dataset at one setting, as arrays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from objectives.devices import available_threads
from search.checks import check
from search.options.run_options import RunOptions
from search.prepare import PreparedProbe, check_same, moved_options, prepare_probe
from spaces import Setting

if TYPE_CHECKING:
    import numpy as np

    from search.study.study import Study

OnProgress = Callable[[int, int], None]


class Features(NamedTuple):
    """The features of a dataset at one setting, an image a row.

    X: float32 (n, length). y: int64 (n,), indices into names. names: of the classes. splits: "train", "validation" or
    "test" for each image, (n,); with folds, the images that validate in turn are "train".
    """

    X: "np.ndarray"
    y: "np.ndarray"
    names: tuple[str, ...]
    splits: "np.ndarray"


def read_features(
    options: RunOptions, setting: Setting, on_progress: OnProgress = lambda done, total: None
) -> Features:
    """Return the features, from the cache or by new forward passes.

    on_progress: called with (done, total) images. Raises SearchError in words, and InvalidSpaceError for a setting that
    the network cannot have.
    """
    check(options)
    absolute = options.absolute()
    return _read(prepare_probe(absolute), absolute.seed, setting, on_progress)


def read_study_features(
    study: "Study",
    setting: Setting,
    data_root: str | Path | None = None,
    backbone: str | Path | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Features:
    """Return the features that a study read: the same images, pixels, noise, network, precision and rounding.

    data_root, backbone: where the images and the network lie now, if they have moved. Raises SearchError in words where
    they are not those of the study.
    """
    from search.database.store import Store

    with Store.open(study.storage, reading=True) as store:
        saved = store.saved_options(study.name)
    options = moved_options(study.results, saved, study.home, data_root, backbone)
    prepared = prepare_probe(options, saved.space)
    check_same(study.results, prepared)
    return _read(prepared, options.seed, setting, on_progress)


def _read(prepared: PreparedProbe, seed: int, setting: Setting, on_progress: OnProgress) -> Features:
    from objectives.features.cache.quota import CONTENTS
    from objectives.probing.probe import Probe

    spec = replace(prepared.spec, grids=_grids(prepared, setting))
    probe, usage = Probe.build(spec, available_threads()), spec.usage()
    with usage.using(spec.views, [usage.folder / kind for kind in CONTENTS]):
        reports = probe.matrix(setting)
        while True:
            try:
                report = next(reports)
            except StopIteration as end:
                matrix = end.value
                break
            on_progress(report.done, report.total)
    dataset = spec.dataset
    return Features(matrix, dataset.labels, dataset.classes, _split_names(prepared, seed))


def _grids(prepared: PreparedProbe, setting: Setting) -> dict[int, int]:
    """Return the grids of the space, whose cached features serve every pool size, and those that only the setting has.

    Raises InvalidSpaceError for a block, a timestep, a pool size or a number of draws that the network does not
    have.
    """
    blocks, timesteps = {tap.block for tap in setting.taps}, {tap.timestep for tap in setting.taps}
    space = prepared.space
    noised = [timestep for timestep in timesteps if timestep is not None]
    wanted = space.narrow(
        blocks=sorted(blocks),
        timesteps=sorted(noised) or ([None] if space.architecture.noised else None),
        pools=[setting.pool],
        draws=[setting.draws],
    )
    return {**wanted.grids, **{block: grid for block, grid in space.grids.items() if grid >= setting.pool}}


def _split_names(prepared: PreparedProbe, seed: int) -> "np.ndarray":
    import numpy as np

    parts = prepared.spec.splits(seed)
    names = np.full(len(prepared.spec.dataset), "train", dtype="<U10")
    names[prepared.spec.dataset.is_test] = "test"
    if prepared.spec.folds is None:
        names[parts[0].validation] = "validation"
    return names
