"""`search report --all` on two real datasets of image files and a tiny U-Net, and which study represents a dataset."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dashboards.cross_dataset.tables import RegretMatrix
from objectives.datasets.catalog import load_dataset
from objectives.probing.probe import Probe
from objectives.results import Accuracy, Epoch, Evaluation, Extracted, Report, StudyResults
from search.database.models import RunRow
from search.database.records import RunRecord, StudyRecord
from search.database.store import Store
from search.options.run_options import RunOptions
from search.prepare import prepare_probe
from search.reports.cross_dataset import networks_of
from search.reports.missing_trials import Listener, make_trial
from search.samplers.catalog import sampler_named
from search.scheduling.trials.driver import StudyDriver
from spaces import CacheError, Setting, Space
from tests.support.command_line import Search
from tests.support.images import class_folders
from tests.support.small_unets import plain
from tests.support.studies import MakeRecord

TRIED = {"digits": (6, 4), "parity": (8, 4)}
"""Blocks that each dataset tried, the best first. Neither tried the other's best, which is clearly worse there."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `net`, `digits`, `parity` (other digits, even and odd) and `home`, which has a study of both."""
    folder = tmp_path_factory.mktemp("made")
    digits = load_dataset("digits", None)
    for i in range(300):
        label = digits.labels[i]
        place = folder / ("digits" if i < 150 else "parity") / f"<b>{label if i < 150 else label % 2}"
        place.mkdir(parents=True, exist_ok=True)
        digits.images.read(i).save(place / f"{i}.png")
    plain(folder / "net")
    for dataset in TRIED:
        searched(folder, dataset)
    return folder


def searched(folder: Path, dataset: str) -> None:
    """Search as `search run --dataset folder` does, but without Ray and without finals."""
    options = RunOptions(
        "folder",
        home=folder / "home",
        data_root=folder / dataset,
        backbone=str(folder / "net"),
        heads=["linear"],
        timesteps=[91],
        pools=[1],
        validation_fraction=0.2,
    )
    prepared = prepare_probe(options)
    spec, space, weights_digest = prepared.spec, prepared.space, prepared.weights_digest
    facts = StudyRecord(
        dataset="folder",
        dataset_fingerprint=spec.dataset.fingerprint,
        backbone="net",
        weights_digest=weights_digest,
        preset="default narrowed",
        space=space,
        classes=spec.dataset.classes,
        counts=spec.counts(spec.splits(0)),
        protocol={"seed": "0"},
    )
    with Store.open(options.database) as store:
        name = store.ensure_study(facts)
        run = store.begin_run(name, RunRecord(1, "search run", {}, options=options.to_record()))
        driver = StudyDriver(store, name, space, sampler_named("random", 0), seed=0, budget=0, run_id=run)
        probe = Probe.build(spec, 1)
        for block in TRIED[dataset]:
            assert make_trial(driver, probe, Setting(91, block, 1, "linear"), Listener(print)) is None
        store.end_run(run, "finished")


def studies(home: Path) -> list[StudyResults]:
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        return [store.read_study(summary.name) for summary in store.studies()]


def matrix_of(home: Path) -> RegretMatrix:
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store:
        (network,) = networks_of(store, None, [])
    return network.matrix


