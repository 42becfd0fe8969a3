from search.recommendation.warm_start import start_settings
from spaces import Setting, Space, Tap


def test_a_search_starts_from_the_screened_settings_with_every_head(space: Space) -> None:
    places = [Setting(90, 5, 2, "ridge"), Setting(10, 8, 1, "ridge"), Setting(444, 8, 1, "ridge")]
    settings = start_settings(places, space)
    assert [(setting.timestep, setting.block, setting.pool, setting.head) for setting in settings] == [
        (90, 5, 2, "linear"),
        (90, 5, 2, "mlp"),
        (10, 8, 1, "linear"),
        (10, 8, 1, "mlp"),
    ]  # t 444 is not of the space
    assert all(setting in space for setting in settings)


def test_a_search_of_several_taps_starts_from_screened_settings_with_as_many(space: Space) -> None:
    places = [Setting(90, 5, 2, "ridge"), Setting(90, 5, 2, "ridge", further=(Tap(8, 90),))]
    assert {len(setting.taps) for setting in start_settings(places, space)} == {1}
    two = space.narrow(taps=[2])
    assert {len(setting.taps) for setting in start_settings(places, two)} == {2}
