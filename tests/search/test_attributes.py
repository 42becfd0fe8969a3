import pytest

from objectives.results import Accuracy, Evaluation, Measured, Scores
from search.attributes import FACTS, facts_of, results_of
from spaces import Setting, Space, Tap


def test_a_setting_is_told_in_words_and_units(space: Space) -> None:
    facts = facts_of(Setting(90, 8, 4, "linear"), space.architecture)
    assert tuple(facts) == FACTS
    assert facts == {
        "setting": "block 8, t 90, pool 4, linear",
        "reads": "block 8 of 12 (decoder), 32 channels of 4 × 4",
        "noise": f"t 90, sigma {space.architecture.sigma(90):.3g}",
        "features": "512 an image, pooled to 4 × 4",
        "pass GMAC": "0.08",
    }


def test_several_taps_are_all_told(space: Space) -> None:
    facts = facts_of(Setting(90, 8, 2, "linear").reading(Tap(8, 90), Tap(3, 10)), space.architecture)
    assert facts["reads"].count("channels of") == 2
    assert facts["noise"].count("sigma") == 2
    assert facts["features"] == "256 an image, pooled to 2 × 2"


@pytest.mark.parametrize("scores", [None, Scores(20, {"nll": Measured(0.31, 0.2, 0.5)})])
def test_results_keep_what_costs_are_learnt_from(scores: Scores | None) -> None:
    told = results_of(Evaluation(Accuracy(18, 20), {"fit": 0.12345}, 7, 10, {"l2": 0.01}, scores=scores))
    assert told["validation"] == "90.0 % (69.9 to 97.2), 18 of 20 images"
    assert (told["seconds"], told["passes"], told["l2"]) == ({"fit": 0.123}, {"made": 7, "needed": 10}, 0.01)
    assert told.get("negative log-likelihood") == (None if scores is None else "0.310")
    assert results_of(None) == {}
