"""Tests of the options that change the protocol of a study, and so its identity."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from objectives import devices
from objectives.backbones.catalog import bundled_outline, describe_backbone
from objectives.backbones.reading import Reading
from objectives.features import versions
from objectives.home import Home
from search.checks import check
from search.database.records import RunRecord
from search.database.store import Store
from search.options.run_options import RunOptions
from search.prepare import (
    check_same,
    options_of_study,
    prepare,
    prepare_probe,
    resources_of,
    study_record,
    taps_inside,
)
from search.running.engine import VALIDATION_BY_RULE, _as_it_began
from spaces import PRESETS, SearchError, UsageError
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
        ({"folds": 3}, {"folds": "3", "fold fits": "together"}, {"validation fraction"}),
        ({"folds": 3, "heads": ["mlp", "knn"]}, {"folds": "3"}, {"validation fraction"}),
        ({"folds": 3, "shots": 2}, {"folds": "3", "shots": "2"}, {"validation fraction"}),
        ({"flips": True}, {"flips": "horizontal"}, set()),
        ({"balanced": True}, {"classes weigh": "the same"}, set()),
        ({"shots": 2}, {"shots": "2"}, set()),
        ({"metric": "nll"}, {"metric": "nll"}, set()),
        ({"objectives": ["nll", "cost"]}, {"metric": "nll", "objectives": "nll, cost"}, set()),
        (
            {"folds": 3, "flips": True, "balanced": True},
            {"folds": "3", "fold fits": "together", "flips": "horizontal", "classes weigh": "the same"},
            {"validation fraction"},
        ),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_the_protocol_names_an_option_that_changes_scores(
    options: dict[str, Any], changes: dict[str, Any], words: dict[str, str], absent: set[str]
) -> None:
    split = {} if "folds" in changes else {"validation_fraction": 0.2}
    default, changed = protocol_of(options | {"validation_fraction": 0.2}), protocol_of(options | split | changes)
    assert default.keys() == {"seed", "validation fraction", "split fingerprint", "precision"}
    assert {name: value for name, value in changed.items() if name not in default} == words
    assert default.keys() - changed.keys() == absent
    assert (changed["seed"], changed["precision"]) == (default["seed"], default["precision"])


@pytest.mark.parametrize(
    ("changes", "folds", "fraction"),
    [
        ({}, 3, 0.2),  # mlp is among the heads
        ({"heads": ["linear"]}, 5, 0.2),
        ({"shots": 3}, 3, 0.2),
        ({"folds": 3}, 3, 0.2),
        ({"validation_fraction": 0.3}, None, 0.3),
        ({"validation_fraction": 0.2}, None, 0.2),
    ],
)
def test_the_images_decide_how_settings_are_validated_unless_the_options_say_it(
    options: dict[str, Any], changes: dict[str, Any], folds: int | None, fraction: float
) -> None:
    run = prepare(RunOptions("folder", **options, **changes))
    assert (run.probe.spec.folds, run.probe.spec.validation_fraction) == (folds, fraction)
    assert run.by_rule == (not {"folds", "validation_fraction"} & changes.keys())
    assert run.record.protocol.get("folds") == (str(folds) if folds else None)
    kept = RunOptions.from_record(run.options.to_record(), None)  # as `search export` reads them later
    assert (kept.folds, kept.validation_fraction) == (folds, None if folds else fraction)


@pytest.mark.parametrize(
    ("kept", "typed", "folds"),
    [
        ({}, {}, None),  # a version without the rule began the study
        ({VALIDATION_BY_RULE: True}, {}, None),  # this version continued it
        ({VALIDATION_BY_RULE: False}, {}, 3),  # the fraction was typed
        ({}, {"validation_fraction": 0.2}, None),
        ({}, {"folds": 5}, 5),
        (None, {}, 3),  # there is no study with one split
    ],
)
def test_the_same_command_continues_a_study_from_before_the_rule(
    options: dict[str, Any], tmp_path: Path, kept: dict[str, Any] | None, typed: dict[str, Any], folds: int | None
) -> None:
    run = prepare(RunOptions("folder", **options, **typed))
    former = prepare(RunOptions("folder", **options, validation_fraction=0.2))
    with Store.open(tmp_path / "studies.db") as store:
        if kept is not None:
            study = store.ensure_study(former.record)
            with store.run(study, RunRecord(1, "search run", {}, options={**former.options.to_record(), **kept})):
                pass
        began = _as_it_began(run, store)
    assert (began.probe.spec.folds, began.by_rule) == (folds, not typed)
    assert (began.record.name == former.record.name) == (folds is None)
    assert began.counts["validation"] == (began.counts["train"] if folds else former.counts["validation"])


def test_the_bundled_network_gives_the_settings_that_are_checked_first() -> None:
    for side in (None, 64):
        outline, (architecture, _) = bundled_outline(side), describe_backbone("bundled", Reading(image_side=side))
        assert outline.image_side == architecture.image_side
        assert [(block.number, block.part, block.side) for block in outline.blocks] == [
            (block.number, block.part, block.side) for block in architecture.blocks
        ]
        assert outline.alphas_cumprod == pytest.approx(architecture.alphas_cumprod, rel=1e-4)
        for preset in PRESETS.values():
            assert preset(outline).to_dict() == preset(architecture).to_dict()


def test_another_seed_is_another_split(options: dict[str, Any]) -> None:
    one, other = protocol_of(options), protocol_of(options | {"seed": 1})
    assert (one["seed"], other["seed"]) == ("0", "1")
    assert one["split fingerprint"] != other["split fingerprint"]


@pytest.mark.parametrize(
    ("gpus", "changes", "rule"),
    [
        (0, {"workers": 5}, "`workers` must be at most 4 on this machine, one for each core .*; got 5"),
        (0, {"gpus_per_trial": 0.25}, "`gpus_per_trial` is 0.25, and torch finds no GPU on this machine"),
        (2, {"gpus_per_trial": 3}, "`gpus_per_trial` must be at most 2 on this machine, its number of GPUs, got 3"),
        (2, {"gpu_type": "A100"}, "`gpu_type` is for a cluster, got no `ray_address`"),
        (2, {"gpus_per_trial": 0.5, "workers": 5}, "`workers` must be at most 4 on this machine, whose 2 GPUs"),
    ],
)
def test_more_than_the_machine_has_is_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: int, changes: dict[str, Any], rule: str
) -> None:
    """The numbers of GPUs and cores are made up, since a machine that runs the tests may have no GPU."""
    monkeypatch.setattr(devices, "gpu_count", lambda: gpus)
    monkeypatch.setattr(devices, "available_cores", lambda: 4)
    with pytest.raises(UsageError, match=rule):
        check(RunOptions("digits", **changes))


@pytest.mark.parametrize(
    ("gpus", "changes", "workers", "share"),
    [
        (0, {}, 4, 0),
        (0, {"workers": 4}, 4, 0),
        (0, {"gpus_per_trial": 0}, 4, 0),
        (0, {"workers": 99, "gpus_per_trial": 2, "ray_address": "127.0.0.1:1"}, 99, 2),
        (2, {}, 2, 1),
        (2, {"workers": 6}, 6, 1 / 3),
        (8, {"workers": 3}, 3, 2),
        (1, {"gpus_per_trial": 0.1}, 10, 0.1),
        (2, {"gpus_per_trial": 2, "workers": 1}, 1, 2),
    ],
)
def test_what_the_machine_has_is_shared(
    monkeypatch: pytest.MonkeyPatch, gpus: int, changes: dict[str, Any], workers: int, share: float
) -> None:
    """The numbers of GPUs and cores are made up, as above."""
    monkeypatch.setattr(devices, "gpu_count", lambda: gpus)
    monkeypatch.setattr(devices, "available_cores", lambda: 4)
    options = RunOptions("digits", **changes)
    check(options)
    resources = resources_of(options)
    assert (resources.workers, resources.gpus) == (workers, share)


def test_a_study_of_another_noise_is_another_study_and_is_refused_in_words(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_options = RunOptions("folder", **options)
    run_options.check()
    probe = prepare_probe(run_options)
    counts = probe.spec.counts(probe.spec.splits(run_options.seed))
    record = study_record(run_options, probe, counts)
    with Store.open(f"sqlite:///{options['home'].parent}/study.db") as store:
        study = store.read_study(store.ensure_study(record))
        check_same(study, probe)
        monkeypatch.setattr(versions, "NOISE", "another noise")
        changed = study_record(run_options, probe, counts)
        assert changed.protocol == {**record.protocol, "noise": "another noise"}
        other = store.read_study(store.ensure_study(changed))
    assert other.name != study.name
    check_same(other, probe)
    with pytest.raises(
        SearchError, match=f"study {study.name} was made with the noise 'torch-.*', this version has 'an"
    ):
        check_same(study, probe)


def test_data_without_training_images_are_refused_before_anything_is_done(
    options: dict[str, Any], tmp_path: Path
) -> None:
    images = sorted(options["data_root"].glob("*/*.png"))
    rows = [f"{image.relative_to(options['data_root'])},{image.parent.name},test\n" for image in images]
    listed = options["data_root"] / "list.csv"
    listed.write_text("path,label,split\n" + "".join(rows))
    with pytest.raises(SearchError, match="csv has no training images, all 24 are test images"):
        prepare_probe(RunOptions("csv", **options | {"data_root": listed, "home": tmp_path}))
    listed.unlink()


def test_taps_inside_are_the_same_in_any_order_and_named_twice() -> None:
    for named in (["mlp", "query"], ["query", "mlp"], ["query", "mlp", "query"]):
        assert taps_inside(RunOptions("digits", taps_inside=named)) == ("query", "mlp")
    assert taps_inside(RunOptions("digits")) == ()
    assert taps_inside(RunOptions("digits", taps_inside=["querry"])) == ("querry",)  # to be refused by its name


def test_the_options_of_a_study_continue_it_in_its_own_space(finished_home: Path) -> None:
    with Store.open(finished_home / "studies.db") as store:
        study = store.read_study(store.find_study())
        saved = store.saved_options(study.name)
        options = options_of_study(study, saved, Home.at(finished_home))
        record = prepare(options).record
        assert (options.blocks, options.timesteps, options.taps, options.pools) == ((9, 14), (20, 300), (2,), None)
        assert record.space == saved.space
        assert store.ensure_study(record) == study.name
        long = replace(study, name="x" * 61)
        assert options_of_study(long, saved, Home.at(finished_home)) == replace(options, name=None)
