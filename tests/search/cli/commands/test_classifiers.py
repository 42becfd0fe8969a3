"""`search export` and `search classify`, on a real study of digits in files with a tiny U-Net."""

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sqlalchemy import text

from objectives.results import StudyResults
from search.database.store import Store
from search.study.export import check_file
from tests.support.command_line import Ran, Search, search_process


@pytest.fixture
def folder(finished_home: Path) -> Path:
    """A folder with a copy of the finished search's home. The study in it still names the original folders."""
    return finished_home.parent


def execute_sql(folder: Path, statement: str) -> None:
    with Store.open(f"sqlite:///{folder}/home/studies.db") as store, store.optuna.engine.begin() as connection:
        connection.execute(text(statement))


def study_of(folder: Path) -> StudyResults:
    with Store.open(f"sqlite:///{folder}/home/studies.db") as store:
        return store.read_study(store.find_study())


def record_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        record: dict[str, Any] = json.loads(file.metadata()["classifier"])
    return record


def exported(ran: Ran) -> Path:
    assert ran.code == 0, ran.stderr
    (path,), (use, page) = ran.stdout.splitlines(), ran.stderr.splitlines()[-2:]
    assert use == f"use it as `search classify {path} IMAGE_OR_FOLDER`"
    assert page == f"its mistakes, by class, and doubtful labels: {Path(path).with_suffix('.html')}"
    return Path(path)


@pytest.fixture(scope="module")
def exporting(finished_search: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the finished search's home, which one export wrote into; not to change."""
    folder = tmp_path_factory.mktemp("exporting")
    shutil.copytree(finished_search / "home", folder / "home")
    return folder


@pytest.fixture(scope="module")
def classifier(finished_search: Path, exporting: Path) -> Path:
    return exported(search_process(finished_search, exporting / "home", "export", "--dataset", "folder"))


def test_an_exported_classifier_is_as_accurate_as_its_final(
    finished_search: Path, exporting: Path, classifier: Path, search: Search
) -> None:
    study = study_of(exporting)
    best = study.finalists[0]
    final = next(final for final in best.finals if final.seed == 5)
    assert classifier == exporting / "home" / "classifiers" / f"{study.name}.safetensors"
    assert set(classifier.parent.iterdir()) == {classifier, classifier.with_suffix(".html")}
    report = exporting / "home" / "reports" / f"{study.name}.html"
    assert f'href="../classifiers/{study.name}.html"' in report.read_text()
    page = classifier.with_suffix(".html").read_text()
    assert "Each was judged by one of 3 classifiers" in page
    assert "Test accuracy" in page
    check_file(classifier)  # which an export replaces, with its page
    record = record_of(classifier)
    assert record["setting"] == best.setting.to_dict()
    assert len(best.setting.taps) == best.setting.draws == 2
    assert record["worth"]["fitted"] == {
        "seed": 5,
        "validation": [final.validation.correct, final.validation.total],
        "test": [final.test.correct, 100],
    }
    assert record["worth"]["test_accuracy"] == best.test
    assert record["worth"]["test_interval"] == list(best.test_interval)
    assert record["origin"]["backbone"] == str(finished_search / "net")

    ran = search("classify", str(classifier), str(finished_search / "digits" / "test"), "--json")
    assert ran.code == 0, ran.stderr
    entries = [json.loads(line) for line in ran.stdout.splitlines()]
    predictions = [(Path(entry["image"]).parent.name, entry["classes"][0]["class"]) for entry in entries]
    assert len(predictions) == 100
    assert sum(label == predicted for label, predicted in predictions) == final.test.correct > 30


def test_each_image_gets_a_line_and_unreadable_files_are_named(
    finished_search: Path, classifier: Path, search: Search, tmp_path: Path
) -> None:
    one, another = sorted((finished_search / "digits" / "test").rglob("*.png"))[:2]
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(one, folder / "1.png")
    shutil.copy(another, folder / "2 \x1b[31mred\n.png")
    (folder / "3\x07.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image file")
    (folder / "4.heic").write_bytes(b"\0\0\0\x18ftypheic")
    ran = search("classify", str(classifier), str(folder), str(tmp_path / "gone.png"), "--top", "20")
    assert ran.code == 1
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "\x07" not in ran.stdout + ran.stderr
    first, second = (line.split("\t") for line in ran.stdout.splitlines())
    assert first[0] == f"{folder}/1.png"
    assert second[0] == f"{folder}/2 \\x1b[31mred\\x0a.png"
    assert sorted(first[1::2]) == [f"digit {i}" for i in range(10)]
    probabilities = [float(cell) for cell in first[2::2]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-3)
    unread_format, notes, unread, gone, last = ran.stderr.splitlines()
    assert unread_format == (
        "left out: 1 file, in an image format that Pillow cannot read (convert to JPEG or PNG): 4.heic"
    )
    assert notes == "left out: 1 file, not an image: notes.txt"
    assert unread == f"left out: {folder}/3\\x07.jpg is not an image that Pillow can read"
    assert "gone.png cannot be read: No such file or directory" in gone
    assert last == "error: 2 of 4 images were left out; each is named above"
    entry = json.loads(search("classify", str(classifier), str(tmp_path / "gone.png"), "--json").stdout)
    assert entry.keys() == {"image", "error"}


@pytest.mark.slow
def test_predictions_go_to_a_file_while_the_terminal_shows_a_bar(
    finished_search: Path, classifier: Path, tmp_path: Path
) -> None:
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "search", "classify", str(classifier), str(finished_search / "digits" / "test")]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with (tmp_path / "predictions").open("w") as predictions:
        ran = subprocess.run(command, stdout=predictions, stderr=terminal, env=environment, timeout=120, check=False)
    os.close(terminal)
    assert ran.returncode == 0
    assert len((tmp_path / "predictions").read_text().splitlines()) == 100
    assert b"images" in os.read(master, 2**16)
    os.close(master)


