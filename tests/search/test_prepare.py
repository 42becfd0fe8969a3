"""What options change in the protocol of a study, from which the study's identity follows."""

from typing import Any

import pytest

from search.options import RunOptions
from search.prepare import prepare_probe, study_record
from tests.support.images import class_folders
from tests.support.small_unets import plain


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The options of a search on 2 classes of 12 images with a tiny U-Net."""
    folder = tmp_path_factory.mktemp("prepared")
    class_folders(folder / "images", 12)
    plain(folder / "net")
    return {"data_root": folder / "images", "backbone": str(folder / "net"), "home": folder / "home"}


def protocol_of(options: dict[str, Any]) -> dict[str, str]:
    run_options = RunOptions("folder", **options)
    run_options.check()
    probe = prepare_probe(run_options)
    return dict(study_record(run_options, probe, probe.spec.counts(probe.spec.splits(run_options.seed))).protocol)


@pytest.mark.parametrize(
    ("changes", "words", "absent"),
    [
        ({"folds": 3}, {"folds": "3"}, {"validation fraction"}),
        ({"flips": True}, {"flips": "horizontal"}, set()),
        ({"balanced": True}, {"classes weigh": "the same"}, set()),
        ({"shots": 2}, {"shots": "2"}, set()),
        ({"metric": "nll"}, {"metric": "nll"}, set()),
        ({"objectives": ["nll", "cost"]}, {"metric": "nll", "objectives": "nll, cost"}, set()),
        (
            {"folds": 3, "flips": True, "balanced": True},
            {"folds": "3", "flips": "horizontal", "classes weigh": "the same"},
            {"validation fraction"},
        ),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_the_protocol_names_an_option_that_changes_scores(
    options: dict[str, Any], changes: dict[str, Any], words: dict[str, str], absent: set[str]
) -> None:
    default, changed = protocol_of(options), protocol_of(options | changes)
    assert default.keys() == {"seed", "validation fraction", "split fingerprint", "precision"}
    assert {name: value for name, value in changed.items() if name not in default} == words
    assert default.keys() - changed.keys() == absent
    assert (changed["seed"], changed["precision"]) == (default["seed"], default["precision"])


def test_another_seed_is_another_split(options: dict[str, Any]) -> None:
    one, other = protocol_of(options), protocol_of(options | {"seed": 1})
    assert (one["seed"], other["seed"]) == ("0", "1")
    assert one["split fingerprint"] != other["split fingerprint"]
