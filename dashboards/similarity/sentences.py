"""Sentences about the similarity of representations: plain text, escaped by whoever prints it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean

from objectives.results import DrawSimilarity, Representation, Similarity
from spaces import Architecture

Pair = tuple[float, Representation, Representation]


def cka_text(value: float | None, error: float | None) -> str:
    """ "0.86 ± 0.01"; without an error if there is one minibatch, "none" for None."""
    if value is None:
        return "none"
    rounded = f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
    return rounded if error is None else f"{rounded} ± {error:.2f}"


def axis_labels(shown: Sequence[Representation]) -> list[str]:
    """The labels of an axis: the blocks, or the timesteps if there is only one block."""
    if len({one.block for one in shown}) > 1 or shown[0].timestep is None:
        return [str(one.block) for one in shown]
    return [f"t {one.timestep}" for one in shown]


def batches_text(batches: int) -> str:
    return f"{batches:,} minibatches" if batches > 1 else "one batch"


def scale_sentences(images: int, batches: int) -> str:
    return (
        f"CKA is 1 for representations that differ only by a rotation and a scale, and 0 for unrelated ones. It was "
        f"measured on {images:,} images in {batches_text(batches)}, by the unbiased estimator: the biased one "
        "overrates wide representations."
    )


def blocks_sentences(found: Similarity, architecture: Architecture) -> str:
    """Say how similar neighbouring blocks are, which differ most, and which are similar across the bottleneck."""
    pairs = [(value, row, column) for value, row, column in _pairs(found) if row.block < column.block]
    if not pairs:
        return "Only one block was compared."
    order = [row.block for row in found.rows]
    near = [v for v, row, column in pairs if order.index(column.block) - order.index(row.block) == 1]
    least = min(pairs, key=lambda pair: pair[0])
    told = [
        f"Neighbouring blocks have a CKA of {cka_text(fmean(near), None)} on average. The least similar are blocks "
        f"{least[1].block} and {least[2].block}: {cka_text(least[0], None)}."
    ]
    middle = architecture.bottleneck
    across = [pair for pair in pairs if pair[1].block < middle < pair[2].block]
    if across:
        value, row, column = max(across, key=lambda pair: pair[0])
        told.append(
            f"Across the bottleneck, block {middle}, the most similar are blocks {row.block} and {column.block}: "
            f"{cka_text(value, None)}."
        )
    return " ".join(told)


def timesteps_sentence(found: Similarity) -> str:
    """Say how similar neighbouring timesteps are, and the first and the last."""
    pairs = {(row.timestep, column.timestep): value for value, row, column in _pairs(found)}
    steps = [row.timestep for row in found.rows]
    near = [pairs[one, other] for one, other in pairwise(steps) if (one, other) in pairs]
    if not near:
        return "Only one timestep can be compared."
    ends = pairs.get((steps[0], steps[-1]))
    return (
        f"Neighbouring timesteps have a CKA of {cka_text(fmean(near), None)} on average; t {steps[0]} and "
        f"t {steps[-1]} have {cka_text(ends, None)}."
    )


def networks_sentences(found: Similarity) -> str:
    """The most similar pair, and the blocks of the other network most similar to the first and the last block."""
    pairs = list(_pairs(found))
    if not pairs:
        return "No pair can be compared."
    value, row, column = max(pairs, key=lambda pair: pair[0])
    nearest = {block: max((p for p in pairs if p[1].block == block), key=lambda p: p[0]) for block in _ends(found)}
    ends = " and ".join(
        f"block {block} is most similar to block {pair[2].block} ({cka_text(pair[0], None)})"
        for block, pair in nearest.items()
    )
    return (
        f"The most similar pair is block {row.block} of {row.backbone} and block {column.block} of {column.backbone}: "
        f"{cka_text(value, None)}. In {row.backbone}, {ends}."
    )


def agreement_sentences(found: DrawSimilarity) -> str:
    """Say where the noise changes a representation most, and where least."""
    cells = [
        (value, block, timestep)
        for block, row in zip(found.blocks, found.values, strict=True)
        for timestep, value in zip(found.timesteps, row, strict=True)
        if value is not None
    ]
    if not cells:
        return "No pair can be compared."
    least, most = min(cells), max(cells)
    return (
        f"Two draws agree most at block {most[1]}, t {most[2]}: {cka_text(most[0], None)}; least at block {least[1]}, "
        f"t {least[2]}: {cka_text(least[0], None)}. Where they agree least, averaging "
        "several draws changes most."
    )


def _pairs(found: Similarity) -> Iterator[Pair]:
    for row, values in zip(found.rows, found.values, strict=True):
        for column, value in zip(found.columns, values, strict=True):
            if value is not None:
                yield value, row, column


def _ends(found: Similarity) -> list[int]:
    blocks = [
        row.block for row, values in zip(found.rows, found.values, strict=True) if any(v is not None for v in values)
    ]
    return list(dict.fromkeys((blocks[0], blocks[-1])))
