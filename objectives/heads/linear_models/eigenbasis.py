"""An orthonormal basis in which the images' covariance is diagonal, so that one decomposition serves every strength.

Where images have weights w_i, of mean 1, it is their covariance mean_i w_i x_i x_iᵀ, which is that of √w_i x_i.
"""

from dataclasses import dataclass

import torch

from objectives.heads.standardising import Standardised, strips


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis of the space that n training images of d features span; r directions.

    vectors: (d, r), a direction each; where there is a `span`, (n, r), by which its images add up to them. spectrum:
    (r,), the variance along each direction, ascending. images: (n, r + 1), the training images, and last ones. weights:
    (n,), what the images count for, of mean 1; None where all count alike. All are of the features' type.
    """

    vectors: torch.Tensor
    spectrum: torch.Tensor
    images: torch.Tensor
    span: Standardised | None = None
    weights: torch.Tensor | None = None

    def weighed(self, values: torch.Tensor) -> torch.Tensor:
        """Values of the images, (…, n), times what each image counts for."""
        return values if self.weights is None else values * self.weights

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Of values (n, k) over the images, by their weights, (k,)."""
        return values.mean(dim=0) if self.weights is None else self.weights @ values / len(values)

    def project(self, features: Standardised) -> torch.Tensor:
        """(m, d) → (m, r)."""
        result = features.empty(self.vectors.shape[1])
        if self.span is None:
            for rows, slab in features.slabs():
                torch.mm(slab, self.vectors, out=result[rows])
            return result
        products = features.empty(len(self.vectors)).zero_()
        for columns in strips(features, self.span):
            products.addmm_(features.strip(columns), self.span.strip(columns).T)
        return torch.mm(products, self.vectors, out=result)

    def lift(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights in the basis, (K, r), as weights of features, (K, d), of the same norm."""
        weights = weights @ self.vectors.T
        if self.span is None:
            return weights
        return torch.cat([weights @ self.span.strip(columns) for columns in strips(self.span)], dim=1)


def eigenbasis(features: Standardised) -> Basis:
    """Of features (n, d) with zero mean, by their weights; r = d, or r < n where there are fewer images than features.

    With an L2 penalty the optimal weights lie in the span of the images, so the smaller problem is the same problem.
    """
    n, d = features.shape
    weights = features.data.weights
    weights = None if weights is None else weights.to(features.by.mean.dtype)
    roots = None if weights is None else weights.sqrt()[:, None]
    gram = features.by.mean.new_zeros(min(n, d), min(n, d))
    if d <= n:
        for rows, slab in features.slabs():
            if roots is not None:
                slab.mul_(roots[rows])
            gram.addmm_(slab.T, slab)
        spectrum, vectors = torch.linalg.eigh(gram.div_(n))
        images = features.empty(d + 1)
        images[:, -1] = 1
        for rows, slab in features.slabs():
            images[rows, :-1] = slab @ vectors
        return Basis(vectors, spectrum.clamp(min=0), images, weights=weights)
    for columns in strips(features):
        strip = features.strip(columns)
        if roots is not None:
            strip.mul_(roots)
        gram.addmm_(strip, strip.T)
    spectrum, vectors = torch.linalg.eigh(gram.div_(n))
    # What is below the rounding of the Gram matrix is noise. At the weakest strength that is worth fitting, 1e-7 of the
    # total variance, it would move no logit by more than a fraction of that image's own error.
    kept = spectrum > torch.finfo(spectrum.dtype).eps * spectrum[-1]
    spectrum, vectors = spectrum[kept], vectors[:, kept]
    norms = (n * spectrum).sqrt()
    images = torch.cat([vectors * norms, norms.new_ones(n, 1)], dim=1)
    vectors = vectors / norms
    if roots is not None:
        images[:, :-1] /= roots
        vectors *= roots
    return Basis(vectors, spectrum, images, features, weights)
