"""Uses a saved classifier. Images get the same pixels, noise, forward passes and rounding as in the search."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np
import torch

from objectives.backbones.backbone import Backbone
from objectives.backbones.catalog import load_backbone_here
from objectives.backbones.reading import Reading
from objectives.classifier_file import Saved, load
from objectives.datasets.given_images import Images, image_source
from objectives.datasets.images import squares_or_errors
from objectives.features.batches import Batches
from objectives.features.noise import noise_for
from objectives.features.pooling import pool
from objectives.features.versions import versions
from spaces import Architecture, BackboneError, ClassifierError, DatasetError, SearchError, UsageError
from spaces.errors import shown
from spaces.notebook import brief


@final
@dataclass(frozen=True)
class Classifier:
    """A classifier of images.

    saved: the content of the file. backbone: the network whose features the classifier reads.
    """

    saved: Saved
    backbone: Backbone

    @classmethod
    def load(cls, path: str | Path, backbone: str | Path | None = None, cache: str | Path | None = None) -> Self:
        """Load a classifier file and its network, on this process's GPU if there is one, else on the CPU.

        backbone: a name, folder or hub id of the network, if it is no longer where it was in training.
        cache: the cache folder, which keeps published checkpoints; None for that of the default home.
        Raises ClassifierError if the file is missing, damaged or for another version. Raises UsageError for an argument
        that is no path. Raises BackboneError if the network cannot be fetched or read, or differs from the one in
        training.
        """
        for argument, value in (("path", path), ("backbone", backbone), ("cache", cache)):
            optional = value is None and argument != "path"
            if not optional and (not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value)):
                raise UsageError(f"`{argument}` must be a path, as text or as a Path, got {shown(value)}")
        saved = load(Path(path))
        origin = saved.origin
        noised = saved.setting.draws > 0 and any(timestep is not None for timestep in saved.setting.passes)
        made_with = {"transform": origin.transform, **({"noise": origin.noise} if noised else {})}
        for kind, name in made_with.items():
            if name != versions()[kind]:
                raise ClassifierError(
                    f"{path} was trained with the {kind} {name!r}, this version has {versions()[kind]!r}: "
                    "use the version that made it, or train it again"
                )
        name = str(backbone.absolute()) if isinstance(backbone, Path) else backbone or origin.backbone
        if backbone is None and Path(name).is_absolute() and not Path(name).is_dir():
            raise BackboneError(
                f"{path} needs the network of folder {name!r}, which is gone; give its new place as `backbone`"
            )
        where = None if cache is None else Path(cache)
        reading = Reading(origin.precision, where, origin.image_side, origin.prompt, origin.taps_inside)
        network = load_backbone_here(name, reading)
        if network.digest != origin.weights:
            raise BackboneError(
                f"{path} was trained on a network with digest {origin.weights[:12]!r}, and that of {name!r} is "
                f"{network.digest[:12]!r}: give the one it was trained on"
            )
        _check_taps(path, saved, network.architecture)
        return cls(saved, network)

    def __repr__(self) -> str:
        dataset = self.saved.results.get("dataset")
        trained = "" if dataset is None else f"{dataset!r}, "
        names = ", ".join(map(repr, self.classes))
        return brief(f"Classifier({trained}{self.saved.setting}, {len(self.classes):,} classes: {names})")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of `predict_proba`."""
        return self.saved.classes

    def predict(self, images: Images) -> np.ndarray:
        """Return the name of the most probable class of each image, str (n,).

        images: as in `predict_proba`. Raises as `predict_proba` does.
        """
        names: np.ndarray = np.array(self.classes)[self.predict_proba(images).argmax(axis=1)]
        return names

    def predict_proba(self, images: Images) -> np.ndarray:
        """Return the probability of each class for each image, float32 (n, classes); each row sums to 1.

        images: paths, pictures of Pillow, or arrays uint8 (height, width) or (height, width, 3) RGB; one of them or a
        list, or one array of n images. The noise of an image follows from its content: the bytes of a file, else the
        pixels. Raises DatasetError for an image that cannot be read, and for anything else. Raises BackboneError for an
        image whose features are not finite.
        """
        source = image_source(images)
        probabilities = np.empty((len(source), len(self.classes)), np.float32)
        for row, answer in zip(probabilities, self.answers(source), strict=True):
            if isinstance(answer, SearchError):
                raise answer
            row[:] = answer
        return probabilities

    def answers(self, images: Images) -> Iterator[np.ndarray | SearchError]:
        """Yield for each image, in order, its row of `predict_proba`, or the error that `predict_proba` would raise.

        At most two batches of images are in memory; while one is in the network, the next is decoded. The row of an
        image does not depend on other images, except for the last bits, which may depend on the batch size.
        """
        source = image_source(images)
        batches = Batches.fitting(self.backbone.architecture, self.backbone.device)
        step, side = batches.size, self.backbone.architecture.image_side
        chunks = [range(start, min(start + step, len(source))) for start in range(0, len(source), step)]
        with ThreadPoolExecutor(1) as before:
            ahead = [before.submit(squares_or_errors, source, chunk, side) for chunk in chunks[:1]]
            for number, chunk in enumerate(chunks, 1):
                decoded = ahead.pop().result()
                ahead = [before.submit(squares_or_errors, source, after, side) for after in chunks[number : number + 1]]
                squares = [square for square in decoded if not isinstance(square, DatasetError)]
                probabilities = self._probabilities(squares, batches)
                for i, square in zip(chunk, decoded, strict=True):
                    if isinstance(square, DatasetError):
                        yield square
                    else:
                        yield _finite(next(probabilities), source.name(i))

    def features(self, digests: Sequence[str], pixels: np.ndarray, batches: Batches) -> torch.Tensor:
        """Return the setting's features, float32 (n, c, pool, pool) on the CPU, equal to those in the search's cache.

        digests: content digests of the images. pixels: uint8 (n, 3, side, side).
        """
        setting = self.saved.setting
        draws = range(setting.draws) if setting.draws else (None,)

        def made(rows: slice) -> torch.Tensor:
            inputs, parts = self.backbone.encode(torch.from_numpy(pixels[rows])), []
            for timestep, blocks in setting.passes.items():
                total, *further = (self._pass(inputs, digests[rows], timestep, draw, blocks) for draw in draws)
                for features in further:
                    total += features
                parts.append(total / len(draws))
            return torch.cat(parts, dim=1)

        return torch.cat(list(batches.run(len(pixels), made)))

    def _pass(
        self,
        inputs: torch.Tensor,
        digests: Sequence[str],
        timestep: int | None,
        draw: int | None,
        blocks: Collection[int],
    ) -> torch.Tensor:
        """Make the forward passes of a batch; return their blocks, rounded as in the cache, pooled and concatenated.

        draw: the noise draw; None for a clean pass.
        """
        origin, size = self.saved.origin, self.saved.setting.pool
        noise = None
        if timestep is not None and draw is not None:
            noise = noise_for(digests, origin.seed, timestep, draw, tuple(inputs.shape[1:])).to(self.backbone.device)
        maps = self.backbone.taps(inputs, noise, timestep, blocks)
        rounded = (_rounded(pool(maps[block].float(), origin.grids[block])).cpu() for block in blocks)
        return torch.cat([pool(values, size) for values in rounded], dim=1)

    def _probabilities(self, squares: Sequence[tuple[str, np.ndarray]], batches: Batches) -> Iterator[np.ndarray]:
        if squares:
            digests, pixels = zip(*squares, strict=True)
            features = self.features(digests, np.stack(pixels), batches)
            yield from self.saved.classifier.logits(features).softmax(dim=1).numpy()


