"""A made-up score for every setting of the `space` fixture, and searches for the best one without networks."""

from optuna.trial import FrozenTrial, TrialState, create_trial

from search.database.optuna_storage.parameters import distributions, to_params, to_setting
from search.samplers.proposers import Proposer
from spaces import Setting, Space


def score(setting: Setting, space: Space) -> float:
    """Best at block 5, timestep 90, pool 2, mlp with the middle learning rate."""
    value = 0.9 - 0.02 * abs(setting.block - 5) - 0.03 * abs(space.architecture.log_snr(setting.timestep or 0) - 4.6)
    value -= 0.02 * (setting.pool != 2)
    if any(tap.block == 8 for tap in setting.further):
        value += 0.05
    options = dict(setting.options)
    if setting.head == "mlp":
        value += 0.03 - 0.02 * (options["learning_rate"] != 1e-3) - 0.01 * (options["width"] != 512)
    return value


def trial_of(number: int, setting: Setting, space: Space, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    trial = create_trial(
        state=state,
        value=score(setting, space) if state == TrialState.COMPLETE else None,
        params=to_params(setting),
        distributions=distributions(space, setting),
        intermediate_values={1: 0.3} if state == TrialState.PRUNED else None,
    )
    trial.number = number
    return trial


def search(proposer: Proposer, space: Space, count: int, before: list[FrozenTrial] | None = None) -> list[FrozenTrial]:
    trials = list(before or [])
    for number in range(len(trials), count):
        taken = {to_setting(trial.params) for trial in trials}
        setting = proposer.propose(trials, space, taken)
        assert setting is not None
        assert setting in space
        assert setting not in taken
        trials.append(trial_of(number, setting, space))
    return trials


def best(trials: list[FrozenTrial]) -> float:
    return max(trial.value for trial in trials if trial.value is not None)
