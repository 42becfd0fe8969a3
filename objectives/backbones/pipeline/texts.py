"""The text on which a network is conditioned, encoded as the network's own pipeline does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from objectives.backbones.files import load_pretrained, loading
from objectives.backbones.folders.companions import check_no_adapter
from objectives.backbones.folders.configuration import is_there
from spaces import BackboneError

Text = dict[str, torch.Tensor]
"""The tensors that stand for a text, by name, each (1, ...)."""


@dataclass(frozen=True)
class TextRecipe:
    """How a pipeline of diffusers encodes a text.

    pipeline: the pipeline's class. encoders, tokenizers: part of the pipeline → its class in transformers.
    optional: the encoders that a folder may lack, by the pipeline's own rule. encode: called with the pipeline and the
    text; returns its tensors. none: called with the network's configuration; returns zeros in place of a text.
    """

    pipeline: str
    encoders: Mapping[str, str]
    tokenizers: Mapping[str, str]
    encode: Callable[[Any, str], Text]
    none: Callable[[Any], Text]
    optional: tuple[str, ...] = ()

    def folders(self, folder: Path) -> tuple[Path, ...]:
        """Return the folders of the parts that are there."""
        parts = [folder / part for part in (*self.encoders, *self.tokenizers)]
        return tuple(part for part in parts if is_there(part))

    def is_in(self, folder: Path) -> bool:
        """Return whether a pipeline's folder has any text encoder. Without one, the text is zeros."""
        return any(is_there(folder / part) for part in self.encoders)

    def check(self, name: str, folder: Path) -> None:
        """Raise BackboneError unless the folder has all parts that encode a text."""
        for encoder, tokenizer in zip(self.encoders, self.tokenizers, strict=True):
            for part in (encoder, tokenizer):
                may_lack = encoder in self.optional and not is_there(folder / encoder)
                if not may_lack and not is_there(folder / part):
                    raise BackboneError(
                        f"backbone {name} encodes texts by {', '.join(self.encoders)}, but {folder} has no {part}/; "
                        "fetch the whole pipeline"
                    )

    def read(self, name: str, folder: Path, network: Any, text: str) -> Text:
        """Load the text encoders, and encode a text, float32. network: the module that reads it.

        Raises BackboneError if a part is missing or damaged.
        """
        import diffusers
        import transformers

        self.check(name, folder)
        parts: dict[str, Any] = dict.fromkeys((*self.encoders, *self.tokenizers))
        for part, kind in self.tokenizers.items():
            if is_there(folder / part):
                with loading(name, folder / part):
                    parts[part] = getattr(transformers, kind).from_pretrained(folder / part)
        for part, kind in self.encoders.items():
            if is_there(folder / part):
                check_no_adapter(name, folder / part)
                parts[part] = load_pretrained(name, getattr(transformers, kind), folder / part)
        with loading(name, folder), torch.no_grad():
            pipeline = getattr(diffusers, self.pipeline)(transformer=network, vae=None, scheduler=None, **parts)
            return {key: value.float().cpu() for key, value in self.encode(pipeline, text).items()}


def without_padding(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Leave out the tokens that a mask hides. tokens: (1, n, width). mask: (1, n), zero where the text is padded.

    Networks that mask the padding give the same result without it. Raises ValueError where the mask hides all.
    """
    if not mask.any():
        raise ValueError("its tokenizer makes no token of the text; give a `prompt`, or the tokenizer of training")
    return tokens[:, mask[0].bool()]
