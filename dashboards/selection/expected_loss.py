"""How much the answer is expected to lose to the best of all settings that were tried.

The best of many noisy scores is too high (the winner's curse), so the scores are shrunk. The model is hierarchical
(Gelman et al. 2013, Bayesian Data Analysis, chapter 5): the true scores of the settings above the median are Gaussian
around a centre. Each has one of several spreads, and the shares of the spreads follow from the data, as the centre does
(adaptive shrinkage; Stephens 2017, Biostatistics 18:275). So most settings may be alike, while a few are far better; a
single spread would take these for lucky. The settings below the median cannot be the best, and some of them are so bad
that they would make the spreads too large. The trials, and the rounds of the candidates, measure the true scores with
the noise of their images. The loss is the largest true score minus that of the answer, over samples of the posterior.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from dashboards.selection.elimination import Elimination, mask_scores, paired_gaps
from dashboards.statistics import Z
from objectives.devices import one_thread_of_blas
from objectives.results import ACCURACY, IntervalEstimate, StudyResults, Trial
from spaces import Setting

if TYPE_CHECKING:
    import numpy as np

BURN_IN, SAMPLES = 200, 1200
"""Samples of the Markov chain that are left out at its start, and that are used."""

SPREADS = 10
"""Values of the spread of true scores whose shares follow from the data."""

END = 0.975
"""The quantile that ends the interval, as for intervals with two ends. With 95 %, 92 to 94 of 100 intervals held on the
tasks that chose it: the luck of the fit to all images is not in the noise (docs/benchmarks.md, Whole searches)."""

PSEUDO = 0.5
"""Images that are added to the noise of each setting: two settings with the same answers on a few images may differ on
others. Agresti & Min (2005, Statistics in Medicine 24:729) add half an image to each cell of a paired comparison."""

MOST_SETTINGS = 150
"""The most settings above the median that are considered; the best ones if there are more."""


def expected_loss(study: StudyResults, elimination: Elimination[Setting], answer: Setting) -> IntervalEstimate | None:
    """Return the expected loss of the answer to the best setting tried, in the score of the study's metric.

    The interval goes from 0 to the 97.5 % quantile of the loss. None where the answer has no complete trial.
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
    """Return the posterior mean and 97.5 % quantile of the largest true score minus that of the answer.

    values: the noisy score of each setting, minus the median of all. noise: (settings, settings), their covariance
    apart from what they share.
    """
    import numpy as np

    count = len(values)
    design = np.vstack([np.eye(count), contrasts.matrix])
    observed = np.concatenate([np.asarray(values), contrasts.values])
    errors = np.zeros((len(observed), len(observed)))
    errors[:count, :count], errors[count:, count:] = noise, contrasts.noise
    scale = max(float(np.mean(np.square(values))) ** 0.5, float(np.trace(noise) / count) ** 0.5, 1e-6)
    errors += (1e-4 * scale) ** 2 * np.eye(len(observed))
    weighed = np.linalg.solve(errors, np.column_stack([design, observed]))
    precision, evidence = design.T @ weighed[:, :-1], design.T @ weighed[:, -1]
    with one_thread_of_blas():
        samples = sampled_scores(precision, evidence, scale * np.geomspace(0.05, 3, SPREADS))
    losses = samples.max(axis=1) - samples[:, answer]
    value = float(losses.mean())
    return IntervalEstimate(value, 0.0, max(value, float(np.quantile(losses, END))))


def sampled_scores(precision: "np.ndarray", evidence: "np.ndarray", spreads: "np.ndarray") -> "np.ndarray":
    """Return samples of the true scores of n settings, (samples, n), by Gibbs sampling.

    In turn, the true scores are drawn given the spread of each and the centre, the centre given the true scores, the
    spread of each setting given its true score, and the shares of the spreads. Their prior is Jeffreys'; that of the
    centre is flat.

    precision: (n, n), the inverse covariance of the measurements' noise in terms of the settings. evidence: `precision`
    times the measured scores, (n,). spreads: ascending.
    """
    import numpy as np
    from scipy.linalg import solve_triangular

    generator, count = np.random.default_rng(0), len(evidence)
    spread_of, shares, centre = np.full(count, len(spreads) // 2), np.full(len(spreads), 1 / len(spreads)), 0.0
    samples = np.empty((SAMPLES, count))
    for number in range(-BURN_IN, SAMPLES):
        prior = spreads[spread_of] ** -2.0
        root = np.linalg.cholesky(precision + np.diag(prior))
        standard = solve_triangular(root, evidence + prior * centre, lower=True, check_finite=False)
        standard += generator.standard_normal(count)
        scores = solve_triangular(root, standard, lower=True, trans=1, check_finite=False)
        centre = float(prior @ scores + prior.sum() ** 0.5 * generator.standard_normal()) / float(prior.sum())
        logarithms = np.log(shares / spreads) - ((scores[:, None] - centre) / spreads) ** 2 / 2
        weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True)).cumsum(axis=1)
        spread_of = (weights < generator.random((count, 1)) * weights[:, -1:]).sum(axis=1)
        shares = generator.dirichlet(0.5 + np.bincount(spread_of, minlength=len(spreads)))
        if number >= 0:
            samples[number] = scores
    return samples


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
