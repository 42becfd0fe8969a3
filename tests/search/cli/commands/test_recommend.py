"""`search recommend`, on digits in files and a tiny U-Net: what it says, and what it does with hopeless data."""

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from objectives.datasets.catalog import load_dataset
from tests.support.command_line import Ran, Search
from tests.support.small_unets import plain

Labels = dict[int, str]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("net")
    plain(folder)
    return folder


@pytest.fixture(scope="module")
def pictures() -> tuple[list[Image.Image], list[str]]:
    digits = load_dataset("digits", None)
    return [digits.images.read(i) for i in range(400)], [str(digits.labels[i]) for i in range(400)]


def written(folder: Path, images: list[Image.Image], labels: list[str]) -> Path:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{number}.png")
    return folder


def recommended(search: Search, folder: Path, net: Path, *words: str) -> Ran:
    given = ("--dataset", "folder", "--data-root", str(folder), "--backbone", str(net), "--blocks", "9-14")
    return search("recommend", *given, *words)


def answer(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.stderr
    record: dict[str, Any] = json.loads(ran.stdout)
    return record


Pictures = tuple[list[Image.Image], list[str]]


def test_recommend_names_a_setting_after_few_passes(
    search: Search, net: Path, pictures: Pictures, tmp_path: Path
) -> None:
    folder = written(tmp_path / "digits", *pictures)
    (folder / "1" / "notes.txt").write_text("ones")
    (folder / "2" / "cut.png").write_bytes(b"")
    record = answer(recommended(search, folder, net, "--json", "--passes", "700", "--skip-unreadable"))
    assert record["left_out"] == [f"1 unreadable file: {folder}/2/cut.png", "1 file, not an image: 1/notes.txt"]
    assert record["better_than_chance"]
    assert record["setting"].keys() == {"block", "timestep", "pool", "draws"}
    assert 9 <= record["setting"]["block"] <= 14
    assert record["interval"][0] <= record["accuracy"] <= record["interval"][1]
    assert record["accuracy"] > 0.5
    assert record["passes"] <= 700
    assert all(other["cost"] <= 0.75 for other in record["cheaper"])
    assert "<html" in Path(record["report"]).read_text()
    ran = recommended(search, folder, net, "--passes", "700", "--skip-unreadable")
    assert ran.code == 0, ran.stderr
    assert [line for line in ran.stderr.splitlines() if line.startswith("left out")] == [
        f"left out: {phrase}" for phrase in record["left_out"]
    ]
    assert f"block {record['setting']['block']}" in ran.stdout
    assert record["report"] in ran.stdout
    (screened,) = [line for line in ran.stdout.splitlines() if line.startswith("screened ")]
    assert re.search(r" settings? at \d+ of \d+ timesteps: \d+\.\d\s% of the ", screened)
    (after,) = [line for line in ran.stdout.splitlines() if line.startswith("next ")]
    assert after.startswith("next            search run --dataset folder ")
    assert "--blocks 9,10,11,12,13,14" in after


@pytest.mark.slow
def test_shuffled_labels_are_reported_as_no_better_than_chance(
    search: Search, net: Path, pictures: Pictures, tmp_path: Path
) -> None:
    images, labels = pictures
    shuffled = random.Random(0).sample(labels, len(labels))
    record = answer(recommended(search, written(tmp_path / "x", images, shuffled), net, "--json"))
    assert record["setting"] is None
    assert not record["better_than_chance"]
    assert record["interval"][0] <= record["chance"]
    ran = recommended(search, tmp_path / "x", net)
    assert "better than chance" in ran.stdout


@pytest.mark.slow
def test_black_images_have_no_information(search: Search, net: Path, pictures: Pictures, tmp_path: Path) -> None:
    black = [Image.fromarray(np.zeros((8, 8), np.uint8))] * 60
    record = answer(recommended(search, written(tmp_path / "x", black, pictures[1][:60]), net, "--json"))
    assert record["setting"] is None


@pytest.mark.parametrize("count", [10, 400], ids=["few images", "many"])
def test_two_classes_are_enough(search: Search, net: Path, pictures: Pictures, tmp_path: Path, count: int) -> None:
    pairs = [(image, label) for image, label in zip(*pictures, strict=True) if label in "01"][:count]
    images, labels = (list(column) for column in zip(*pairs, strict=True))
    record = answer(recommended(search, written(tmp_path / "x", images, labels), net, "--json"))
    assert record["accuracy"] > 0.8
    assert record["better_than_chance"] == (count == 400)  # eight images are too few for so many settings


@pytest.mark.parametrize(
    ("labels", "words"), [(["3"] * 30, "at least 2 classes"), (["3"] * 29 + ["4"], "'4' has 1 image")]
)
def test_one_class_or_a_single_image_is_refused(
    search: Search, net: Path, pictures: Pictures, tmp_path: Path, labels: list[str], words: str
) -> None:
    ran = recommended(search, written(tmp_path / "x", pictures[0][:30], labels), net)
    assert ran.code == 1
    assert words in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "recommend"])
@pytest.mark.parametrize("odd", ["test", "unreadable", "all test"])
def test_a_class_without_training_images_is_refused_by_both_commands(
    search: Search, net: Path, pictures: Pictures, tmp_path: Path, command: str, odd: str
) -> None:
    folder = written(tmp_path / "x", pictures[0][:40], ["owl", "kite"] * 20)
    rows = ["path,label,split"]
    for image in sorted(folder.rglob("*.png")):
        name = image.parent.name
        if name == "owl" and odd == "unreadable":
            image.write_bytes(b"")
        tested = odd == "all test" or (name == "owl" and odd == "test") or image.stem in ("0", "1")
        rows.append(f"{image.relative_to(folder)},{name},{'test' if tested else 'train'}")
    (folder / "x.csv").write_text("\n".join(rows))
    given = ("--dataset", "csv", "--data-root", str(folder), "--backbone", str(net), "--skip-unreadable")
    ran = search(command, *given)
    words = {
        "test": "class 'owl' has no training image, only 20 test images; add training images of it",
        "unreadable": "class 'owl' has no image that can be read; unreadable files are left out: 20; add training im",
        "all test": "csv has no training images, all 40 are test images; mark images of each class as train",
    }
    assert ran.code == 1
    assert words[odd] in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_too_few_passes_are_refused_before_any_is_made(
    search: Search, net: Path, pictures: Pictures, tmp_path: Path
) -> None:
    ran = recommended(search, written(tmp_path / "x", *pictures), net, "--passes", "599")
    assert ran.code == 2
    assert "at least 600 forward passes here (2 timesteps x 300 images)" in ran.stderr
    assert not list((tmp_path / "home").rglob("*.safetensors"))
