"""`search cka` on real images, with the bundled network and a small encoder."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command_line import Search
from tests.support.small_encoders import vit

QUICK = ("--dataset", "digits", "--images", "60", "--batch", "30", "--blocks", "12,13,14", "--timesteps", "5,400")


def test_a_network_is_compared_with_itself_with_other_noise_and_with_another_network(
    search: Search, tmp_path: Path
) -> None:
    vit(tmp_path / "vit")
    ran = search("cka", *QUICK, "--timestep", "5", "--against", str(tmp_path / "vit"), "--no-png", "--json")
    assert ran.code == 0, ran.stderr
    record = json.loads(ran.stdout)
    assert [row["block"] for row in record["blocks"]["rows"]] == [12, 13, 14]
    values = record["blocks"]["values"]
    assert [values[index][index] for index in range(3)] == pytest.approx([1, 1, 1])
    assert values[0][1] == values[1][0] > 0.5
    assert [row["timestep"] for row in record["timesteps"]["rows"]] == [5, 400]
    little, much = zip(*record["agreement"]["values"], strict=True)
    assert min(little) > max(much)  # with more noise two draws agree less
    (other,) = record["others"].values()
    assert {column["timestep"] for column in other["columns"]} == {None}
    assert (record["blocks"]["images"], record["blocks"]["batches"]) == (60, 2)
    page = Path(record["report"]).read_text()
    assert "Agreement of two noise draws" in page
    assert record["pictures"] == []

    again = search("cka", *QUICK, "--timestep", "5", "--no-draws", "--no-png", "--out", str(tmp_path / "mine.html"))
    assert again.code == 0, again.stderr
    assert "Similarity between blocks at t 5\n  Neighbouring blocks have a CKA of" in again.stdout
    assert "Agreement of two noise draws" not in (tmp_path / "mine.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--block", "20"), "--block 20 is not among the compared ones: 12, 13, 14"),
        (("--blocks", "12,99"), "block 99 does not exist for backbone"),
        (("--timestep", "1000"), "--timestep 1000 does not exist for backbone .*; valid: 0 to 999"),
        (("--backbone", "no-such"), "unknown backbone 'no-such'"),
        (("--against", "bundled"), "--against names other backbones, got 'bundled'"),
        (("--images", "3"), "expected a whole number from 4"),
    ],
)
def test_an_impossible_comparison_is_one_error_line_and_writes_nothing(
    search: Search, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    ran = search("cka", *QUICK, *words)
    assert ran.code in (1, 2)
    assert re.search(message, ran.stderr), ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "home" / "reports").exists()
