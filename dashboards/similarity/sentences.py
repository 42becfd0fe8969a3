"""What a comparison of representations shows, as `sentences`."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean

from objectives.results import DrawSimilarity, Representation, Similarity
from spaces import Architecture

Pair = tuple[float, Representation, Representation]


def number(value: float | None, error: float | None) -> str:
    """ "0.86 ± 0.01"; of one minibatch without an error."""
    if value is None:
        return "none"
    rounded = f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
    return rounded if error is None else f"{rounded} ± {error:.2f}"


def labels(shown: Sequence[Representation]) -> list[str]:
    """On an axis whose title says the rest: the blocks, or of a single block the timesteps."""
    if len({each.block for each in shown}) > 1 or shown[0].timestep is None:
        return [str(each.block) for each in shown]
    return [f"t {each.timestep}" for each in shown]


def of_all(images: int, batches: int) -> str:
    many = f"{batches:,} minibatches" if batches > 1 else "one batch"
    return (
        f"1 is alike but for a rotation and a scale, 0 is nothing in common. On {images:,} images in {many}, without "
        "the bias that makes any two wide representations look alike."
    )


def of_blocks(found: Similarity, architecture: Architecture) -> str:
    """How alike neighbours are, what is least alike, and what is alike across the bottleneck."""
    pairs = [(value, row, column) for value, row, column in _pairs(found) if row.block < column.block]
    if not pairs:
        return "Only one block was asked for."
    order = [row.block for row in found.rows]
    near = [v for v, row, column in pairs if order.index(column.block) - order.index(row.block) == 1]
    least = min(pairs, key=lambda pair: pair[0])
    told = [
        f"Neighbouring blocks come to {number(fmean(near), None)} on average; the least alike, blocks "
        f"{least[1].block} and {least[2].block}, to {number(least[0], None)}."
    ]
    middle = architecture.bottleneck
    across = [pair for pair in pairs if pair[1].block < middle < pair[2].block]
    if across:
        value, row, column = max(across, key=lambda pair: pair[0])
        told.append(
            f"Across the bottleneck, block {middle}, the most alike are blocks {row.block} and {column.block}: "
            f"{number(value, None)}."
        )
    return " ".join(told)


def of_timesteps(found: Similarity) -> str:
    """How far apart neighbours and the ends are."""
    pairs = {(row.timestep, column.timestep): value for value, row, column in _pairs(found)}
    steps = [each.timestep for each in found.rows]
    near = [pairs[one, other] for one, other in pairwise(steps) if (one, other) in pairs]
    if not near:
        return "Only one timestep can be compared."
    ends = pairs.get((steps[0], steps[-1]))
    told = f"Neighbouring timesteps come to {number(fmean(near), None)} on average"
    return f"{told}; t {steps[0]} and t {steps[-1]} to {number(ends, None)}."


def of_other(found: Similarity) -> str:
    """The most alike pair, and to which layers of the other network the ends are nearest."""
    pairs = list(_pairs(found))
    if not pairs:
        return "Nothing can be compared."
    value, row, column = max(pairs, key=lambda pair: pair[0])
    nearest = {block: max((p for p in pairs if p[1].block == block), key=lambda p: p[0]) for block in _ends(found)}
    ends = " and ".join(
        f"block {block} is nearest to block {pair[2].block} ({number(pair[0], None)})"
        for block, pair in nearest.items()
    )
    return (
        f"The most alike are block {row.block} of {row.backbone} and block {column.block} of {column.backbone}: "
        f"{number(value, None)}. Of {row.backbone}, {ends}."
    )


def of_agreement(found: DrawSimilarity) -> str:
    """Where noise decides what a representation is, and where it does not."""
    cells = [
        (value, block, timestep)
        for block, row in zip(found.blocks, found.values, strict=True)
        for timestep, value in zip(found.timesteps, row, strict=True)
        if value is not None
    ]
    if not cells:
        return "Nothing can be compared."
    least, most = min(cells), max(cells)
    return (
        f"Two draws agree most at block {most[1]}, t {most[2]}: {number(most[0], None)}; least at block {least[1]}, "
        f"t {least[2]}: {number(least[0], None)}. Where they agree little, averaging several draws changes most."
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