def test_a_study_without_finals_exports_its_best_trial_and_says_so(folder: Path, search: Search) -> None:
    execute_sql(folder, "DELETE FROM search_finals")
    ran = search("export")
    record, best = record_of(exported(ran)), study_of(folder).complete[0]
    assert f"The study has no test result yet; this is the best trial, {best.setting}, whose test" in ran.stderr
    assert (record["setting"], record["worth"]["seeds"]) == (best.setting.to_dict(), [])
    assert record["worth"]["fitted"]["seed"] == 5
    assert record["worth"]["fitted"]["test"] is record["worth"]["test_accuracy"] is None


def test_a_fit_that_differs_from_the_final_is_reported_and_claims_no_test_result(folder: Path, search: Search) -> None:
    execute_sql(folder, "UPDATE search_studies SET majority = 0.99")
    execute_sql(folder, "UPDATE search_finals SET validation_correct = validation_correct - 1")
    ran = search("export")
    assert record_of(exported(ran))["worth"]["fitted"]["test"] is None
    assert "This fit differs from the study's: it is right on" in ran.stderr
    assert "it is no better than chance: always naming the most frequent class is right on 99" in ran.stderr


def test_missing_features_are_computed_again_and_images_may_have_moved(
    finished_search: Path, folder: Path, search: Search
) -> None:
    before = load_file(exported(search("export")))
    shutil.rmtree(folder / "home" / "cache")
    shutil.copytree(finished_search / "digits", folder / "moved")
    shutil.copytree(finished_search / "net", folder / "network")
    execute_sql(folder, "UPDATE search_runs SET options = json_set(options, '$.backbone', '/gone/net')")
    out = folder / "deep" / "mine.safetensors"
    assert exported(search("export", "--data-root", "moved", "--backbone", "network", "--out", str(out))) == out
    assert record_of(out)["origin"]["backbone"] == str(folder / "network")
    after = load_file(out)
    assert all((after[name] - before[name]).abs().max() < 1e-3 for name in before)


def without_options(folder: Path, _: Path) -> None:
    execute_sql(folder, "UPDATE search_runs SET options = NULL")


def another_digest(folder: Path, _: Path) -> None:
    execute_sql(folder, "UPDATE search_studies SET weights_digest = 'abcdefabcdef99'")


