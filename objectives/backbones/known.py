"""The backbones that are known by name on the Hugging Face hub, with what public sources say of them."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Facts:
    """Facts of a network that are known before it is fetched. None: no source was found.

    side: of its images in pixels, in training. parameters: of the network alone, without autoencoder, text encoder and
    head. licence: as its model card or its repository says. bytes: size of the network's own weights on the server.
    """

    side: int | None
    parameters: float | None
    licence: str | None
    bytes: int | None = None


@final
@dataclass(frozen=True)
class HubModel:
    """A network on the hub. words: a description for people."""

    words: str
    hub_id: str
    facts: Facts


# Sides, licences and sizes: the model cards and lists of files of the hub ids. Parameters: the model cards where they
# say them, else the papers (Ho et al. 2020, appendix B; Podell et al. 2023, table 1; Peebles & Xie 2023, table 4;
# Xie et al. 2024; Chen et al. 2024; Qin et al. 2025), diffusers' documentation (PRX), or, of encoders, a count.
HUB = {
    "ddpm-cifar10": HubModel("DDPM's U-Net of photographs", "google/ddpm-cifar10-32", Facts(32, 35.7e6, "Apache 2.0")),
    "ddpm-church": HubModel(
        "DDPM's U-Net of churches", "google/ddpm-church-256", Facts(256, 114e6, "Apache 2.0", 455_000_000)
    ),
    "sd-1.5": HubModel(
        "Stable Diffusion 1.5, of latents",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        Facts(512, 860e6, "CreativeML OpenRAIL-M"),
    ),
    "sdxl": HubModel(
        "Stable Diffusion XL, of latents",
        "stabilityai/stable-diffusion-xl-base-1.0",
        Facts(1024, 2.6e9, "OpenRAIL++"),
    ),
    "dit-256": HubModel("DiT-XL/2, of latents", "facebook/DiT-XL-2-256", Facts(256, 675e6, "CC BY-NC 4.0")),
    "pixart-sigma": HubModel(
        "PixArt-Sigma, of latents",
        "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        Facts(1024, 0.6e9, "OpenRAIL++", 2_440_000_000),
    ),
    "sd3.5-medium": HubModel(
        "Stable Diffusion 3.5, by flow",
        "stabilityai/stable-diffusion-3.5-medium",
        Facts(1024, 2.5e9, "Stability Community", 4_940_000_000),
    ),
    "sana-0.6b": HubModel(
        "SANA, by flow",
        "Efficient-Large-Model/Sana_600M_1024px_diffusers",
        Facts(1024, 0.6e9, "NVIDIA"),
    ),
    "sana-1.6b": HubModel(
        "SANA, by flow",
        "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
        Facts(1024, 1.6e9, "NVIDIA"),
    ),
    "flux1-dev": HubModel(
        "FLUX.1 [dev], by flow",
        "black-forest-labs/FLUX.1-dev",
        Facts(1024, 12e9, "FLUX.1 [dev] NC"),
    ),
    "flux1-schnell": HubModel(
        "FLUX.1 [schnell], by flow", "black-forest-labs/FLUX.1-schnell", Facts(1024, 12e9, "Apache 2.0")
    ),
    "flux2-klein": HubModel(
        "FLUX.2 [klein] 4B, by flow", "black-forest-labs/FLUX.2-klein-4B", Facts(1024, 4e9, "Apache 2.0")
    ),
    "lumina2": HubModel("Lumina-Image 2.0, by flow", "Alpha-VLLM/Lumina-Image-2.0", Facts(1024, 2.6e9, "Apache 2.0")),
    "prx-512": HubModel("PRX, by flow", "Photoroom/prx-512-t2i", Facts(512, 1.3e9, "Apache 2.0")),
    "resnet50": HubModel("ResNet-50 of ImageNet", "microsoft/resnet-50", Facts(224, 23.5e6, "Apache 2.0")),
    "vit-b16": HubModel("ViT-B/16 of ImageNet", "google/vit-base-patch16-224", Facts(224, 86e6, "Apache 2.0")),
    "mae-b16": HubModel("MAE's ViT-B/16", "facebook/vit-mae-base", Facts(224, 86e6, "Apache 2.0")),
    "dinov2": HubModel("DINOv2's ViT-B/14", "facebook/dinov2-base", Facts(224, 87e6, "Apache 2.0")),
    "clip-b16": HubModel("CLIP's ViT-B/16", "openai/clip-vit-base-patch16", Facts(224, 86e6, None)),
    "siglip-b16": HubModel("SigLIP's ViT-B/16", "google/siglip-base-patch16-224", Facts(224, 93e6, "Apache 2.0")),
}
"""Name → network. Of some, the licence must be accepted on the hub before the first download."""
