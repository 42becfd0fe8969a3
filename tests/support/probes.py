"""Settings for the tests of the probe, and its last report."""

from objectives.probing.probe import Probe
from objectives.results import Evaluation
from spaces import Setting

LINEAR = Setting(20, 9, 2, "linear")
MLP = Setting(20, 9, 2, "mlp", 1, (("width", 128), ("learning_rate", 3e-3), ("weight_decay", 1e-3)))


def last(probe: Probe, setting: Setting) -> Evaluation:
    """Run a setting, and return the evaluation that it ends with."""
    *_, evaluation = probe(setting)
    assert isinstance(evaluation, Evaluation)
    return evaluation
