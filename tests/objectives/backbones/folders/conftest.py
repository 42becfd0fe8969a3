import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import small_encoders, small_latents, small_unets
from tests.support.network_changes import Change

BUILDERS = {
    "unet": small_unets.plain,
    "text": small_latents.text_conditioned,
    "dit": small_latents.transformer,
    "vit": small_encoders.vit,
    "mae": small_encoders.vit_mae,
    "clip": small_encoders.clip,
    "clip vision": small_encoders.clip_vision_model,
    "resnet": small_encoders.resnet,
}


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    places = {name: tmp_path_factory.mktemp("network") for name in BUILDERS}
    for name, build in BUILDERS.items():
        build(places[name])
    return places


@pytest.fixture
def changed(networks: dict[str, Path], tmp_path: Path) -> Callable[[str, Change], Path]:
    """`changed(name, change)` returns a copy of a network to which `change` was applied."""

    def copy(name: str, change: Change) -> Path:
        folder = Path(shutil.copytree(networks[name], tmp_path / "network"))
        change(folder)
        return folder

    return copy
