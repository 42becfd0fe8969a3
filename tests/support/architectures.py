"""Block tables of two made-up networks: 25 blocks, as a U-Net for small images has, and 37, as the paper's has."""

from spaces import Architecture, Block

SIDES = (32, 32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 32)


def linear_schedule(steps: int = 1000) -> tuple[float, ...]:
    alphas, alpha = [], 1.0
    for t in range(steps):
        alpha *= 1 - (1e-4 + (0.02 - 1e-4) * t / (steps - 1))
        alphas.append(alpha)
    return tuple(alphas)


def architecture_with(sides: tuple[int, ...], image_side: int, bottleneck: int) -> Architecture:
    blocks = tuple(
        Block(
            number,
            f"module.{number}",
            "encoder" if number < bottleneck else "bottleneck" if number == bottleneck else "decoder",
            channels=8 * number,
            side=side,
            gmacs=0.01,
            cumulative_gmacs=0.01 * number,
        )
        for number, side in enumerate(sides, 1)
    )
    return Architecture("made-up", image_side, blocks, linear_schedule())


SMALL = architecture_with(SIDES, 32, 13)
ADM = architecture_with(
    (256,) * 3 + (128,) * 3 + (64,) * 3 + (32,) * 3 + (16,) * 3 + (8,) * 7
    + (16,) * 3 + (32,) * 3 + (64,) * 3 + (128,) * 3 + (256,) * 3,
    256,
    19,
)  # fmt: skip