def _check_taps(path: str | Path, saved: Saved, architecture: Architecture) -> None:
    """Raise ClassifierError unless a network has what a classifier reads."""
    numbers, timesteps = range(1, len(architecture.blocks) + 1), range(len(architecture.alphas_cumprod))
    for (timestep, blocks), channels in zip(saved.setting.passes.items(), saved.groups, strict=True):
        noised = timestep in timesteps if architecture.noised else timestep is None
        there = [architecture.block(block) for block in blocks if block in numbers]
        fits = all(block.side % saved.origin.grids[block.number] == 0 for block in there)
        if not noised or not fits or tuple(block.channels for block in there) != channels:
            raise ClassifierError(
                f"{path} reads {saved.setting} of {sum(map(sum, saved.groups)):,} channels, which backbone "
                f"{architecture.name} does not have; export it again"
            )


def _rounded(maps: torch.Tensor) -> torch.Tensor:
    """Round maps to half precision, except those of images that exceed its range."""
    halves = maps.half()
    fits = halves.isfinite().flatten(1).all(dim=1)
    return torch.where(fits[:, None, None, None], halves.float(), maps)


def _finite(probabilities: np.ndarray, name: str) -> np.ndarray | SearchError:
    if np.isfinite(probabilities).all():
        return probabilities
    return BackboneError(f"{name} has features that are not finite, so the classifier cannot predict its class")
