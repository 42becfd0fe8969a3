"""Where past tasks would have a new one look first, by the machinery with which `search recommend` begins."""

import shlex
from collections.abc import Sequence

import numpy as np

from dashboards.cross_dataset.advice import Advice, Standing
from search.surrogates.past_tasks import PastTask
from search.surrogates.screening_posterior import ScreeningPosterior, screening_posterior
from spaces import PRESETS, Architecture


def advice_of(
    architecture: Architecture, past: Sequence[PastTask], classes: int, images: int, backbone: str, home: Sequence[str]
) -> Advice | None:
    """For a task of so many classes and training images, over the network's default space. None where no past task is
    of its kind, diffusion network or encoder.

    backbone: as it is named to a command. home: words that name the home folder and the storage, if any.
    """
    outlook = screening_posterior(PRESETS["default"](architecture), past, classes, images, levels={})
    if not outlook.past:
        return None
    first = int(np.argmax(outlook.expected))
    command = ["search", "recommend", "--dataset", "folder", "--data-root", "DIR"]
    command += [] if backbone == "bundled" else ["--backbone", backbone]
    return Advice(
        setting=outlook.candidates[first],
        classes=classes,
        images=images,
        places=len(outlook.candidates),
        standings=_standings(outlook, first),
        command=shlex.join([*command, *home]) + "  # for your own folder of images, a folder a class",
    )


def _standings(outlook: ScreeningPosterior, first: int) -> tuple[Standing, ...]:
    found = []
    for past_task, weight, says in zip(outlook.past, outlook.first_weights, outlook.carried.T, strict=True):
        own = int(np.argmax(says))
        above = float((says < says[first]).sum() / max(len(says) - 1, 1))
        found.append(
            Standing(past_task.task, float(weight), outlook.candidates[own], above, float(says[own] - says[first]))
        )
    return tuple(sorted(found, key=lambda each: -each.weight))
