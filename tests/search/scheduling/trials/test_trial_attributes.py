import pytest

from objectives.results import Accuracy, Evaluation, IntervalEstimate, Scores
from search.scheduling.trials.trial_attributes import end_attributes, result_attributes, setting_attributes
from spaces import Setting, Space, Tap


def test_a_setting_is_described_in_words_and_units(space: Space) -> None:
    assert setting_attributes(Setting(90, 8, 4, "linear"), space.architecture) == {
        "Setting": "block 8, t 90, pool 4, linear",
        "Block": "8 of 12 (decoder), 32 channels of 4 × 4",
        "Features": "512 an image, pooled to 4 × 4",
        "Noise": f"t 90: sigma {space.architecture.sigma(90):.3g}",
        "Cost": "0.08 GMAC an image, without the head",
    }


def test_several_taps_and_draws_are_all_described(space: Space) -> None:
    setting = Setting(90, 8, 2, "linear", draws=4).reading(Tap(8, 90), Tap(3, 10))
    facts = setting_attributes(setting, space.architecture)
    assert facts["Block"] == "3 of 12 (encoder), 32 channels of 8 × 8; 8 of 12 (decoder), 32 channels of 4 × 4"
    assert facts["Noise"].count("sigma") == 2
    assert facts["Noise"].endswith(", 4 draws averaged")
    assert facts["Features"] == "256 an image, pooled to 2 × 2"
    assert facts["Cost"] == "0.44 GMAC an image, without the head"  # 4 draws, each of passes to blocks 3 and 8


def test_a_clean_pass_sees_no_noise_at_its_timestep(space: Space) -> None:
    facts = setting_attributes(Setting(90, 8, 4, "linear", draws=0), space.architecture)
    assert facts["Noise"] == "t 90: no noise"
    assert facts["Cost"] == "0.08 GMAC an image, without the head"


def test_an_encoder_sees_no_noise(space: Space) -> None:
    assert setting_attributes(Setting(None, 8, 4, "linear"), space.architecture)["Noise"] == "none: clean images"


@pytest.mark.parametrize("scores", [None, Scores(20, {"nll": IntervalEstimate(0.31, 0.2, 0.5)})])
def test_results_have_the_seconds_that_costs_are_learned_from(scores: Scores | None) -> None:
    attributes = result_attributes(Evaluation(Accuracy(18, 20), {"fit": 0.12345}, 7, 10, {"l2": 0.01}, scores=scores))
    assert attributes["Accuracy"] == "90.0 % (69.9–97.2), 18 of 20 validation images"
    assert attributes["Passes"] == "7 made of 10 needed"
    assert attributes["Time"] == "fitting 0.12\N{NO-BREAK SPACE}s"
    assert (attributes["seconds"], attributes["passes"], attributes["l2"]) == (
        {"fit": 0.123},
        {"made": 7, "needed": 10},
        0.01,
    )
    assert attributes.get("negative log-likelihood") == (None if scores is None else 0.31)
    assert result_attributes(None) == {}


def test_the_reason_of_a_trial_is_printed_and_stored() -> None:
    assert end_attributes("out of memory", failed=True) == {"reason": "out of memory", "Ended": "failed: out of memory"}
    assert end_attributes("pruned: behind") == {"reason": "pruned: behind", "Ended": "pruned: behind"}


def test_the_most_useful_attributes_sort_first(space: Space) -> None:
    """Optuna Dashboard shows six lines before one has to scroll."""
    prior = {
        **setting_attributes(Setting(90, 8, 4, "linear"), space.architecture),
        "attempt": 1,
        "seed": 0,
        **end_attributes("why"),
    }
    assert sorted(prior)[:6] == ["Block", "Cost", "Ended", "Features", "Noise", "Setting"]
