"""Loads and describes backbones: bundled or published ones by name, local folders, and hub ids."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.backbones.backbone import PRECISIONS, Backbone, LateBackbone
from objectives.backbones.checkpoints.published import PUBLISHED, PublishedCheckpoint, folder_of
from objectives.backbones.description import Description, Descriptions
from objectives.backbones.files import network_folder, pipeline_folder
from objectives.backbones.folders.configuration import read_configuration
from objectives.backbones.folders.weights import check_weights
from objectives.backbones.known import HUB, Facts
from objectives.backbones.reading import PLAIN, Reading
from objectives.downloads import is_hub_id, sha256
from objectives.home import Home
from spaces import Architecture, BackboneError, Block, UnknownNameError, UsageError, check_name
from spaces.blocks import Part
from spaces.errors import first_line
from spaces.text import is_utf8

if TYPE_CHECKING:
    from objectives.backbones.tapped import Network, TappedBackbone

BUNDLED = Path(__file__).parent / "bundled"

BUNDLED_SIDE, BUNDLED_BOTTLENECK, BUNDLED_TIMESTEPS = 32, 13, 1000
"""The image side, the number of the middle block and the number of timesteps of the bundled network."""

BUNDLED_SIDES = (*[32] * 3, *[16] * 3, *[8] * 3, *[4] * 6, *[8] * 3, *[16] * 3, *[32] * 4)
"""The sides of the bundled network's maps, of images of `BUNDLED_SIDE` pixels; known without a look at the network."""

HUB_FILES = [
    "*.json",
    "model*.safetensors",
    "diffusion_pytorch_model*.safetensors",
    *(f"{part}/*.safetensors" for part in ("unet", "transformer", "vae", "text_encoder")),
    "tokenizer/*",
]
HUB_TEXT_FILES = [f"{part}_{number}/*" for part in ("text_encoder", "tokenizer") for number in (2, 3)]
"""Further text encoders, which only diffusion transformers read: SDXL's U-Net gets zeros in place of a text."""

HUB_OLD_FILES = ["pytorch_model.bin", "diffusion_pytorch_model.bin", "*/diffusion_pytorch_model.bin"]
HUB_VARIANTS = ["*.fp16.*", "*.fp16-*", "*.non_ema.*", "*.ema.*", "*/flax_*"]

ENCODERS = (
    "resnet",
    "vit",
    "vit_mae",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
    "clip",
    "clip_vision_model",
    "siglip",
    "siglip_vision_model",
)
"""The keys of `encoders.FAMILIES`, repeated here because `encoders` imports torch."""


def _read_unet(name: str, folder: Path, reading: Reading) -> "Network":
    from objectives.backbones.kinds.unet import UNetNetwork

    return UNetNetwork.read(name, folder, reading)


def _read_conditional_unet(name: str, folder: Path, reading: Reading) -> "Network":
    from objectives.backbones.kinds.conditional_unet import ConditionalUNetNetwork

    return ConditionalUNetNetwork.read(name, folder, reading)


def _read_transformer(file: str, kind: str, name: str, folder: Path, reading: Reading) -> "Network":
    """Read a network whose kind is a constant of a file of `kinds/transformers/`."""
    from objectives.backbones.kinds.transformers.network import TransformerNetwork

    module = import_module(f"objectives.backbones.kinds.transformers.{file}")
    return TransformerNetwork.read(getattr(module, kind), name, folder, reading)


def _read_encoder(kind: str, name: str, folder: Path, reading: Reading) -> "Network":
    from objectives.backbones.kinds.encoders import FAMILIES, EncoderNetwork

    return EncoderNetwork.read(FAMILIES[kind], name, folder, reading)


def _read_structured_encoder(name: str, folder: Path, reading: Reading) -> "Network":
    from objectives.backbones.kinds.structured_encoders import StructuredEncoder

    return StructuredEncoder.read(name, folder, reading)


