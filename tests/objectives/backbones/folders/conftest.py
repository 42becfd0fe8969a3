import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from objectives.backbones.catalog import architecture_named, describe_backbone, load_backbone
from objectives.backbones.reading import Reading
from spaces import BackboneError
from tests.support import small_encoders, small_latents, small_transformers, small_unets
from tests.support.network_changes import Change

BUILDERS = {
    "unet": small_unets.plain,
    "text": small_latents.text_conditioned,
    "dit": small_transformers.dit,
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
def refused(tmp_path: Path) -> Callable[[str, str], None]:
    """`refused(folder, refusal)` demands the same line of error from all three readers of a folder."""

    def check(folder: str, refusal: str) -> None:
        with pytest.raises(BackboneError, match=refusal) as error:
            load_backbone(folder)
        assert str(error.value).isprintable()
        with pytest.raises(BackboneError, match=refusal):
            architecture_named(folder)
        with pytest.raises(BackboneError, match=refusal):
            describe_backbone(folder, Reading(cache=tmp_path))

    return check


@pytest.fixture
def changed(networks: dict[str, Path], tmp_path: Path) -> Callable[[str, Change], Path]:
    """`changed(name, change)` returns a copy of a network to which `change` was applied."""

    def copy(name: str, change: Change) -> Path:
        folder = Path(shutil.copytree(networks[name], tmp_path / "network"))
        change(folder)
        return folder

    return copy
