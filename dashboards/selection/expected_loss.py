"""How much the answer is expected to lose to the best of all settings that were tried.

The best of many noisy scores is too high (the winner's curse), so the scores are shrunk. The model is hierarchical
(Gelman et al. 2013, Bayesian Data Analysis, chapter 5): the true scores of the settings above the median are Gaussian
around the median, with a common spread that follows from the data too. The settings below cannot be the best, and some
of them are so bad that they would make the spread too large. The trials, and the rounds of the candidates, measure the
true scores with the noise of their images. The loss is the largest true score minus that of the answer, over samples of
the posterior.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from dashboards.selection.elimination import Elimination, mask_scores, paired_gaps
from dashboards.statistics import Z
from objectives.results import ACCURACY, IntervalEstimate, StudyResults, Trial
from spaces import Setting

if TYPE_CHECKING:
    import numpy as np

SAMPLES = 4000

SPREADS = 25
"""Values of the spread of true scores that are weighted by their likelihood."""

PSEUDO = 0.5
"""Images that are added to the noise of each setting: two settings with the same answers on a few images may differ on
others. Agresti & Min (2005, Statistics in Medicine 24:729) add half an image to each cell of a paired comparison."""

WIDER = 1.5
"""Factor of the posterior's standard deviations for the interval. True scores have a longer tail than the model, and
classifiers of folds share their images. With 1.25, 85 % of the intervals of whole searches of 100 digits contained the
loss, with 1.5, 96 % (docs/benchmarks.md, Whole searches)."""

MOST_SETTINGS = 300
"""The most settings above the median that are considered; the best ones if there are more."""


def expected_loss(study: StudyResults, elimination: Elimination[Setting], answer: Setting) -> IntervalEstimate | None:
    """Return the expected loss of the answer to the best setting tried, in the score of the study's metric.

    The interval goes from 0 to the 95 % quantile of the loss. None where the answer has no complete trial.
    """
    trials = list({trial.setting: trial for trial in reversed(study.complete)}.values())[::-1]  # best first
    scores = [study.metric.score(estimate.value) for trial in trials if (estimate := trial.estimate(study.metric))]
    middle, compared = median(scores), {answer, *elimination.scores}
    kept = [
        (trial, score - middle)
        for place, (trial, score) in enumerate(zip(trials, scores, strict=True))
        if (score >= middle and place < MOST_SETTINGS) or trial.setting in compared
    ]
    settings = [trial.setting for trial, _ in kept]
    if answer not in settings:
        return None
    noise, contrasts = _noise([trial for trial, _ in kept], study), _rounds(settings, elimination)
    twice = _counted_twice(study, elimination)
    contrasts = replace(contrasts, noise=twice * contrasts.noise)
    return loss_to_best([score for _, score in kept], twice * noise, contrasts, settings.index(answer))


@dataclass(frozen=True)
class Contrasts:
    """Measured differences between settings.

    matrix: (differences, settings), a row for each, of 1, -1 and 0. values: (differences,). noise: their covariance.
    """

    matrix: "np.ndarray"
    values: "np.ndarray"
    noise: "np.ndarray"


def loss_to_best(values: Sequence[float], noise: "np.ndarray", contrasts: Contrasts, answer: int) -> IntervalEstimate:
    """Return the posterior mean and 95 % quantile of the largest true score minus that of the answer.

    values: the noisy score of each setting, minus the median of all. noise: (settings, settings), their covariance
    apart from what they share.
    """
    import numpy as np

    generator, count = np.random.default_rng(0), len(values)
    design = np.vstack([np.eye(count), contrasts.matrix])
    observed = np.concatenate([np.asarray(values), contrasts.values])
    errors = np.zeros((len(observed), len(observed)))
    errors[:count, :count], errors[count:, count:] = noise, contrasts.noise
    scale = max(float(np.mean(np.square(values))) ** 0.5, float(np.trace(noise) / count) ** 0.5, 1e-6)
    errors += (1e-4 * scale) ** 2 * np.eye(len(observed))
    # The prior of the spread is uniform (Gelman 2006, Bayesian Analysis 1:515). On a grid of equal ratios, that is a
    # weight in proportion to the spread.
    spreads = scale * np.geomspace(1e-3, 3, SPREADS)
    # Divided by their errors, the measurements have independent errors of 1. The singular vectors of the design are
    # then directions in which the true scores are independent, whatever the spread.
    root = np.linalg.cholesky(errors)
    left, sizes, directions = np.linalg.svd(np.linalg.solve(root, design), full_matrices=False)
    measured = left.T @ np.linalg.solve(root, observed)  # in each direction
    signal = 1 + np.outer(spreads, sizes) ** 2  # the variance of `measured`, (spreads, directions)
    weights = np.log(spreads) - (measured**2 / signal + np.log(signal)).sum(axis=1) / 2
    weights = np.exp(weights - weights.max())
    losses = []
    for index, number in enumerate(generator.multinomial(SAMPLES, weights / weights.sum())):
        if number:
            variance = spreads[index] ** 2 / signal[index]
            mean = (variance * sizes * measured) @ directions
            normal = generator.standard_normal((number, count)) @ (np.sqrt(variance)[:, None] * directions)
            samples = np.stack([mean + normal, mean + WIDER * normal])
            losses.append(samples.max(axis=2) - samples[:, :, answer])
    expected, wider = np.concatenate(losses, axis=1)
    value = float(expected.mean())
    return IntervalEstimate(value, 0.0, max(value, float(np.quantile(wider, 0.95))))


def _counted_twice(study: StudyResults, elimination: Elimination[Setting]) -> float:
    """Return how many times as much the trials and the rounds count, as they have images together.

    The noise of an image that validated in both is not independent. With folds, all images did.
    """
    import numpy as np

    trial, rest = study.counts["validation"], study.counts["train"]
    images = trial if study.folds else trial + rest
    leader = elimination.scores.get(elimination.remaining[0])
    rounds = 0 if leader is None else int(np.count_nonzero(~np.isnan(leader)))
    together = images - max(images - trial, 0) * max(images - rounds, 0) / images
    return (trial + rounds) / together


def _noise(trials: Sequence[Trial], study: StudyResults) -> "np.ndarray":
    """Return the covariance of the trials' scores over images, (n, n): what all trials share is left out.

    Trials by another metric than the accuracy have no score of each image: they are taken as independent.
    """
    import numpy as np

    masks = [trial.correct_mask for trial in trials if trial.correct_mask is not None]
    if study.metric == ACCURACY and len(masks) == len(trials) and len({mask.total for mask in masks}) == 1:
        return shared_out(np.stack([mask_scores(mask) for mask in masks]))
    estimates = [trial.estimate(study.metric) for trial in trials]
    return np.diag([((one.high - one.low) / (2 * Z)) ** 2 for one in estimates if one is not None])


def shared_out(scores: "np.ndarray") -> "np.ndarray":
    """Return the covariance, (settings, settings), of mean scores over images without the part that all share.

    scores: (settings, images).
    """
    import numpy as np

    own = scores - scores.mean(axis=0)
    return _covariance(own - own.mean(axis=1, keepdims=True), np.eye(len(scores)))


def _covariance(deviations: "np.ndarray", shape: "np.ndarray") -> "np.ndarray":
    """Return the covariance of the mean over images, shrunk towards a multiple of a target.

    A few images leave directions without any noise, such as that between two settings with the same answers, and the
    posterior would take these as certain. The weight of the target is that of Schäfer & Strimmer (2005, Statistical
    Applications in Genetics and Molecular Biology 4:32), equation 7. deviations: (settings, images), from the mean.
    shape: of the target.
    """
    images = deviations.shape[1]
    sample = deviations @ deviations.T / images
    target = shape * (sample.trace() / shape.trace())
    variance = ((deviations**2).sum(axis=0) ** 2).sum() / images - (sample**2).sum()
    distance = ((sample - target) ** 2).sum()
    weight = min(1.0, variance / images / distance) if distance > 0 else 1.0
    covariance: np.ndarray = (weight * target + (1 - weight) * sample) / images + PSEUDO / images**2 * shape
    return covariance


def _rounds(settings: Sequence[Setting], elimination: Elimination[Setting]) -> Contrasts:
    """Return the losses of the candidates to their leader, which the rounds measured."""
    import numpy as np

    leader, *others = elimination.remaining
    others = [*others, *elimination.dropped]
    rows = [setting for setting in others if setting in settings and setting in elimination.scores]
    if leader not in settings or not rows:
        return Contrasts(np.zeros((0, len(settings))), np.zeros(0), np.zeros((0, 0)))
    gaps = paired_gaps(elimination.scores[leader], [elimination.scores[setting] for setting in rows])
    losses, counts = np.nanmean(gaps, axis=1), (~np.isnan(gaps)).sum(axis=1, keepdims=True)
    # Candidates that were dropped have fewer images; each deviation counts in the mean of its own ones.
    deviations = np.nan_to_num(gaps - losses[:, None]) * (gaps.shape[1] / counts)
    matrix = np.zeros((len(rows), len(settings)))
    matrix[:, settings.index(leader)] = 1
    matrix[np.arange(len(rows)), [settings.index(setting) for setting in rows]] = -1
    # Every difference has the noise of the leader and that of its own candidate.
    target = np.eye(len(rows)) + 1
    return Contrasts(matrix, losses, _covariance(deviations, target))