NETWORK_KINDS: dict[str, Callable[[str, Path, Reading], "Network"]] = {
    "UNet2DModel": _read_unet,
    "UNet2DConditionModel": _read_conditional_unet,
    "DiTTransformer2DModel": partial(_read_transformer, "dit", "DIT"),
    "SiT": partial(_read_transformer, "sit", "SIT"),
    "REPA": partial(_read_transformer, "sit", "REPA"),
    "PixArtTransformer2DModel": partial(_read_transformer, "pixart", "PIXART"),
    "SD3Transformer2DModel": partial(_read_transformer, "sd3", "SD3"),
    "SanaTransformer2DModel": partial(_read_transformer, "sana", "SANA"),
    "FluxTransformer2DModel": partial(_read_transformer, "flux", "FLUX1"),
    "Flux2Transformer2DModel": partial(_read_transformer, "flux", "FLUX2"),
    "Lumina2Transformer2DModel": partial(_read_transformer, "lumina2", "LUMINA2"),
    "PRXTransformer2DModel": partial(_read_transformer, "prx", "PRX"),
    **{kind: partial(_read_encoder, kind) for kind in ENCODERS},
}
"""Kind of network, as in a folder's config.json → reader, called with (name, folder, reading)."""

FORMER_NORMS = {"ada_norm_zero": "DiTTransformer2DModel", "ada_norm_single": "PixArtTransformer2DModel"}
"""`norm_type` of a Transformer2DModel, as the published DiTs and PixArts say → the kind of network."""


def _hub_folder(hub_id: str, _cache: Path | None = None) -> Path:
    """Fetch a hub model once, into the hub's own cache, which all programs share. Return its folder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=HUB_FILES, ignore_patterns=HUB_VARIANTS))
        if (folder / "transformer").is_dir():
            folder = Path(snapshot_download(hub_id, allow_patterns=HUB_TEXT_FILES, ignore_patterns=HUB_VARIANTS))
        if not any(folder.rglob("*.safetensors")):  # torch reads these with weights_only, so no code in them runs
            folder = Path(snapshot_download(hub_id, allow_patterns=HUB_OLD_FILES))
        return folder
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise BackboneError(
            f"backbone {hub_id} is no local folder and cannot be fetched from the hub: {first_line(error)}"
        ) from None


def _bundled() -> Path:
    """Return the folder of the U-Net in this package, after a check of its files against `SHA256SUMS`."""
    for line in (BUNDLED / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, relative = line.split()
        path = BUNDLED / relative
        if not path.is_file() or sha256(path) != digest:
            raise BackboneError(f"{path} is damaged (its sha256 is not {digest[:12]}…); install the package again")
    return BUNDLED


@dataclass(frozen=True)
class KnownBackbone:
    """A backbone in the catalog.

    words: a description for people. source: a URL, a hub id, or "this package". facts: of the network.
    fetch: called with a folder for backbones; prepares the network there and returns the network's own folder.
    """

    words: str
    source: str
    facts: Facts
    fetch: Callable[[Path], Path]


def _facts(checkpoint: PublishedCheckpoint) -> Facts:
    """Return the facts of one of guided-diffusion's networks: its licence is that of the repository."""
    size = checkpoint.content.size if checkpoint.content else None
    return Facts(checkpoint.settings.image_size, checkpoint.parameters, "MIT", size)


BACKBONES: dict[str, KnownBackbone] = {
    "bundled": KnownBackbone(
        "small U-Net of photographs", "this package", Facts(32, 4.1e6, "Apache 2.0"), lambda _: _bundled()
    ),
    **{
        name: KnownBackbone(checkpoint.words, checkpoint.url, _facts(checkpoint), partial(folder_of, name))
        for name, checkpoint in PUBLISHED.items()
    },
    **{
        name: KnownBackbone(model.words, model.hub_id, model.facts, partial(_hub_folder, model.hub_id))
        for name, model in HUB.items()
    },
}


