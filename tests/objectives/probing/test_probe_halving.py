"""The probe with successive halving: rungs on a quarter and a half of the images, then all."""

from dataclasses import replace
from pathlib import Path

import pytest

from objectives.probing.probe import Probe
from objectives.probing.spec import ProbeSpec
from objectives.results import Epoch, Evaluation, Extracted, Final, Rung
from spaces import Setting
from tests.support.probes import LINEAR, MLP, last


@pytest.mark.parametrize(
    ("setting", "folds", "flips"), [(LINEAR, 2, True), (MLP, None, False)], ids=["linear, folds, flips", "mlp"]
)
def test_halving_scores_a_part_of_the_images_first_and_ends_with_the_same_evaluation(
    spec: ProbeSpec, tmp_path: Path, setting: Setting, folds: int | None, flips: bool
) -> None:
    plain = replace(spec, folds=folds, flips=flips)
    reports = list(Probe.build(replace(plain, halving=True, cache=tmp_path / "halving"), 1)(setting))
    at_once = list(Probe.build(plain, 1)(setting))
    indices = [index for index, report in enumerate(reports) if isinstance(report, Rung)]
    quarter, half = (report for report in reports if isinstance(report, Rung))
    assert (quarter.number, half.number) == (1, 2)
    for rung, share in ((quarter, 0.25), (half, 0.5)):
        assert abs(rung.images - 500 * share) < 15
        assert rung.evaluation.passes_made == rung.evaluation.passes_needed == rung.images * (1 + flips)
        assert rung.evaluation.score > 0.4
    # Heads that train in epochs report epochs on all images alone.
    assert {type(report) for report in reports[: indices[1]]} == {Extracted, Rung}
    assert [report for report in reports if isinstance(report, Epoch)] == [
        report for report in at_once if isinstance(report, Epoch)
    ]
    in_steps, straight = reports[-1], at_once[-1]
    assert isinstance(in_steps, Evaluation)
    assert isinstance(straight, Evaluation)
    assert replace(in_steps, seconds={}) == replace(straight, seconds={})  # to the last bit
    assert in_steps.passes_made == 500 * (1 + flips)


def test_the_passes_of_a_lower_rung_serve_the_next_trial_at_its_timestep(spec: ProbeSpec) -> None:
    probe = Probe.build(replace(spec, halving=True), 1)
    stopped = next(report for report in probe(LINEAR) if isinstance(report, Rung))
    *reports, evaluation = probe(replace(LINEAR, block=12))
    assert isinstance(evaluation, Evaluation)
    assert evaluation.passes_made == 500 - stopped.images
    assert next(report.evaluation.passes_made for report in reports if isinstance(report, Rung)) == 0


def test_a_trial_without_missing_passes_has_no_rungs(spec: ProbeSpec) -> None:
    probe = Probe.build(replace(spec, halving=True), 1)
    assert last(Probe.build(spec, 1), LINEAR).passes_made == 500
    for setting, rungs in ((LINEAR, 0), (replace(LINEAR, block=12), 0), (replace(LINEAR, timestep=300), 2)):
        assert len([report for report in probe(setting) if isinstance(report, Rung)]) == rungs


def test_finals_have_no_rungs_and_one_shot_allows_them(spec: ProbeSpec) -> None:
    probe = Probe.build(replace(spec, shots=1, halving=True), 1)
    assert len([report for report in probe(LINEAR) if isinstance(report, Rung)]) == 2
    assert {type(report) for report in probe.finalise(LINEAR, 1)} == {Extracted, Final}
