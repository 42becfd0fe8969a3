"""`search compare` of studies in a real database: what it prints, and which studies it refuses."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from objectives.results import Accuracy, CorrectMask, Final
from search.database.store import Store
from spaces import Setting
from tests.support.command_line import Search
from tests.support.studies import MakeRecord

SETTING = Setting(10, 3, 1, "linear")
IMAGES = 50
GOOD, POOR = (1 << 45) - 1, (1 << 30) - 1
"""Masks of correct images: the first 45 images, and the first 30."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def study(home: Path, make_record: MakeRecord) -> Callable[..., str]:
    """Make a study with one finalist. It has a seed for each mask of correct images; None is a seed without a mask."""

    def make(name: str, answers: Sequence[int | None], images: int = IMAGES, **facts: object) -> str:
        with Store.open(f"sqlite:///{home}/studies.db") as store:
            store.ensure_study(make_record(chosen_name=name, **facts))
            for seed, right in enumerate(answers, 1):
                test = CorrectMask(images, right or 0)
                mask = None if right is None else test
                final = Final(SETTING, seed, Accuracy(18, 20), test.accuracy, 1.0, 0, 0, test_correct_mask=mask)
                store.record_final(name, final)
        return name

    return make


def test_the_better_study_is_named(search: Search, study: Callable[..., str]) -> None:
    ran = search("compare", study("one", [GOOD, GOOD]), study("two", [POOR, POOR, POOR]))
    assert ran.code == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [line.split() for line in lines[:3:2]] == [["first", "second"], ["study", "one", "two"]]
    assert "90.0 % (78.6 to 95.7)" in ran.stdout
    assert "60.0 % (46.2 to 72.4)" in ran.stdout
    assert "difference  +30.0 points, first - second  (95 % interval +16.9 to +43.8)" in lines
    assert "test        p < 0.0001, mid-p sign-flip test on 50 test images" in lines
    assert "correct     30.0 by both, 15.0 only by the first, 0.0 only by the second, 5.0 by neither" in lines
    assert " ".join(lines).endswith(
        "The first study is better: it classifies 15 more of 50 test images correctly; the difference is significant "
        "(p < 0.0001)."
    )
    swapped = search("compare", "two", "one").stdout
    assert "difference  -30.0 points" in swapped
    assert "The second study is better: it classifies 15 more of 50" in swapped


def test_with_one_seed_each_the_test_is_mcnemars(search: Search, study: Callable[..., str]) -> None:
    ran = search("compare", study("one", [0b0111]), study("two", [0b1100]))
    assert "test        p = 0.62, mid-p McNemar test on 50 test images" in ran.stdout
    assert "correct     1 by both, 2 only by the first, 1 only by the second, 46 by neither" in ran.stdout
    assert "The difference is not significant (p = 0.62)." in ran.stdout
    assert "averaged" not in ran.stdout


def test_json_has_the_same_facts(search: Search, study: Callable[..., str]) -> None:
    record = json.loads(search("compare", study("one", [GOOD]), study("two", [POOR]), "--json").stdout)
    assert [entry["study"] for entry in record["studies"]] == ["one", "two"]
    assert [entry["test_accuracy"] for entry in record["studies"]] == [0.9, 0.6]
    assert record["studies"][0]["setting"] == SETTING.to_dict()
    assert record["studies"][0]["gmacs"] is None
    assert record["paired"]["difference"] == pytest.approx(0.3)
    assert record["paired"]["p"] == pytest.approx(2**-15)
    assert record["sentence"].startswith("The first study is better")


def test_other_protocols_are_compared_and_named(search: Search, study: Callable[..., str]) -> None:
    one = study("one", [GOOD], protocol={"seed": "0", "metric": "accuracy"})
    two = study("two", [POOR], protocol={"seed": "1", "shots": "5"})
    output = search("compare", one, two).stdout
    assert "note        their protocols differ too: seed, shots, metric\n" in output
    assert json.loads(search("compare", one, two, "--json").stdout)["differing"] == ["seed", "shots", "metric"]


@pytest.mark.parametrize(
    ("second", "code", "words"),
    [
        ({"name": "one"}, 2, "comparing needs two different studies, got one twice"),
        (
            {"name": "two", "dataset_fingerprint": "e" * 64, "dataset": "cub"},
            1,
            "one is of digits (150 images), two of cub (150 images)",
        ),
        ({"name": "two", "answers": []}, 1, "study two has no test result yet"),
        ({"name": "two", "answers": [GOOD, None]}, 1, "study two is too old: it keeps no result for each test image"),
        ({"name": "two", "answers": [POOR], "images": 49}, 1, "the studies used 50 and 49 of them"),
    ],
    ids=["twice", "other images", "no finals", "no answers", "other test images"],
)
def test_studies_that_are_not_comparable_are_refused_in_one_line(
    search: Search, study: Callable[..., str], second: dict[str, object], code: int, words: str
) -> None:
    one = study("one", [GOOD])
    two = one if second["name"] == one else study(**{"answers": [POOR], **second})
    ran = search("compare", one, two)
    assert (ran.code, ran.stdout) == (code, "")
    assert words in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_an_unknown_study_is_refused(search: Search, study: Callable[..., str]) -> None:
    ran = search("compare", study("one", [GOOD]), "won")
    assert ran.code == 1
    assert "no study 'won'" in ran.stderr
