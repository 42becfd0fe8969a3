import pytest

from dashboards.formatting import duration, fitted_setting, head_text, image_counts, loss_text, named_seeds, points
from objectives.results import IntervalEstimate
from spaces import Setting, Tap


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.0421, "0.042 s"), (9.97, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (7384, "2 h 03 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert plain(duration(seconds)) == text


def test_head_text_lists_options_and_draws() -> None:
    setting = Setting(1, 1, 1, "mlp", 4, (("width", 128), ("learning_rate", 0.003)))
    assert head_text(setting) == "mlp, lr 3e-3, w 128, 4 draws"
    assert head_text(Setting(1, 1, 1, "linear", draws=0)) == "linear, no noise"


def test_a_setting_is_abbreviated_as_far_as_it_must_be() -> None:
    options = (("learning_rate", 0.00015), ("weight_decay", 0.1), ("depth", 2))
    setting = Setting(44, 16, 4, "cnn", options=options)
    assert (
        fitted_setting(setting, 80) == "block 16, t 44, pool 4, cnn, depth 2, learning rate 0.00015, weight decay 0.1"
    )
    assert fitted_setting(setting, 70) == "block 16, t 44, pool 4, cnn, depth 2, lr 1.5e-4, wd 0.1"
    assert fitted_setting(setting, 42) == "b16 t44 p4 cnn d2 lr1.5e-4 wd0.1"
    assert fitted_setting(Setting(None, 3, 1, "linear", further=(Tap(5, None),)), 9) == "b3+b5 p1 linear"


@pytest.mark.parametrize(
    ("train", "folds", "text"),
    [
        (1200, None, "1,200 train, 1,500 validation, 360 test"),
        (1500, "5", "1,500 train and validate in 5 folds, 360 test"),
        (50, "5", "1,500 validation in 5 folds, 50 train in each, 360 test"),
    ],
)
def test_image_counts(train: int, folds: str | None, text: str) -> None:
    assert image_counts({"test": 360, "train": train, "validation": 1500}, folds) == text


def test_points_and_losses() -> None:
    loss = IntervalEstimate(0.013, -0.0004, 0.03)
    assert points(loss) == "1.3 (0.0 to 3.0)"
    assert loss_text(loss) == "loses 1.3 points (0.0 to 3.0)"
    assert loss_text(IntervalEstimate(-0.013, -0.03, 0.004)) == "gains 1.3 points (−0.4 to 3.0)"


@pytest.mark.parametrize(("seeds", "words"), [((1,), "seed 1"), ((1, 2), "mean of seeds 1, 2")])
def test_a_mean_of_one_seed_is_called_its_seed(seeds: tuple[int, ...], words: str) -> None:
    assert named_seeds(seeds) == words
