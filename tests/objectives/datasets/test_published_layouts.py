"""Every published layout, read from a small archive of the very form its authors give out."""

import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from objectives.datasets.catalog import DATASETS, load_dataset
from objectives.datasets.dataset import Dataset
from objectives.datasets.images import FileImages
from objectives.datasets.layouts import read_aircraft, read_imagenet, read_nabirds
from objectives.datasets.splits import split
from spaces.errors import DatasetError
from tests.support import small_archives
from tests.support.small_archives import FILES, Contents

PUBLISHED = [name for name in FILES if DATASETS[name].page]


def contents_of(dataset: Dataset) -> Contents:
    assert isinstance(dataset.images, FileImages)
    labels, tests = dataset.labels.tolist(), dataset.is_test.tolist()
    return {
        path: (dataset.classes[label], test)
        for path, label, test in zip(dataset.images.paths, labels, tests, strict=True)
    }


@pytest.mark.parametrize("name", FILES)
def test_every_image_gets_its_class_and_split(tmp_path: Path, name: str) -> None:
    root = tmp_path / "Bilder für 猫"
    contents = FILES[name](root)
    dataset = load_dataset(name, root)
    assert dataset.name == name
    assert contents_of(dataset) == contents
    assert len(dataset) == len(contents)
    assert set(dataset.classes) == {wanted for wanted, _ in contents.values()}
    for i in range(min(len(dataset), 24)):
        image = dataset.images.read(i)
        assert (image.mode, image.size) == ("RGB", (20, 16))


@pytest.mark.parametrize("name", ["cub", "nabirds", "aircraft", "cars", "dogs", "flowers"])
def test_the_root_may_be_the_folder_or_the_one_above(tmp_path: Path, name: str) -> None:
    contents = FILES[name](tmp_path / "unpacked")
    inner = next(iter((tmp_path / "unpacked").iterdir()))
    roots = [tmp_path / "unpacked", inner] if name in ("cub", "nabirds", "aircraft") else [tmp_path / "unpacked"]
    if name == "aircraft":
        roots.append(inner / "data")
    for root in roots:
        assert contents_of(DATASETS[name].reader(root)) == contents


def test_the_published_validation_images_join_the_training_images(tmp_path: Path) -> None:
    small_archives.aircraft(tmp_path)
    planes = read_aircraft(tmp_path)
    assert (~planes.is_test).sum() == 12
    parts = split(planes, seed=0, validation_fraction=0.25)
    assert planes.is_test[parts.test].all()
    assert np.bincount(planes.labels[parts.validation]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("builder", [small_archives.imagenet_devkit, small_archives.imagenet_kaggle])
def test_a_flat_validation_folder_is_labelled(tmp_path: Path, builder: Callable[[Path], Contents]) -> None:
    contents = builder(tmp_path)
    assert contents_of(read_imagenet(tmp_path)) == contents
    wnids = ("n02105855", "n01440764")
    some = read_imagenet(tmp_path, "imagenet-2", wnids)
    assert some.classes == ("n01440764", "n02105855")
    assert contents_of(some) == {path: value for path, value in contents.items() if value[0] in wnids}


def test_kaggles_inner_folder_finds_the_table_beside_it(tmp_path: Path) -> None:
    contents = small_archives.imagenet_kaggle(tmp_path)
    inner = contents_of(read_imagenet(tmp_path / "ILSVRC"))
    assert inner == {path.removeprefix("ILSVRC/"): value for path, value in contents.items()}


def test_nabirds_classes_are_the_classes_with_images(tmp_path: Path) -> None:
    small_archives.nabirds(tmp_path)
    names = ("Snow Goose (White morph)", "Common Eider [296]", "Common Eider [817]")
    assert read_nabirds(tmp_path).classes == names


@pytest.mark.parametrize("name", PUBLISHED)
def test_missing_files_are_named_with_their_source(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError) as caught:
        DATASETS[name].reader(tmp_path)
    page = DATASETS[name].page
    assert page is not None
    for part in ("expected the ", " layout: a folder", " missing; found in ", ": nothing", f"can be had at {page}"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "gone", "message"),
    [
        ("aircraft", "data/variants.txt", r"data; it can|variants.txt missing; found in .*data: .*images/"),
        ("aircraft-family", "data/images_family_val.txt", "; images_family_val.txt missing; "),
        ("cars", "cars_test_annos_withlabels.mat", "; cars_test_annos_withlabels.mat missing; .*ai.stanford.edu"),
        ("dogs", "lists/test_list.mat", "; lists/test_list.mat missing; .*found in .*: Images/, lists/"),
        ("flowers", "setid.mat", "; setid.mat missing; found in .*: imagelabels.mat, jpg/; .*robots.ox.ac.uk"),
        ("nabirds", "train_test_split.txt", "; train_test_split.txt missing; .*dl.allaboutbirds.org"),
        ("imagenet", "val", "; val/ missing; found in .*: train/; .*image-net.org"),
    ],
)
def test_one_missing_part(tmp_path: Path, name: str, gone: str, message: str) -> None:
    FILES[name](tmp_path)
    (path,) = [path for path in tmp_path.rglob(Path(gone).name) if path.as_posix().endswith(gone)]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DatasetError, match=message):
        DATASETS[name].reader(tmp_path)


