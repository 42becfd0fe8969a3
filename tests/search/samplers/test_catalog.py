"""Every sampler: in the space, never twice, to the last setting; the same for the same seed and past."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from search.database.optuna_storage.parameters import distributions, to_params, to_setting
from search.database.store import Store
from search.samplers.catalog import SAMPLERS, default_sampler, sampler_named
from spaces import HEAD_OPTIONS, Setting, Space, Tap, UnknownNameError
from tests.support.sampling import best, score, search, trial_of
from tests.support.studies import MakeRecord

QUICK = [name for name in SAMPLERS if name != "gp"]  # which takes seconds, and gets a test of its own


@given(data=st.data())
def test_a_setting_is_restored_from_its_parameters(space: Space, data: st.DataObject) -> None:
    setting = data.draw(st.sampled_from(list(space.settings())))
    params = to_params(setting)
    assert to_setting(params) == setting
    assert to_setting(dict(reversed(params.items()))) == setting
    assert distributions(space, setting).keys() == params.keys()
    create_trial(
        value=0.0, params=params, distributions=distributions(space, setting)
    )  # raises where one is not in the other


def test_parameters_have_readable_names(space: Space) -> None:
    setting = next(setting for setting in space.settings() if setting.head == "mlp")
    options = [f"mlp.{choice.name}" for choice in HEAD_OPTIONS["mlp"]]
    assert set(to_params(setting)) == {"timestep", "block", "pool", "draws", "head", *options}
    stored = distributions(space, setting)
    assert stored["timestep"] == CategoricalDistribution(space.timesteps)
    assert stored["draws"] == CategoricalDistribution((1,))


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(
    "narrowed",
    [
        {"blocks": (4, 8), "pools": (2,), "timesteps": (10,)},
        {"heads": ("linear",)},
        {"heads": ("mlp",), "timesteps": (90,), "blocks": (8,)},
        {"heads": ("linear",), "pools": (2,), "taps": (1, 2, 3)},
        {"heads": ("linear",), "pools": (2,), "taps": (2, 4)},
    ],
)
def test_a_search_reaches_every_setting_once(space: Space, name: str, narrowed: dict[str, tuple[object, ...]]) -> None:
    small = space.narrow(**({"timesteps": (10, 90), "blocks": (4, 5, 8)} | narrowed))
    proposer = sampler_named(name, seed=1)
    trials = search(proposer, small, len(small))
    assert {to_setting(trial.params) for trial in trials} == set(small.settings())
    assert proposer.propose(trials, small, set(small.settings())) is None


@pytest.mark.parametrize("name", QUICK)
def test_proposals_depend_only_on_past_trials_and_the_seed(space: Space, name: str) -> None:
    straight = search(sampler_named(name, seed=5), space, 30)
    restarted = search(sampler_named(name, seed=5), space, 30, before=straight[:17])
    assert [trial.params for trial in restarted] == [trial.params for trial in straight]
    if name != "grid":
        other = search(sampler_named(name, seed=6), space, 30)
        assert [trial.params for trial in other] != [trial.params for trial in straight]


@pytest.mark.parametrize("name", QUICK)
def test_running_pruned_and_failed_trials_are_ignored(space: Space, name: str) -> None:
    settings = list(space.settings())[:: len(space) // 40]
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    trials = [trial_of(number, setting, space, states[number % 4]) for number, setting in enumerate(settings)]
    proposer = sampler_named(name, seed=0)
    taken = set(settings)
    first = proposer.propose(trials, space, taken)
    ended = [
        trial_of(t.number, s, space, TrialState.COMPLETE if t.state == TrialState.RUNNING else t.state)
        for t, s in zip(trials, settings, strict=True)
    ]
    second = proposer.propose(ended, space, taken)
    assert {first, second} <= set(space.settings()) - taken
    assert second == sampler_named(name, seed=0).propose(ended, space, taken) or name == "qmc"


def test_random_is_uniform_over_what_is_untaken(space: Space) -> None:
    settings = list(space.settings())
    free = settings[::37]
    taken = set(settings) - set(free)
    proposals = [sampler_named("random", seed).propose([], space, taken) for seed in range(60 * len(free))]
    counts = [proposals.count(setting) for setting in free]
    assert sum(counts) == len(proposals)
    assert 25 < min(counts) <= max(counts) < 110


def test_grid_follows_the_order_of_the_space(space: Space) -> None:
    trials = search(sampler_named("grid", 0), space, 20)
    assert [to_setting(trial.params) for trial in trials] == list(space.settings())[:20]


def test_qmc_covers_a_dimension_more_evenly_than_chance(space: Space) -> None:
    trials = search(sampler_named("qmc", 3), space.narrow(heads=("linear",)), 15)
    blocks = [trial.params["block"] for trial in trials]
    assert min(blocks.count(block) for block in space.blocks) >= 1


@pytest.mark.parametrize(("name", "count"), [("tpe", 60), ("gp", 16)])
def test_a_learning_sampler_finds_one_of_the_best_settings(space: Space, name: str, count: int) -> None:
    learnt = search(sampler_named(name, 0), space, count)
    values = [score(setting, space) for setting in space.settings()]
    assert sum(value > best(learnt) for value in values) < len(values) // 20


@pytest.mark.parametrize("name", ["tpe", "greedy"])
def test_the_posterior_learns_from_further_taps(space: Space, name: str) -> None:
    """Block 8 as a further tap is worth 5 points."""
    trials = search(sampler_named(name, 0), space.narrow(taps=(1, 2, 3)), 100)
    later = [to_setting(trial.params) for trial in trials[50:]]
    helped = [any(tap.block == 8 for tap in setting.further) for setting in later]
    assert sum(helped) > {"tpe": 25, "greedy": 5}[name]
    assert any(tap.block == 8 for tap in to_setting(max(trials, key=lambda t: t.value or 0).params).further)


def test_greedy_extends_the_best_setting_with_the_best_single_taps(space: Space) -> None:
    several = space.narrow(taps=(1, 2, 3), heads=("linear",))
    trials = search(sampler_named("greedy", 0), several, 22)
    alone = [to_setting(trial.params) for trial in trials[:20]]
    assert not any(setting.further for setting in alone)
    first, *others = sorted(alone, key=lambda setting: -score(setting, space))
    grown = (first.reading(*first.taps, *other.taps) for other in others if other.taps != first.taps)
    assert to_setting(trials[20].params) == next(setting for setting in grown if setting in several)
    assert not to_setting(trials[21].params).further


def test_greedy_starts_with_the_fewest_allowed_taps(space: Space) -> None:
    trials = search(sampler_named("greedy", 0), space.narrow(taps=(2, 3), heads=("linear",)), 24)
    assert [len(to_setting(trial.params).taps) for trial in trials] == [2] * 20 + [3, 2, 3, 2]


def test_a_repeated_tap_counts_once(space: Space) -> None:
    params = to_params(Setting(90, 5, 2, "linear", further=(Tap(8, 90),)))
    assert params["taps"] == 2
    assert to_setting(params | {"block 2": 5}) == Setting(90, 5, 2, "linear")
    assert to_setting(params | {"taps": 1}) == Setting(90, 5, 2, "linear")


def test_tpe_tries_mostly_good_settings(space: Space) -> None:
    values = sorted(score(setting, space) for setting in space.settings())
    later = search(sampler_named("tpe", 0), space, 80)[40:]
    above = sum(trial.value > values[len(values) * 3 // 4] for trial in later if trial.value is not None)
    assert above > len(later) // 2  # chance would give a quarter


def test_a_sampler_leaves_no_trace_in_the_database(sqlite_url: str, space: Space, make_record: MakeRecord) -> None:
    with Store.open(sqlite_url) as store:
        study = store.load(store.ensure_study(make_record()))
        study.add_trials(search(sampler_named("random", 0), space, 12))
        before = study.get_trials()
        for name in QUICK:
            assert sampler_named(name, 0).propose(study.get_trials(), space, set()) is not None
        study_id = store.optuna.get_study_id_from_name(study.study_name)
        assert store.optuna.get_study_system_attrs(study_id).keys() == {"study:metric_names", "search:study_id"}
        assert study.get_trials() == before


def test_several_taps_use_the_greedy_sampler_by_default(space: Space) -> None:
    assert default_sampler(space) == "cost-aware"
    assert default_sampler(space, by_cost=True) == "tpe"
    assert default_sampler(space.narrow(taps=(1, 2))) == "greedy"


def test_an_unknown_sampler_is_a_readable_error() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"unknown sampler 'tpr'; did you mean 'tpe'\? known: cost-aware, gp, greedy, grid, qmc, random, tpe",
    ):
        sampler_named("tpr", 0)


def test_neither_torch_nor_ray_is_loaded() -> None:
    code = (
        "import sys, search.scheduling.trials.driver, search.samplers.catalog\n"
        "search.samplers.catalog.sampler_named('gp', 0)\n"
        "print({'torch', 'ray', 'scipy', 'sklearn'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
