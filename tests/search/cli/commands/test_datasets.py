import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from objectives.datasets.catalog import DATASETS
from objectives.datasets.fetch import PART_OF, SOURCES, PublishedFile
from objectives.downloads import Content
from tests.support.command_line import Search
from tests.support.file_server import serve_files
from tests.support.hub import hub_environment, serve_hub
from tests.support.small_archives import huggingface_parquet, huggingface_table


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Class folders below train/ and test/: 12 [dark] and 8 light images train, 2 of each test."""
    random = np.random.default_rng(0)
    for split, name, n in [("train", "[dark]", 12), ("train", "light", 8), ("test", "[dark]", 2), ("test", "light", 2)]:
        for k in range(n):
            path = tmp_path / "images" / split / name / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def test_every_dataset_is_listed_with_how_to_get_it(search: Search, tmp_path: Path) -> None:
    ran = search("datasets")
    assert ran.code == 0, ran.stderr
    rows = {line.split("│")[1].strip(): line for line in ran.stdout.splitlines() if line.startswith("│")}
    assert DATASETS.keys() <= rows.keys()
    assert "1.2 GB" in rows["cub"]
    assert "<class>" in ran.stdout
    assert not list(tmp_path.iterdir())


def test_a_dataset_is_fetched_into_the_home_folder_and_checked(
    search: Search, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(images, ".")
    monkeypatch.setitem(DATASETS, "shades", DATASETS["folder"])
    with serve_files() as server:
        server.files["/shades.tgz"] = buffer.getvalue()
        content = Content(hashlib.sha256(buffer.getvalue()).hexdigest(), len(buffer.getvalue()))
        monkeypatch.setitem(SOURCES, "shades", (PublishedFile(f"{server.url}/shades.tgz", content),))
        fetched = search("datasets", "fetch", "shades")
        again = search("datasets", "fetch", "shades")
    folder = tmp_path / "home/datasets/shades"
    assert fetched.code == 0, fetched.stderr
    assert fetched.stdout == again.stdout
    assert fetched.stdout == f"{folder}: use it as `search run --dataset shades`\n"
    assert "shades: downloading" in fetched.stderr
    assert not again.stderr
    checked = search("datasets", "check", "shades")
    assert checked.code == 0
    assert "folder: 24 images of 2 classes" in checked.stdout


def test_a_fetched_dataset_is_found_in_the_folder_it_was_fetched_into(
    search: Search, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shades", "dark-shades"):
        monkeypatch.setitem(DATASETS, name, DATASETS["folder"])
    monkeypatch.setitem(PART_OF, "dark-shades", "shades")
    monkeypatch.setitem(SOURCES, "shades", ())
    for place in ("my home/datasets", "elsewhere"):
        shutil.copytree(images, tmp_path / place / "shades")

    named = search("datasets", "fetch", "dark-shades", "--home", "my home")
    assert named.stdout.endswith(
        "/my home/datasets/shades: use it as `search run --dataset dark-shades --home 'my home'`\n"
    )
    other = search("datasets", "fetch", "shades", "--into", "elsewhere")
    assert other.stdout == "elsewhere/shades: use it as `search run --dataset shades --data-root elsewhere/shades`\n"

    for name in ("shades", "dark-shades"):
        assert search("datasets", "check", name, "--home", "my home").code == 0
    missing = search("datasets", "check", "dark-shades")
    assert missing.code == 1
    assert f"'dark-shades' is not in {tmp_path}/home/datasets/shades: `search datasets fetch dark-" in missing.stderr


def test_a_hub_id_is_fetched_and_checked(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    huggingface_parquet(tmp_path / "birds")
    words = ["datasets", "check", "huggingface", "--data-root", "nobody/birds"]
    with serve_hub({"datasets/nobody/birds": tmp_path / "birds"}) as (address, served):
        ran = subprocess.run(
            [sys.executable, "-m", "search", *words],
            capture_output=True,
            text=True,
            env=hub_environment(address, tmp_path / "hub"),
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    assert "huggingface: 12 images of 2 classes" in ran.stdout
    assert len(served) == 3


def test_class_names_without_an_image_are_said(search: Search, tmp_path: Path) -> None:
    features = {"label": {"names": ["kite", "owl", "[wren]"], "_type": "ClassLabel"}}
    pq.write_table(huggingface_table(0, 12, features), tmp_path / "train.parquet")
    ran = search("datasets", "check", "huggingface", "--data-root", str(tmp_path))
    assert ran.code == 0, ran.stderr
    assert "huggingface: 12 images of 2 classes" in ran.stdout
    assert "left out: 1 class name without an image: [wren]\n" in ran.stdout


def test_a_sound_dataset_is_shown_in_a_table(search: Search, images: Path) -> None:
    ran = search("datasets", "check", "folder", "--data-root", str(images))
    assert ran.code == 0, ran.stderr
    rows = [line.replace("│", " ").split() for line in ran.stdout.splitlines() if line.startswith("│")]
    assert rows == [["train", "20", "8", "10", "12"], ["test", "4", "2", "2", "2"]]
    assert "folder: 24 images of 2 classes" in ran.stdout
    assert "shorter sides 9 to 9 pixels" in ran.stdout
    assert "1 class has fewer than 10 training images:\n  light (8)\n" in ran.stdout
    assert "no problems found" not in ran.stdout


def test_a_dataset_without_problems_is_reported_as_such(search: Search) -> None:
    ran = search("datasets", "check", "digits")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.endswith("no problems found; `--near-duplicates` looks for copies across splits\n")


def test_class_names_that_differ_in_case_alone_are_named(search: Search, images: Path) -> None:
    shutil.copytree(images / "train/light", images / "train/Light")
    ran = search("datasets", "check", "folder", "--data-root", str(images))
    assert ran.code == 0, ran.stderr
    assert "1 class name differs from another in case alone:\n  Light: did you mean 'light'?\n" in ran.stdout


def test_problems_are_listed_and_are_no_error(search: Search, images: Path) -> None:
    source = images / "train/[dark]/0.png"
    for copy in ("train/[dark]/same.png", "test/[dark]/leak.png"):
        shutil.copyfile(source, images / copy)
    for k in range(1, 8):
        shutil.copyfile(images / f"train/[dark]/{k}.png", images / f"train/light/wrong{k}.png")
    (images / "train/light/0.png").write_bytes(b"no image")
    shutil.copyfile(images / "test/light/0.png", images / "test/light/twice.png")

    ran = search("datasets", "check", "folder", "--data-root", str(images))
    assert ran.code == 0, ran.stderr
    for said in (
        "1 file is not readable as an image; a run refuses the dataset; with `--skip-unreadable` it leaves such files "
        "out:\n"
        f"  {images}/train/light/0.png is not an image that Pillow can read\n",
        f"1 image is in both train and test:\n  {source} = {images}/train/[dark]/same.png = {images}/test/",
        "7 images have more than one label; a run uses every copy with its own label, of which at most one is right:\n"
        f"  {images}/train/[dark]/1.png = {images}/train/light/wrong1.png as [",
        "\n  and 2 more; --json lists all\n",
        f"1 other image occurs more than once:\n  {images}/test/light/0.png = {images}/test/light/twice.png\n",
    ):
        assert said in ran.stdout
    assert "wrong6.png" not in ran.stdout

    listed = json.loads(search("datasets", "check", "folder", "--data-root", str(images), "--json").stdout)
    assert listed["classes"] == [{"name": "[dark]", "train": 13, "test": 3}, {"name": "light", "train": 14, "test": 3}]
    assert listed["unreadable"] == [f"{images}/train/light/0.png"]
    assert listed["unreadable_because"] == [f"{images}/train/light/0.png is not an image that Pillow can read"]
    assert listed["no_split"] is None
    assert len(listed["duplicates"]) == 9
    assert sum(bool(group["train"] and group["test"]) for group in listed["duplicates"]) == 1


def test_changed_copies_of_training_images_are_named_and_shown(search: Search, images: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, folder in (("a", "train/light"), ("b", "train/light"), ("c", "train/[dark]"), ("d", "test/light")):
        scene = np.kron(generator.integers(0, 256, (6, 6, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        Image.fromarray(scene).save(images / folder / f"{name}.png")
    with Image.open(images / "train/light/a.png") as original:
        ImageOps.mirror(original).save(images / "test/light/copy.jpg")
    words = ("datasets", "check", "folder", "--data-root", str(images), "--near-duplicates")
    ran = search(*words)
    assert ran.code == 0, ran.stderr
    assert f"{images}/train/light/a.png ~ {images}/test/light/copy.jpg (cosine " in ran.stdout
    assert ", mirrored)" in ran.stdout
    page = Path(ran.stdout.splitlines()[-1].removeprefix("see them in "))
    assert page.parent.name == "reports"
    text = page.read_text()
    assert "copy.jpg" in text
    assert text.count("data:image/jpeg;base64") >= 2
    assert str(images) not in text  # a page that is sent to others names no private folder
    listed = json.loads(search(*words, "--json").stdout)
    mine = [pair for pair in listed["near_duplicates"] if pair["test"].endswith("copy.jpg")]
    assert [(pair["train"], pair["mirrored"], pair["identical"]) for pair in mine] == [
        (f"{images}/train/light/a.png", True, False)
    ]
    assert "near_duplicates" not in json.loads(search(*words[:-1], "--json").stdout)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["check", "folder"], 1, "needs its folder: add --data-root ("),
        (["check", "folder", "--data-root", "images/train/light"], 1, "no class folders"),
        (["check", "cub", "--data-root", "images"], 1, "expected the CUB-200-2011 layout"),
        (["check", "cub"], 1, "home/datasets/cub: `search datasets fetch cub` puts it there"),
        (["check", "cub"], 1, "or add --data-root (birds, 200"),
        (["check", "imagenet-50"], 1, "home/datasets/imagenet: `search datasets fetch imagenet-50` says how to get it"),
        (["check", "cup"], 2, "unknown dataset 'cup'; did you mean 'cub'"),
        (["fetch", "cup"], 2, "unknown published dataset 'cup'; did you mean 'cub'"),
        (["fetch", "digits"], 1, "there is nothing to fetch for dataset digits"),
        (["fetch", "nabirds"], 1, "a form at https://dl.allaboutbirds.org/nabirds"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error(
    search: Search, images: Path, words: list[str], code: int, said: str
) -> None:
    ran = search("datasets", *words)
    assert ran.code == code, ran.stderr
    assert said in ran.stderr
    assert not ran.stdout


def test_a_folder_that_no_search_can_split_is_checked_without_an_error(search: Search, tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 9)):
        for k in range(number):
            path = tmp_path / "small" / name / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (9, 9), 20 * k).save(path)
    ran = search("datasets", "check", "folder", "--data-root", str(tmp_path / "small"))
    assert ran.code == 0, ran.stderr
    assert "folder: 10 images of 2 classes" in ran.stdout
    assert "no search can use these images: class 'a' has 1 image to carve the test split from" in ran.stdout


@pytest.mark.parametrize(
    "words", [("classify", "", "x.png"), ("classify", "x", ""), ("datasets", "fetch", "cub", "--into", "")]
)
def test_an_empty_path_is_not_the_current_folder(search: Search, words: tuple[str, ...]) -> None:
    ran = search(*words)
    assert ran.code == 2
    assert "must not be empty, got ''" in ran.stderr
