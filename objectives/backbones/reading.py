"""How a network is read: with or without weights, for which images, with which text."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.atomic_write import replacing
from objectives.backbones.folders.configuration import LARGEST_SIDE
from spaces import BackboneError, check_name
from spaces.blocks import INSIDE, Inside

if TYPE_CHECKING:
    from objectives.backbones.pipeline.texts import Text, TextRecipe


@dataclass(frozen=True)
class Reading:
    """The choices with which a network is read.

    precision: of the forward passes, one of `PRECISIONS`; large networks are loaded in it at once. cache: the cache
    folder, which keeps published checkpoints and encoded texts; None keeps no text. image_side: side of the images in
    pixels; None for the side of the network's training. prompt: the text for a network that reads one; None for the
    empty text. taps_inside: the activations inside each layer that are blocks too, sorted as in `INSIDE` however they
    are given. hollow: build the network without weights, on torch's meta device.

    Raises UnknownNameError for an activation that no network has.
    """

    precision: str = "float32"
    cache: Path | None = None
    image_side: int | None = None
    prompt: str | None = None
    taps_inside: Sequence[str] = ()
    hollow: bool = False

    def __post_init__(self) -> None:
        for part in self.taps_inside:
            check_name("part of a layer", part, INSIDE)
        object.__setattr__(self, "taps_inside", tuple(part for part in INSIDE if part in self.taps_inside))

    @property
    def text(self) -> str:
        return self.prompt or ""

    @property
    def inside(self) -> tuple[Inside, ...]:
        """`taps_inside`, by their type."""
        return tuple(part for part in INSIDE if part in self.taps_inside)

    def side_of_latents(
        self, name: str, native: int, reduction: int, patch: int, largest_grid: int | None, changes: list[str]
    ) -> int:
        """Return the latents of a side, and say in `changes` where it is not that of training.

        native: latents of a side in training. reduction: pixels of a side per latent. patch: latents of a side per
        token. largest_grid: the most tokens of a side. Raises BackboneError for a side that the network cannot take.
        """
        if self.image_side in (None, native * reduction):
            return native
        step = reduction * patch
        most = min(LARGEST_SIDE, LARGEST_SIDE if largest_grid is None else largest_grid * step) // step * step
        if self.image_side % step or not step <= self.image_side <= most:
            raise BackboneError(
                f"`image_side` of backbone {name} must be a multiple of {step} from {step} to {most:,}, got "
                f"{self.image_side:,}; its own side is {native * reduction:,}"
            )
        changes.append(f"image side {self.image_side}")
        return self.image_side // reduction

    def check_no_prompt(self, name: str, reason: str) -> None:
        """Raise BackboneError if a prompt is given to a network that cannot read it. reason: why it cannot."""
        if self.prompt:
            raise BackboneError(f"backbone {name} {reason}, so it takes no `prompt`, got {self.prompt!r:.60}")

    def check_inside(self, name: str, known: Collection[str], changes: list[str]) -> None:
        """Raise BackboneError for an activation inside a layer that a network has not. known: those that it has."""
        for part in self.taps_inside:
            if part not in known:
                has = f"has {', '.join(known)}" if known else "has none that are known"
                raise BackboneError(
                    f"`taps_inside` of backbone {name} takes what its layers have, got {part}; it {has}"
                )
        if self.taps_inside:
            changes.append(f"taps inside {','.join(self.taps_inside)}")

    def kept_text(self, recipe: "TextRecipe", name: str, folder: Path, network: Any) -> "Text":
        """Return the encoded text, from the cache if it is there, so that text encoders are loaded once."""
        import hashlib

        from safetensors.torch import load_file, save_file

        from objectives.backbones.files import folder_digest

        if self.cache is None:
            return recipe.read(name, folder, network, self.text)
        key = f"{recipe.pipeline}\n{folder_digest(*recipe.folders(folder))}\n{self.text}"
        path = self.cache / "texts" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
        try:
            return load_file(path)
        except Exception:  # there is none, or it is damaged
            text = recipe.read(name, folder, network, self.text)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            save_file({key: values.contiguous() for key, values in text.items()}, part)
        return text


PLAIN = Reading()
"""A network as it was trained, in float32, without the cache folder."""
