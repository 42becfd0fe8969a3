"""An orthonormal basis in which the images' covariance is diagonal, so that one decomposition serves every L2 strength.

If images have weights w_i of mean 1, the covariance is mean_i w_i x_i x_iᵀ, which is the covariance of √w_i x_i.
"""

from dataclasses import dataclass, replace

import torch

from objectives.heads.head import LabelledFeatures
from objectives.heads.products import add_product, product
from objectives.heads.standardisation import Standardised, strips


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis, of r directions, of the space that n training images of d features span.

    vectors: the directions, (d, r). If there is a `span`, the coefficients (n, r) by which its images sum to them.
    spectrum: the variance along each direction, (r,), ascending.
    images: the training images in the basis, and a last column of ones, (n, r + 1).
    span: the training images, if they are fewer than the features.
    weights: the images' weights, (n,), of mean 1; None if all are equal.
    All tensors are of the features' type.
    """

    vectors: torch.Tensor
    spectrum: torch.Tensor
    images: torch.Tensor
    span: Standardised | None = None
    weights: torch.Tensor | None = None

    def subset(self, images: torch.Tensor, data: LabelledFeatures) -> "Basis":
        """Return the same basis with some of the n images, in which their covariance is only nearly diagonal.

        images: their positions, int64. data: the features of all n images, whose classes decide the weights.
        """
        return replace(self, images=self.images[images], weights=_weights(data.subset(images), self.images.dtype))

    def weighed(self, values: torch.Tensor) -> torch.Tensor:
        """Multiply values of the images, (…, n), by the images' weights."""
        return values if self.weights is None else values * self.weights

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the weighted mean (k,) of values (n, k) over the images."""
        return values.mean(dim=0) if self.weights is None else self.weights @ values / len(values)

    def project(self, features: Standardised) -> torch.Tensor:
        """Transform standardised features (m, d) into the basis, (m, r)."""
        result = features.empty(self.vectors.shape[1])
        if self.span is None:
            for rows, slab in features.slabs():
                torch.mm(slab, self.vectors, out=result[rows])
            return result
        products = features.empty(len(self.vectors)).zero_()
        for columns in strips(features, self.span):
            add_product(products, features.strip(columns), self.span.strip(columns))
        return torch.mm(products, self.vectors, out=result)

    def lift(self, weights: torch.Tensor) -> torch.Tensor:
        """Transform a classifier's weights in the basis, (K, r), to weights of features, (K, d), of the same norm."""
        weights = weights @ self.vectors.T
        if self.span is None:
            return weights
        return torch.cat([weights @ self.span.strip(columns) for columns in strips(self.span)], dim=1)


def eigenbasis(features: Standardised) -> Basis:
    """Compute the basis of features (n, d) with zero weighted mean; r = d, or r < n if n < d.

    With an L2 penalty the optimal weights lie in the span of the images. So the smaller problem has the same solution.
    """
    n, d = features.shape
    weights = _weights(features.data, features.standardiser.mean.dtype)
    roots = None if weights is None else weights.sqrt()[:, None]
    gram = features.standardiser.mean.new_zeros(min(n, d), min(n, d))
    if d <= n:
        for rows, slab in features.slabs():
            if roots is not None:
                slab.mul_(roots[rows])
            turned = slab.T.contiguous()
            add_product(gram, turned, turned)
        spectrum, vectors = torch.linalg.eigh(gram.div_(n))
        images = features.empty(d + 1)
        images[:, -1] = 1
        for rows, slab in features.slabs():
            images[rows, :-1] = product(slab, vectors.T)  # LAPACK returns them column by column
        return Basis(vectors, spectrum.clamp(min=0), images, weights=weights)
    for columns in strips(features):
        strip = features.strip(columns)
        if roots is not None:
            strip.mul_(roots)
        add_product(gram, strip, strip)
    return basis_of_gram(gram, features, weights)


def _weights(data: LabelledFeatures, dtype: torch.dtype) -> torch.Tensor | None:
    weights = data.weights
    return None if weights is None else weights.to(dtype)


def basis_of_gram(gram: torch.Tensor, features: Standardised, weights: torch.Tensor | None) -> Basis:
    """Return the basis of n images from their Gram matrix (n, n), which is overwritten.

    gram: the inner products of `features`, each image times the root of its weight.
    """
    n = len(gram)
    spectrum, vectors = torch.linalg.eigh(gram.div_(n))
    # Variances below the rounding error of the Gram matrix are noise. Even at the weakest useful strength, 1e-7 of the
    # total variance, they would move no logit by more than a fraction of the image's own error.
    kept = spectrum > torch.finfo(spectrum.dtype).eps * spectrum[-1]
    spectrum, vectors = spectrum[kept], vectors[:, kept]
    norms = (n * spectrum).sqrt()
    images = torch.cat([vectors * norms, norms.new_ones(n, 1)], dim=1)
    vectors = vectors / norms
    if weights is not None:
        roots = weights.sqrt()[:, None]
        images[:, :-1] /= roots
        vectors *= roots
    return Basis(vectors, spectrum, images, features, weights)
