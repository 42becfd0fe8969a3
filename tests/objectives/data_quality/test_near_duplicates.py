"""Planted copies are found across splits, and unrelated images of the same class are not."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from objectives.data_quality.near_duplicates import near_duplicates
from objectives.datasets.catalog import load_dataset
from objectives.datasets.dataset import Dataset
from objectives.datasets.given_images import GivenImages

SIZE = 64
Change = Callable[[Image.Image], Image.Image]


def photograph(generator: np.random.Generator, kind: int) -> Image.Image:
    """A picture whose class shows in its colours: a scene of coarse blobs, with finer ones on it."""
    scene = np.zeros((SIZE, SIZE, 3))
    for cells, strength in ((4, 60), (8, 40), (16, 20)):
        noise = generator.normal(0, strength, (cells, cells, 3))
        scene += np.kron(noise, np.ones((SIZE // cells, SIZE // cells, 1)))
    tint = np.array([[110, 140, 170], [150, 130, 90]][kind])
    return Image.fromarray(np.clip(scene + tint, 0, 255).astype(np.uint8))


def saved_again(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=50)
    with Image.open(BytesIO(file.getvalue())) as copy:
        return copy.convert("RGB")


CHANGES: dict[str, Change] = {
    "saved again as JPEG": saved_again,
    "half the size": lambda image: image.resize((SIZE // 2, SIZE // 2)),
    "a small crop": lambda image: image.crop((2, 2, SIZE - 2, SIZE - 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "mirrored": ImageOps.mirror,
    "mirrored, cropped and brighter": lambda image: ImageOps.mirror(
        ImageEnhance.Brightness(image.crop((1, 1, SIZE - 1, SIZE - 1))).enhance(1.1)
    ),
}


def dataset_of(train: list[Image.Image], test: list[Image.Image]) -> Dataset:
    labels = np.arange(len(train) + len(test)) % 2
    return Dataset(
        "made",
        ("sea", "sand"),
        GivenImages((*train, *test)),
        labels,
        np.arange(len(labels)) >= len(train),
    )


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_planted_copies_are_found_and_nothing_else(change: Change) -> None:
    generator = np.random.default_rng(0)
    train = [photograph(generator, i % 2) for i in range(60)]
    test = [photograph(generator, i % 2) for i in range(40)] + [change(image) for image in train[:10]]
    found = near_duplicates(dataset_of(train, test))
    assert {(pair.train, pair.test - 60) for pair in found} == {(i, 40 + i) for i in range(10)}
    mirrored = {CHANGES["mirrored"], CHANGES["mirrored, cropped and brighter"]}
    assert {pair.mirrored for pair in found} == {change in mirrored}
    assert [pair.similarity for pair in found] == sorted((pair.similarity for pair in found), reverse=True)
    assert not any(pair.identical for pair in found)


def test_the_same_content_is_said_and_several_copies_hide_none() -> None:
    generator = np.random.default_rng(1)
    train = [photograph(generator, 0) for _ in range(20)]
    found = near_duplicates(dataset_of([*train, train[0], train[0], train[0]], [train[0], photograph(generator, 0)]))
    assert [(pair.test, pair.identical) for pair in found] == [(23, True)]


def test_plain_images_and_few_images_resemble_none() -> None:
    plain = [Image.new("RGB", (8, 8), (grey, grey, grey)) for grey in (0, 100, 255)]
    assert near_duplicates(dataset_of(plain, plain)) == ()
    generator = np.random.default_rng(2)
    assert near_duplicates(dataset_of([photograph(generator, 0)], [photograph(generator, 0)])) == ()


def test_digits_of_one_class_are_no_copies_of_each_other() -> None:
    digits, some = load_dataset("digits", None), range(600)
    few = replace(digits, images=digits.images.keep(some), labels=digits.labels[:600], is_test=digits.is_test[:600])
    assert len(near_duplicates(few)) <= 0.02 * few.is_test.sum()