def check_backbone(name: str, precision: str = "float32") -> None:
    """Refuse a backbone as `load_backbone` does, as far as no weights are read and no hub is asked."""
    check_name("precision", precision, PRECISIONS)
    if name in BACKBONES or (is_hub_id(name) and not Path(name).is_dir()):
        return
    folder = _folder(name, None)
    _kind(name, read_configuration(network_folder(folder) / "config.json"))


def bundled_outline(image_side: int | None = None) -> Architecture:
    """Return all of the bundled network's architecture that decides which settings exist, without torch.

    Modules, channels and costs are left out. image_side: None for the network's own.
    """
    image_side = image_side or BUNDLED_SIDE
    blocks = [
        Block(number, "", _part(number), 0, max(side * image_side // BUNDLED_SIDE, 1), 0.0, 0.0)
        for number, side in enumerate(BUNDLED_SIDES, start=1)
    ]
    steps = range(BUNDLED_TIMESTEPS)
    alphas = accumulate((1 - (1e-4 + (0.02 - 1e-4) * step / (BUNDLED_TIMESTEPS - 1)) for step in steps), mul)
    return Architecture("bundled", image_side, tuple(blocks), tuple(alphas), "epsilon")


def _part(number: int) -> Part:
    if number == BUNDLED_BOTTLENECK:
        return "bottleneck"
    return "encoder" if number < BUNDLED_BOTTLENECK else "decoder"


def load_backbone(name: str, reading: Reading = PLAIN, device: str = "cpu") -> "TappedBackbone":
    """Load a backbone by its name in `BACKBONES`, its folder (diffusers or transformers), or its hub id `owner/model`.

    The network is downloaded once. Raises UnknownNameError for an unknown name or precision. Raises BackboneError if
    the network cannot be fetched or read, or cannot take the image side, a prompt or the taps inside of `reading`.
    """
    from objectives.backbones.tapped import architecture_of, tapped

    check_name("precision", reading.precision, PRECISIONS)
    folder = _folder(name, reading.cache)
    architecture = architecture_of(_read(name, folder, replace(reading, hollow=True)))
    return tapped(_read(name, folder, reading), architecture, device, reading.precision)


def load_backbone_here(name: str, reading: Reading = PLAIN) -> "TappedBackbone":
    """Load a backbone on this process's GPU if there is one, else on the CPU. Raises as `load_backbone` does."""
    import torch

    # float32 is exact; bfloat16 is the choice for speed. NVIDIA's containers allow TF32 in matrix products too.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return load_backbone(name, reading, "cuda" if torch.cuda.is_available() else "cpu")


def late_backbone_here(name: str, reading: Reading = PLAIN) -> Backbone:
    """Return the backbone that `load_backbone_here` does. On a CPU it is loaded before its first forward pass.

    Raises as `load_backbone` does; on a CPU, errors in the weights are raised at the first forward pass.
    """
    import torch

    if torch.cuda.is_available():  # the size of a batch depends on the memory that the network leaves
        return load_backbone_here(name, reading)
    architecture, digest = describe_backbone(name, reading)
    return LateBackbone(architecture, digest, torch.device("cpu"), partial(load_backbone_here, name, reading))


def describe_backbone(name: str, reading: Reading = PLAIN) -> tuple[Architecture, str]:
    """Return the architecture and the digest of the backbone that `load_backbone` returns, without loading it.

    Raises as `load_backbone` does, except for weights that do not fit the configuration or are not finite.
    """
    check_name("precision", reading.precision, PRECISIONS)
    folder = _folder(name, reading.cache)
    reading = replace(reading, hollow=True)
    memory = Descriptions((reading.cache or Home.at(None).cache) / "descriptions")
    description = memory.described(name, folder, reading, partial(_describe, name, folder, reading))
    for part in description.folders:
        check_weights(part)
    return description.architecture, description.digest(reading.precision, memory.weights.sha256)


def _describe(name: str, folder: Path, reading: Reading) -> Description:
    from objectives.backbones.tapped import architecture_of, folders_of

    network = _read(name, folder, reading)
    return Description(architecture_of(network), folders_of(network), network.changes)


def architecture_named(name: str, reading: Reading = PLAIN) -> Architecture:
    """Return the architecture. No published checkpoint is downloaded for it. Raises as `load_backbone` does."""
    from objectives.backbones.tapped import architecture_of

    return architecture_of(hollow_network(name, reading))


def hollow_network(name: str, reading: Reading = PLAIN) -> "Network":
    """Return the network on the meta device, without weights. No published checkpoint is downloaded for it."""
    reading = replace(reading, hollow=True)
    if name in PUBLISHED:
        import torch
        from diffusers import UNet2DModel

        from objectives.backbones.checkpoints.adm import noise_scheduler, unet_config
        from objectives.backbones.kinds.unet import UNetNetwork
        from objectives.backbones.pipeline.schedule import schedule_of

        checkpoint = PUBLISHED[name]
        with torch.device("meta"):
            module = UNet2DModel(**unet_config(checkpoint.settings))
        return UNetNetwork.of(name, module, schedule_of(noise_scheduler(checkpoint.settings)), reading=reading)
    return _read(name, _folder(name, reading.cache), reading)


def _folder(name: str, cache: Path | None) -> Path:
    if not name:
        raise UsageError(
            "a backbone must have a name, got ''; give a name, a folder or a hub id, and . for this folder"
        )
    if name in BACKBONES:
        kept_in_cache = name in PUBLISHED
        return BACKBONES[name].fetch((cache or Home.at(None).cache) / "backbones" if kept_in_cache else Path())
    if Path(name).is_dir():
        if not is_utf8(name):
            raise BackboneError(f"the path of a network must be in UTF-8, got {name}; rename the folder")
        return pipeline_folder(Path(name))
    if is_hub_id(name):
        return _hub_folder(name)
    if Path(name).name != name:
        raise UsageError(
            f"there is no folder {name}; `backbone` takes a name from `search backbones`, a folder of diffusers or "
            "transformers, or a hub id owner/model"
        )
    alternatives = ["a folder of diffusers or transformers", "a hub id owner/model"]
    raise UnknownNameError("backbone", name, [*BACKBONES, *alternatives])


def _read(name: str, folder: Path, reading: Reading) -> "Network":
    values = read_configuration(network_folder(folder) / "config.json")
    return NETWORK_KINDS.get(_kind(name, values), _read_structured_encoder)(name, folder, reading)


def _kind(name: str, values: Mapping[str, Any]) -> str:
    """Return the kind of network that a configuration names. Raises BackboneError for one that is not known."""
    kind = values.get("_class_name") or values.get("model_type")
    if kind == "Transformer2DModel":
        norm = values.get("norm_type")
        if norm not in FORMER_NORMS:
            raise BackboneError(
                f"backbone {name} is a Transformer2DModel whose norms are {norm}; known: {', '.join(FORMER_NORMS)}, of "
                "DiT and PixArt"
            )
        kind = FORMER_NORMS[norm]
    if not isinstance(kind, str) or (kind not in NETWORK_KINDS and not _is_of_transformers(values)):
        kinds = ", ".join(NETWORK_KINDS)
        raise BackboneError(
            f"backbone {name} is a {kind or 'network of no stated kind'}; known: {kinds}, and image encoders of "
            "transformers"
        )
    return kind


def _is_of_transformers(values: Mapping[str, Any]) -> bool:
    """Return whether a configuration is that of a model of transformers which reads images."""
    kind = values.get("model_type")
    if "_class_name" in values or not isinstance(kind, str):
        return False
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_MAPPING_NAMES

    return kind in MODEL_FOR_IMAGE_MAPPING_NAMES