def no_network(folder: Path, _: Path) -> None:
    execute_sql(folder, """UPDATE search_runs SET options = json_set(options, '$.backbone', '/gone/net')""")


def no_images(folder: Path, _: Path) -> None:
    execute_sql(folder, """UPDATE search_runs SET options = json_set(options, '$.data_root', '/gone/images')""")


def fewer_images(folder: Path, finished_search: Path) -> None:
    shutil.copytree(finished_search / "digits", folder / "others")
    next((folder / "others" / "test").rglob("*.png")).unlink()


def in_the_way(folder: Path, _: Path) -> None:
    (folder / "file").write_text("in the way")


def own_files(folder: Path, _: Path) -> None:
    (folder / "mine.safetensors").write_text("my weights")
    (folder / "page.html").write_text("my page")


def no_trials(folder: Path, _: Path) -> None:
    execute_sql(folder, "DELETE FROM search_finals")
    execute_sql(folder, "UPDATE trials SET state = 'FAIL'")


def nothing(folder: Path, _: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "words", "code", "message"),
    [
        (nothing, "--dataset cub", 1, "no study of dataset 'cub'"),
        (nothing, "--study mine", 1, "no study 'mine'"),
        (no_trials, "", 1, "has no complete trial yet"),
        (without_options, "", 1, "which keeps them: search run --dataset folder --data-root "),
        (another_digest, "", 1, "the study's abcdefabcdef; name the study's network with --backbone"),
        (no_network, "", 1, "no network in /gone/net, where study"),
        (no_images, "", 1, "--data-root /gone/images does not exist"),
        (nothing, "--data-root nowhere", 1, "--data-root nowhere does not exist"),
        (fewer_images, "--data-root others", 1, "are not those of study"),
        (nothing, "--out home", 2, "--out takes a file, got the folder home"),
        (
            nothing,
            "--out mine.html",
            2,
            "--out takes a file that ends in .safetensors, got mine.html; give mine.html.s",
        ),
        (own_files, "--out mine.safetensors", 2, "mine.safetensors is there already and is no classifier; choose"),
        (own_files, "--out page.safetensors", 2, "page.html, which is there already and is no page of a classifier"),
        (in_the_way, "--out file/c.safetensors", 1, "cannot be written to file/c.safetensors: "),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", None),
)
def test_an_impossible_export_is_one_error_line_and_writes_nothing(
    finished_search: Path,
    folder: Path,
    search: Search,
    spoil: Callable[[Path, Path], None],
    words: str,
    code: int,
    message: str,
) -> None:
    spoil(folder, finished_search)
    ran = search("export", *shlex.split(words))
    assert (ran.code, ran.stdout, len(ran.stderr.splitlines())) == (code, "", 1)
    assert message in ran.stderr
    assert list((folder / "home" / "classifiers").glob("*")) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("absent.safetensors 1.png", 1, "there is no classifier at absent.safetensors"),
        ("tensors.safetensors 1.png", 1, "holds tensors but no classifier"),
        ("{classifier} empty", 1, "no image that Pillow can read; give images"),
        ("{classifier} 1.png --backbone bundled", 1, "give the one it was trained on"),
        ("{classifier} 1.png --backbone bundeld", 2, "unknown backbone 'bundeld'; did you mean 'bundled'"),
        ("{classifier} 1.png --top 0", 2, "--top"),
        ("{classifier}", 2, "IMAGE_OR_FOLDER"),
    ],
)
def test_a_mistake_of_classify_is_one_error_line(
    classifier: Path, tmp_path: Path, search: Search, words: str, code: int, message: str
) -> None:
    import torch

    (tmp_path / "empty").mkdir()
    save_file({"weight": torch.zeros(2)}, tmp_path / "tensors.safetensors")
    ran = search("classify", *shlex.split(words.format(classifier=classifier)))
    assert (ran.code, ran.stdout) == (code, "")
    assert message in ran.stderr
    if "--top" not in words and " " in words:
        assert len(ran.stderr.splitlines()) == 1