def test_a_packed_archive_in_the_folder_is_named(tmp_path: Path) -> None:
    small_archives.flowers(tmp_path)
    with tarfile.open(tmp_path / "102flowers.tgz", "w:gz") as archive:
        archive.add(tmp_path / "jpg", "jpg")
    shutil.rmtree(tmp_path / "jpg")
    with pytest.raises(DatasetError, match=r"jpg/ missing; found in .*; unpack 102flowers.tgz there; it can be had at"):
        DATASETS["flowers"].reader(tmp_path)


def test_imagenets_inner_archives_are_named(tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
    for wnid in ("n01440764", "n02105855"):
        tarfile.open(tmp_path / "train" / f"{wnid}.tar", "w").close()
    with pytest.raises(DatasetError, match=r"no folder .*WordNet id; .*unpack n01440764.tar, n02105855.tar there"):
        read_imagenet(tmp_path)


def replace_in(pattern: str, replacement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert changed != text
        path.write_text(changed, encoding="utf-8")

    return change


def variables(**changes: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Rewrites a MATLAB file with some of its variables changed."""

    def change(path: Path) -> None:
        content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
        savemat(path, content | {name: alter(content[name]) for name, alter in changes.items()})

    return change


def with_first(value: object) -> Callable[[np.ndarray], np.ndarray]:
    def alter(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array.flat[0] = value
        return array

    return alter


def with_first_record(field: str, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def alter(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[field][0, 0] = value
        return array

    return alter


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def without(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
        del content[name]
        savemat(path, content)

    return change


@pytest.mark.parametrize(
    ("name", "file", "change", "message"),
    [
        (
            "aircraft",
            "images_variant_test.txt",
            replace_in(r"^(\S+) .*$", r"\1 707-320\n\1 707-320"),
            "line 2: id .* is listed twice",
        ),
        ("aircraft", "images_variant_test.txt", replace_in(r"^\S+", "0034309"), "0034309.jpg is listed twice"),
        (
            "aircraft",
            "images_variant_val.txt",
            replace_in(r"727-200$", "737-800"),
            "images_variant_val.txt gives image .* the class '737-800', which variants.txt does not list",
        ),
        (
            "aircraft",
            "images_variant_train.txt",
            replace_in(r"^\S+", "../../../secret"),
            r"secret.jpg' is no path of an image below",
        ),
        ("aircraft", "variants.txt", replace_in(r"^707-320$", "727-200"), "variants.txt lists a class twice"),
        ("aircraft", "variants.txt", replace_in(r"(?s)^.*$", ""), "variants.txt is empty"),
        (
            "nabirds",
            "image_class_labels.txt",
            replace_in(r"295$", "999"),
            "gives image .* the class 999, which classes.txt does not list",
        ),
        (
            "nabirds",
            "train_test_split.txt",
            replace_in(r"^\S+ \d\n", ""),
            "train_test_split.txt lacks images of images.txt: ids 00000000-d64d",
        ),
        (
            "cars",
            "cars_train_annos.mat",
            variables(annotations=with_first_record("class", 4)),
            "cars_train_annos.mat, entry 1: expected the number of a class, 1 to 3, got 4",
        ),
        (
            "cars",
            "cars_train_annos.mat",
            variables(annotations=with_first_record("class", 0)),
            "entry 1: expected the number of a class, 1 to 3, got 0",
        ),
        (
            "cars",
            "cars_train_annos.mat",
            variables(annotations=with_first_record("fname", "00002.jpg")),
            "cars_train/00002.jpg is listed twice",
        ),
        (
            "cars",
            "cars_train_annos.mat",
            variables(annotations=with_first_record("fname", "../x.jpg")),
            "'cars_train/../x.jpg' is no path of an image below",
        ),
        ("cars", "cars_train_annos.mat", cut, "cars_train_annos.mat cannot be read as a MATLAB file"),
        ("cars", "cars_meta.mat", without("class_names"), "cars_meta.mat holds no variable 'class_names'"),
        (
            "dogs",
            "train_list.mat",
            variables(labels=with_first(2.0)),
            "train_list.mat gives .* the class 2, which is that of|the class 1, which is that of",
        ),
        (
            "dogs",
            "test_list.mat",
            variables(labels=with_first(9.0)),
            "test_list.mat, entry 1: expected the number of a class, 1 to 3, got 9",
        ),
        ("dogs", "test_list.mat", variables(labels=lambda column: column[1:]), "lists 6 files but 5 labels"),
        (
            "dogs",
            "test_list.mat",
            variables(file_list=with_first("n02085620-Chihuahua/n02085620_0.jpg")),
            "n02085620_0.jpg is listed twice",
        ),
        ("flowers", "setid.mat", variables(tstid=with_first(1)), "image_00001.jpg is listed twice"),
        (
            "flowers",
            "setid.mat",
            variables(tstid=with_first(13)),
            "setid.mat, entry 1: expected the number of an image, 1 to 12, got 13",
        ),
        (
            "flowers",
            "imagelabels.mat",
            variables(labels=with_first(7)),
            "imagelabels.mat, entry 1: expected the number of a class",
        ),
        ("flowers", "imagelabels.mat", cut, "imagelabels.mat cannot be read as a MATLAB file"),
    ],
)
def test_tables_that_contradict_themselves(
    tmp_path: Path, name: str, file: str, change: Callable[[Path], None], message: str
) -> None:
    FILES[name](tmp_path)
    (path,) = tmp_path.rglob(file)
    change(path)
    with pytest.raises(DatasetError, match=message) as caught:
        DATASETS[name].reader(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("imagenet") and name != "folder"])
def test_an_image_that_the_split_lists_and_the_folder_lacks(tmp_path: Path, name: str) -> None:
    contents = FILES[name](tmp_path)
    images = DATASETS[name].reader(tmp_path).images
    gone = Path(images.name(3))
    gone.unlink()
    message = f"{gone.name} cannot be read: No such file.*; 1 of {len(contents)} images cannot be read: .*`skip_unr"
    with pytest.raises(DatasetError, match=message):
        load_dataset(name, tmp_path)
    assert load_dataset(name, tmp_path, skip_unreadable=True).skipped == (str(gone),)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root / "train/n02105855"), "train lacks classes that .*val has: n02105855"),
        (lambda root: shutil.rmtree(root / "val/n02105855"), "val has no images of the classes n02105855"),
        (
            lambda root: [f.unlink() for f in (root / "train/n02105855").iterdir()],
            "expected images in .*n02105855; found",
        ),
    ],
)
def test_imagenet_parts_that_do_not_fit(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    small_archives.imagenet(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DatasetError, match=message):
        read_imagenet(tmp_path)


def test_a_flat_validation_folder_without_its_table(tmp_path: Path) -> None:
    small_archives.imagenet_devkit(tmp_path)
    shutil.rmtree(tmp_path / "ILSVRC2012_devkit_t12")
    (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").touch()
    with pytest.raises(DatasetError, match=r"nothing in .* labels its images: add LOC_val.*; unpack ILSVRC2012_devkit"):
        read_imagenet(tmp_path)


@pytest.mark.parametrize(("name", "count"), [("imagenet-100", 100), ("imagenet-50", 50)])
def test_a_subset_with_absent_classes(tmp_path: Path, name: str, count: int) -> None:
    small_archives.imagenet(tmp_path)
    with pytest.raises(DatasetError, match=rf"train lacks {count} of the {count} classes of {name}: n01"):
        DATASETS[name].reader(tmp_path)