def test_missing_trials_are_run_once_and_stored(made: Path, search: Search) -> None:
    home = made / "home"
    before = studies(home)
    ran = search("report", "--all", "--home", str(home))
    assert (ran.code, ran.stdout.strip()) == (0, str(home / "reports" / "all.html"))
    assert "2 cells are missing" in (home / "reports" / "all.html").read_text()
    table = matrix_of(home)
    assert table.labels == ("digits (folder)", "parity (folder)")
    wanted = {cell.used_on: cell.setting for cell in table.missing}

    (made / "digits").rename(made / "moved")
    ran = search("report", "--all", "--measure", "--home", str(home))
    assert ran.code == 1
    lines = ran.stderr.splitlines()
    assert lines[0].startswith(f"not measured on digits (folder): --data-root {made / 'digits'} does not exist")
    assert lines[1] == f"parity (folder), 1 of 1: {wanted['parity (folder)']}"
    assert lines[-1] == "error: 1 missing trial could not be run; the reasons are printed above"
    assert "1 cell is missing" in (home / "reports" / "all.html").read_text()
    class_folders(made / "digits", 30)
    ran = search("report", "--all", "--measure", "--home", str(home))
    assert ran.code == 1
    assert "not measured on digits (folder): the images of dataset folder are not those of study" in ran.stderr
    shutil.rmtree(made / "digits")
    (made / "moved").rename(made / "digits")

    ran = search("report", "--all", "--measure", "--home", str(home))
    assert ran.code == 0, ran.stderr
    table = matrix_of(home)
    assert table.missing == ()
    for task in table.tasks:
        (trial,) = (trial for trial in task.study.trials if trial.number == 2)
        assert (trial.state, trial.setting) == ("complete", wanted[task.label])
        cell = table.cells[next(label for label in table.labels if label != task.label), task.label]
        assert cell.paired
        assert trial.scores is not None
        assert trial.gmacs is not None
        assert trial.passes_needed > 0
        assert task.best.validation is not None
        assert trial.validation is not None
        assert cell.loss is not None
        assert cell.loss.value == pytest.approx(task.best.validation.value - trial.validation.value)
        assert task.study.provenance["command"] == "search run"  # goes on with it, as before
    page = (home / "reports" / "all.html").read_text()
    assert "missing" not in page[page.index('id="answer"') : page.index('id="settings"')]
    assert "digits (folder)" in page

    ran = search("report", "--all", "--measure", "--home", str(home))
    assert (ran.code, ran.stderr.strip()) == (0, "no trial is missing that could be run")
    lines = search("report", "--all", "--format", "csv", "--out", "-", "--home", str(home)).stdout.splitlines()
    assert lines[0].startswith("network,best setting of,used on,setting,loses,")
    assert [line.split(",")[:3] for line in lines[1:]] == [["net", *cell] for cell in table.cells]
    assert [study.finished for study in studies(home)] == [study.finished + 1 for study in before]
    with Store.open(f"sqlite:///{home / 'studies.db'}") as store, store.session() as session:
        assert {run.state for run in session.scalars(select(RunRow))} == {"finished"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--all",), 1, "no study has a complete trial yet; `search run --dataset digits --trials 40` makes some"),
        (("--all", "--dataset", "digits"), 2, "leave out --dataset and --study"),
        (("--measure",), 2, "add --all"),
        (("--backbone", "bundled"), 2, "add --all"),
    ],
)
def test_a_mistake_is_one_clear_line(search: Search, words: tuple[str, ...], code: int, message: str) -> None:
    ran = search("report", *words)
    assert ran.code == code
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_backbone_without_a_study_is_refused(made: Path, search: Search) -> None:
    ran = search("report", "--all", "--backbone", "bundled", "--home", str(made / "home"))
    assert ran.code == 2
    assert "unknown backbone of a study 'bundled'; known: net" in ran.stderr


# Which study stands for a dataset -----------------------------------------------------------------------------------


@pytest.fixture
def opened(sqlite_url: str) -> Iterator[Store]:
    with Store.open(sqlite_url) as store:
        yield store


@pytest.fixture
def save_study(opened: Store, space: Space, run_record: RunRecord, make_record: MakeRecord) -> Callable[..., str]:
    """Save a study with a complete trial and a finished run, and return its name."""

    def save(dataset: str, data_root: str | None = None, **facts: Any) -> str:
        facts = {"dataset": dataset, "dataset_fingerprint": dataset[0] * 64, **facts}
        name = opened.ensure_study(make_record(**facts))
        options = {"data_root": data_root, "backbone": "bundled"}
        run = opened.begin_run(name, replace(run_record, options=options))
        driver = StudyDriver(opened, name, space, sampler_named("random", 0), seed=0, budget=1, run_id=run)
        request = driver.trial_for(next(space.settings()))
        assert request is not None
        driver.complete(request.number, Evaluation(Accuracy(9, 20), {}, 0, 0))
        opened.end_run(run, "finished")
        return name

    return save


def tasks(store: Store, backbone: str | None = None) -> list[list[tuple[str, str, int]]]:
    """Return (label, study, number of other studies) of each task, for each network."""

    networks = networks_of(store, backbone, [])
    return [[(task.label, task.study.name, task.others) for task in network.matrix.tasks] for network in networks]


def test_the_latest_study_represents_its_dataset(
    opened: Store, save_study: Callable[..., str], make_record: MakeRecord
) -> None:
    save_study("digits", protocol={"seed": "1"})
    last = save_study("digits", protocol={"seed": "2"})
    birds = save_study("cub", "/data/cub")
    opened.ensure_study(make_record(dataset="cub", dataset_fingerprint="c" * 64))  # without a trial
    assert tasks(opened) == [[("cub", birds, 0), ("digits", last, 1)]]


