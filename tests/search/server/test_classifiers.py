"""Classifiers over HTTP: those of the home folder, and images that others send."""

import io
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import search
from objectives.classifier import Classifier
from objectives.home import Home
from search.client import Client
from search.server.settings import settings_of
from search.study.study import Study
from tests.support.api_server import ApiServer, api_server


@pytest.fixture(scope="module")
def classifying(finished_search: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, str]]:
    """A server whose home has the classifier of a small search, and the name of the classifier."""
    home = Path(shutil.copytree(finished_search / "home", tmp_path_factory.mktemp("classifiers") / "home"))
    study: Study = search.load_study("digits", home=home)
    with pytest.warns(UserWarning, match="linear head on raw pixels"):
        study.export(home / "classifiers" / "digits.safetensors")
    (home / "classifiers" / "linked.safetensors").symlink_to("/etc/passwd")
    (home / "classifiers" / "damaged.safetensors").write_bytes(b"x" * 100)
    with api_server(settings_of(Home.at(home))) as served:
        yield served, "digits"


def bomb() -> bytes:
    """Return a PNG of a few bytes that says it has 40,000 x 40,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(100))
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, pixels))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_images_get_the_classes_that_the_command_line_prints(
    classifying: tuple[ApiServer, str], finished_search: Path, tmp_path: Path
) -> None:
    served, name = classifying
    images = sorted((finished_search / "digits" / "test").rglob("*.png"))[:3]
    (tmp_path / "no image.png").write_text("hello")
    (tmp_path / "bomb.png").write_bytes(bomb())
    with Client(served.url, served.tokens["runner"]) as client:
        answers = client.classify(name, [*images, tmp_path / "no image.png", tmp_path / "bomb.png"], top=2)
        file = client.download_classifier(name, tmp_path / "copy.safetensors")
    expected = Classifier.load(file).predict(images)
    assert [answer["classes"][0]["class"] for answer in answers[:3]] == list(expected)
    assert [answer["image"] for answer in answers[:3]] == [image.name for image in images]
    assert all(len(answer["classes"]) == 2 for answer in answers[:3])
    assert answers[3]["error"] == "no image.png is no image that can be read"
    assert "pixels" in answers[4]["error"]


def test_the_page_shows_the_classes_of_uploaded_images_and_what_is_wrong(
    classifying: tuple[ApiServer, str], finished_search: Path
) -> None:
    served, name = classifying
    image = min((finished_search / "digits" / "test").rglob("*.png"))
    files = [("images", (image.name, image.read_bytes())), ("images", ("no image.png", b"hello"))]
    (answer,) = served.ask("POST", f"/api/v1/classifiers/{name}/classify", "runner", files=files[:1]).json()
    label, probability = answer["classes"][0]["class"], answer["classes"][0]["probability"]
    for path in (f"/classifiers/{name}", f"/fragments/classifiers/{name}"):
        shown = served.ask("POST", path, "runner", files=files).text
        assert f'<th scope="row">{label}</th><td>{100 * probability:.1f}\N{NO-BREAK SPACE}%</td>' in shown
        assert '<p class="problem">no image.png is no image that can be read</p>' in shown
        assert "at most 16 `images` at once, got 17" in served.ask("POST", path, "runner", files=files[:1] * 17).text
    listed = served.ask("GET", "/classifiers", "viewer").text
    assert f'<a href="/classifiers/{name}">{name}</a>' in listed
    assert "linked" not in listed


def test_links_and_damaged_files_are_no_classifiers(classifying: tuple[ApiServer, str]) -> None:
    served, name = classifying
    listed = served.ask("GET", "/api/v1/classifiers", "viewer").json()
    assert [record["name"] for record in listed] == [name]
    assert listed[0]["results"]["dataset"] == "folder"
    for other in ("linked", "damaged", "..%2Fstudies", "%2e%2e", name + "%00"):
        assert served.ask("GET", f"/api/v1/classifiers/{other}", "viewer").status_code == 404
    assert served.ask("GET", "/api/v1/classifiers/linked/file", "viewer").status_code == 404


def test_uploads_are_limited(classifying: tuple[ApiServer, str]) -> None:
    served, name = classifying
    path = f"/api/v1/classifiers/{name}/classify"
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    many = [("images", ("a.png", picture.getvalue()))] * 17
    assert served.ask("POST", path, "runner", files=many).status_code == 413
    large = [("images", ("a.png", b"x" * (served.settings.limits.upload + 1)))]
    assert served.ask("POST", path, "runner", files=large).status_code == 413
    assert served.ask("POST", path, "viewer", files=many[:1]).status_code == 403
    assert served.ask("POST", path, "runner").status_code == 400
