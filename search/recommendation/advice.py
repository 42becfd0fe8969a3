"""Advises where to look first on a dataset that nobody has searched yet, from past tasks alone."""

import shlex
from collections.abc import Sequence

import numpy as np

from dashboards.cross_dataset.advice import Advice, PastTaskRanking
from search.surrogates.past_tasks import PastTask
from search.surrogates.screening_posterior import ScreeningPosterior, screening_posterior
from spaces import PRESETS, Architecture


def advice_of(
    architecture: Architecture,
    past_tasks: Sequence[PastTask],
    classes: int,
    images: int,
    backbone: str,
    home_words: Sequence[str],
) -> Advice | None:
    """Return the setting of the network's default space with which `search recommend` would begin.

    None where no past task used a network of the same kind (diffusion network or encoder).

    classes, images: the numbers of classes and of training images of the new dataset. backbone: its name on the command
    line. home_words: command-line words that name the home folder and the storage; may be empty.
    """
    posterior = screening_posterior(PRESETS["default"](architecture), past_tasks, classes, images, scores={})
    if not posterior.past_tasks:
        return None
    advised = int(np.argmax(posterior.mean))
    command = ["search", "recommend", "--dataset", "folder", "--data-root", "DIR"]
    command += [] if backbone == "bundled" else ["--backbone", backbone]
    return Advice(
        setting=posterior.candidates[advised],
        classes=classes,
        images=images,
        candidates=len(posterior.candidates),
        rankings=_rankings(posterior, advised),
        command=shlex.join([*command, *home_words]) + "  # for your own folder of images, a folder a class",
    )


def _rankings(posterior: ScreeningPosterior, advised: int) -> tuple[PastTaskRanking, ...]:
    """Return what each past task predicts of the advised candidate, the task with the largest weight first."""
    rankings = []
    for task, weight, predicted in zip(
        posterior.past_tasks, posterior.initial_weights, posterior.past_predictions.T, strict=True
    ):
        best = int(np.argmax(predicted))
        below = float((predicted < predicted[advised]).sum() / max(len(predicted) - 1, 1))
        loss = float(predicted[best] - predicted[advised])
        rankings.append(PastTaskRanking(task.task, float(weight), posterior.candidates[best], below, loss))
    return tuple(sorted(rankings, key=lambda ranking: -ranking.weight))
