"""Objects among the options of a search become folders in its home."""

from pathlib import Path

import numpy as np
import pytest

from objectives.backbones.catalog import describe_backbone
from search.given import with_folders
from spaces import BackboneError, UsageError
from tests.support.small_unets import plain, tiny_unet


def test_names_are_left_as_they_are(tmp_path: Path) -> None:
    assert with_folders("digits", {"home": tmp_path, "trials": 3}) == ("digits", {"home": tmp_path, "trials": 3})
    assert not list(tmp_path.iterdir())


def test_images_become_a_folder_in_the_home(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 8), np.uint8)
    dataset, options = with_folders((pixels, [0, 1, 0, 1]), {"home": str(tmp_path)})
    assert dataset == "csv"
    assert options["data_root"].parent == tmp_path / "given"
    with pytest.raises(UsageError, match="`data_root` is for a dataset that is named"):
        with_folders((pixels, [0, 1, 0, 1]), {"home": tmp_path, "data_root": "images"})


def test_a_network_becomes_a_folder_in_the_home(tmp_path: Path) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler

    plain(tmp_path / "net")
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    pipeline = DDPMPipeline(tiny_unet(), scheduler)
    _, options = with_folders("digits", {"home": tmp_path / "home", "backbone": pipeline})
    assert describe_backbone(str(options["backbone"]))[1] == describe_backbone(str(tmp_path / "net"))[1]
    assert with_folders("digits", {"home": tmp_path / "home", "backbone": pipeline})[1] == options
    assert len(list((tmp_path / "home" / "given").iterdir())) == 1


class Unwritable:
    def save_pretrained(self, folder: Path) -> None:
        raise NotImplementedError("no way\nto save")


def test_a_network_that_cannot_be_saved_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"the network cannot be saved to .*: no way$"):
        with_folders("digits", {"home": tmp_path, "backbone": Unwritable()})
    assert not list((tmp_path / "given").iterdir())