def test_own_images_are_one_dataset_by_folder_or_by_content(opened: Store, save_study: Callable[..., str]) -> None:
    save_study("folder", "/data/birds", dataset_fingerprint="1" * 64)
    grown = save_study("folder", "/data/birds", dataset_fingerprint="2" * 64)
    save_study("folder", "/elsewhere/cars", dataset_fingerprint="3" * 64, protocol={"seed": "1"})
    moved = save_study("folder", "/data/cars", dataset_fingerprint="3" * 64)
    alike = save_study("folder", "/other/birds", dataset_fingerprint="4" * 64)
    assert tasks(opened) == [
        [("birds (folder) 22222222", grown, 1), ("birds (folder) 44444444", alike, 0), ("cars (folder)", moved, 1)]
    ]


def test_networks_are_distinguished_by_their_weights(opened: Store, save_study: Callable[..., str]) -> None:
    one = save_study("digits", weights_digest="1" * 64)
    other, further = (save_study(dataset, weights_digest="2" * 64) for dataset in ("digits", "cub"))
    elsewhere = save_study("digits", backbone="adm", weights_digest="3" * 64)
    assert tasks(opened, "adm") == [[("digits", elsewhere, 0)]]
    assert [[name for _, name, _ in mine] for mine in tasks(opened)] == [[further, other], [elsewhere], [one]]
    assert [network.name for network in networks_of(opened, None, [])] == [
        "bundled (22222222)",
        "adm",
        "bundled (11111111)",
    ]


# A requested trial ------------------------------------------------------------------------------------------


@pytest.fixture
def driver(opened: Store, make_record: MakeRecord, space: Space, run_record: RunRecord) -> StudyDriver:
    name = opened.ensure_study(make_record())
    run = opened.begin_run(name, run_record)
    return StudyDriver(opened, name, space, sampler_named("random", 0), seed=0, budget=0, run_id=run)


def probing(*reports: Report | BaseException) -> Callable[[Setting], Iterator[Report]]:
    def probe(setting: Setting) -> Iterator[Report]:
        for report in reports:
            if isinstance(report, BaseException):
                raise report
            yield report

    return probe


SETTING = Setting(90, 3, 1, "linear")
messages: list[str] = []
LISTENER = Listener(messages.append)
ENDED = Evaluation(Accuracy(18, 20), {"fit": 0.5}, 20, 20)


def test_missing_trials_are_never_pruned(driver: StudyDriver, opened: Store) -> None:
    epochs = [Epoch(number, Accuracy(1, 20)) for number in range(1, 9)]
    assert make_trial(driver, probing(Extracted(20, 20, 20), *epochs, ENDED), SETTING, LISTENER) is None
    (trial,) = opened.read_study(driver.name).complete
    assert (trial.setting, trial.validation, trial.passes_made) == (SETTING, Accuracy(18, 20), 20)
    assert len(trial.curve) == 8


def test_a_missing_trial_that_fails_is_stored_with_its_reason(driver: StudyDriver, opened: Store) -> None:
    reason = make_trial(driver, probing(Extracted(9, 20, 9), RuntimeError("too\nmuch")), SETTING, LISTENER)
    assert reason == "failed: RuntimeError: too"
    assert messages[-1] == "failed: RuntimeError: too"
    (trial,) = opened.read_study(driver.name).trials
    assert (trial.state, trial.reason) == ("failed", "RuntimeError: too")
    assert (
        make_trial(driver, probing(ENDED), SETTING, LISTENER)
        == "its trial failed before, was interrupted too often, or is running now"
    )


@pytest.mark.parametrize("cause", [CacheError("the disk is full"), KeyboardInterrupt()])
def test_an_error_that_would_fail_all_trials_leaves_the_trial_to_be_repeated(
    driver: StudyDriver, opened: Store, cause: BaseException
) -> None:
    with pytest.raises(type(cause)):
        make_trial(driver, probing(Extracted(9, 20, 9), cause), SETTING, LISTENER)
    driver.abandon()
    assert make_trial(driver, probing(ENDED), SETTING, LISTENER) is None
    assert [trial.state for trial in opened.read_study(driver.name).trials] == ["interrupted", "complete"]
