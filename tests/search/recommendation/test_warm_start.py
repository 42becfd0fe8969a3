from search.recommendation.warm_start import start_settings
from spaces import Setting, Space


def test_a_search_starts_from_the_screened_settings_with_every_head(space: Space) -> None:
    places = [Setting(90, 5, 2, "ridge"), Setting(10, 8, 1, "ridge"), Setting(444, 8, 1, "ridge")]
    found = start_settings(places, space)
    assert [(each.timestep, each.block, each.pool, each.head) for each in found] == [
        (90, 5, 2, "linear"),
        (90, 5, 2, "mlp"),
        (10, 8, 1, "linear"),
        (10, 8, 1, "mlp"),
    ]  # t 444 is not of the space
    assert all(each in space for each in found)
