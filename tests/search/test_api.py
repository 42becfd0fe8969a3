"""`import search` as a Python user meets it: on a finished search, in a script, in a notebook's event loop."""

import asyncio
import html
import inspect
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest

import search
import spaces
from objectives.probing.probe import Probe
from objectives.results import CorrectMask
from search.database.store import Store
from search.events import Event, RunFinished, RunPrepared, SearchEnded, SearchStarted
from search.options.option import option_info
from search.options.run_options import RunOptions
from search.prepare import moved_options, prepare_probe
from tests.support.studies import MakeRecord

PUBLIC = {
    "run", "recommend", "load_study", "studies", "compare", "features",
    "Study", "Recommendation", "Features", "Classifier", "Client",
    "Setting", "Space", "PRESETS", "CostAwareSampler", "suggest_setting",
    "SearchError", "UsageError", "UnknownNameError", "InvalidSpaceError", "DatasetError", "BackboneError",
    "ClassifierError", "CacheError", "StorageError",
}  # fmt: skip


def test_exactly_this_is_public() -> None:
    assert set(search.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(search, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        search.runn  # noqa: B018


def test_importing_it_loads_nothing_heavy_and_changes_nothing() -> None:
    check = (
        "import logging, os, sys\n"
        "before = dict(os.environ)\n"
        "import search\n"
        "search.Setting, search.PRESETS, search.SearchError\n"
        "heavy = ('torch', 'ray', 'optuna', 'sqlalchemy', 'plotly', 'diffusers', 'numpy', 'rich', 'typer')\n"
        "heavy += ('httpx2', 'fastapi')\n"
        "print([name for name in heavy if name in sys.modules], before == dict(os.environ), logging.root.handlers)"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[] True []"


def test_another_distribution_whose_files_replaced_our_package_spaces_is_named_in_one_line(tmp_path: Path) -> None:
    for package in (search, spaces):  # pip leaves the files of both where their names differ
        folder = Path(str(package.__file__)).parent
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "spaces" / "__init__.py").write_text("class Box: ...")
    check = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import search"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("ImportError: another distribution has replaced the package `spaces`")
    assert "During handling" not in ran.stderr


def test_the_signature_and_the_help_name_every_option() -> None:
    options = {item.name for item in RunOptions.__dataclass_fields__.values() if option_info(item)}
    assert set(inspect.signature(search.run).parameters) == options | {"on_event"}
    for name in options - {"dataset"}:
        assert f"    {name}: " in (search.run.__doc__ or "")
    assert "trials" not in inspect.signature(search.recommend).parameters


def test_a_mistake_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(search.UnknownNameError, match="unknown option 'trails'; did you mean 'trials'"):
        search.run("digits", trails=3)
    with pytest.raises(search.UnknownNameError, match="did you mean 'digits'"):
        search.run("digitz", home=tmp_path / "home")
    with pytest.raises(search.UsageError, match="`trials` must be from 1 to 2,147,483,647, got 0"):
        search.run("digits", trials=0, home=tmp_path / "home")
    with pytest.raises(search.UnknownNameError, match="unknown option 'trials'"):
        search.recommend("digits", trials=3)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"home": ""}, "`home` must not be empty, got ''"),
        ({"storage": ""}, "`storage` must not be empty, got ''"),
        ({"home": 3}, "`home` must be text, got 3"),
        ({"home": "a\0b"}, "`home` must be text without the character NUL"),
        ({"storage": "foo"}, "`storage` must be a URL of SQLite or PostgreSQL, got no URL"),
    ],
)
def test_where_studies_are_is_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(search.SearchError, match=words):
        search.studies(**options)


@pytest.mark.parametrize(
    "options", [{"heads": [None]}, {"heads": [["mlp"]]}, {"objectives": [None]}, {"metric": ""}, {"backbone": ""}]
)
def test_names_that_are_no_text_or_empty_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(search.UsageError):
        search.run("folder", data_root="/nowhere", trials=1, home=tmp_path, **options)


def test_a_sampler_and_its_setting_need_a_space_and_a_trial() -> None:
    wrong: Any = None
    with pytest.raises(search.UsageError, match="`space` must be a Space, got 1"):
        search.CostAwareSampler(1, 2, 3)  # type: ignore[arg-type]
    with pytest.raises(search.UsageError, match="`trial` must be a BaseTrial, got None"):
        search.suggest_setting(wrong, wrong)


@pytest.mark.parametrize(
    "limit", [math.nan, math.inf, 0, -1, 10**5000, "5m"], ids=["NaN", "infinite", "0", "negative", "huge", "text"]
)
def test_limits_of_a_recommendation_are_numbers(limit: Any, tmp_path: Path) -> None:
    for name, rule in (
        ("passes", "expected a whole number from 1 to 2,147,483,647, got "),  # the words of the command line
        ("budget", "expected a number of seconds above 0 and at most 2,147,483,647, got "),
    ):
        with pytest.raises(search.UsageError, match=f"`{name}`: {rule}"):
            search.recommend("digits", home=tmp_path, **{name: limit})


def test_a_finished_study_is_loaded_read_reported_and_compared(finished_home: Path, tmp_path: Path) -> None:
    study = search.load_study("folder", home=finished_home)
    assert search.load_study(study.name, home=str(finished_home)).results == study.results
    assert [row.name for row in search.studies(home=finished_home)] == [study.name]
    best = study.best
    assert best.setting == study.finalists[0].setting
    assert best.test is not None
    assert best.test.low <= best.test.value <= best.test.high
    assert best.test.value == pytest.approx(study.finalists[0].test)
    assert study.name in repr(study)
    assert str(best.setting) in repr(study)
    assert f"<b>Study {study.name}</b>" in study._repr_html_()
    assert str(best.setting) in study._repr_html_()
    frame = study.trials_frame()
    assert len(frame) == len(study.trials) == 3
    assert set(frame.loc[frame.state == "complete", "accuracy"].between(0, 1)) == {True}
    assert study.report(tmp_path / "deep" / "mine.html").read_text().startswith("<!doctype html>")
    assert study.report(form="csv").parent == finished_home / "reports"
    with pytest.raises(search.UnknownNameError, match="unknown format"):
        study.report(form="pdf")
    wrong: list[Any] = [1, [], ""]
    for path in wrong:
        with pytest.raises(search.UsageError, match="`path` must"):
            study.report(path)
        with pytest.raises(search.UsageError, match="`path` must"):
            study.export(path)
    with pytest.raises(search.UsageError, match="twice"):
        search.compare(study, study.name, home=finished_home)
    with pytest.raises(search.StorageError, match="no study 'cub' in "):
        search.load_study("cub", home=finished_home)


def test_two_studies_of_the_same_test_images_are_compared(finished_home: Path, make_record: MakeRecord) -> None:
    study = search.load_study("folder", home=finished_home)
    results, finals = study.results, study.results.finals
    mask = finals[0].test_correct_mask
    assert mask is not None
    fewer = CorrectMask(mask.total, mask.bits & ~((1 << 50) - 1))  # the first 50 images are wrong
    record = make_record(
        chosen_name="second",
        dataset=results.dataset,
        dataset_fingerprint=results.provenance["dataset fingerprint"],
        classes=results.classes,
        counts=results.counts,
        space=results.space,
    )
    final = replace(finals[0], test=fewer.accuracy, test_scores=None, test_correct_mask=fewer)
    with Store.open(f"sqlite:///{finished_home}/studies.db") as store:
        store.ensure_study(record)
        store.record_final("second", final)
    compared = search.compare(study, "second", home=finished_home)
    difference = compared.paired.difference
    assert difference.value == pytest.approx(mean(final.test.value for final in finals) - fewer.accuracy.value)
    assert 0.3 < difference.low < difference.value < difference.high < 0.7
    assert difference.significant
    assert (compared.paired.images, compared.paired.second_only) == (100, 0)
    assert search.compare("second", study, home=finished_home).paired.difference.value == -difference.value


def test_a_setting_is_recommended_from_few_passes(finished_home: Path, finished_search: Path) -> None:
    recommendation = search.recommend(
        "folder",
        data_root=finished_search / "digits",
        backbone=str(finished_search / "net"),
        blocks=[9, 10],
        timesteps=[20, 300],
        pools=[1, 2],
        passes=600,
        home=finished_home,
    )
    assert recommendation.better_than_chance
    assert recommendation.setting is not None
    assert recommendation.setting.block in (9, 10)
    assert recommendation.setting.timestep in (20, 300)
    assert recommendation.setting.head == "ridge"
    low, high = recommendation.interval
    assert 0.3 < low < recommendation.accuracy < high <= 1
    assert 0 < recommendation.passes <= 600
    assert recommendation.report.is_relative_to(finished_home / "reports")
    page = recommendation.report.read_text()
    assert page.startswith("<!doctype html>")
    assert "<h1>digits</h1>" in page  # the name of the folder of the images


def test_a_study_exports_a_classifier_that_predicts(finished_home: Path, finished_search: Path, tmp_path: Path) -> None:
    study = search.load_study("folder", home=finished_home)
    path = tmp_path / "digits.safetensors"
    with pytest.warns(UserWarning, match="A linear head on raw pixels is (as good|significantly better)"):
        exported = study.export(path)
    loaded = search.Classifier.load(path)
    images = sorted((finished_search / "digits" / "test").glob("*/*.png"))[:20]
    probabilities = loaded.predict_proba(images)
    assert probabilities.shape == (20, len(loaded.classes))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    predicted = loaded.predict(images)
    assert list(predicted) == [loaded.classes[index] for index in probabilities.argmax(axis=1)]
    assert list(exported.predict(images)) == list(predicted)


def test_features_are_the_rows_of_the_dataset_from_the_cache(finished_home: Path, finished_search: Path) -> None:
    study = search.load_study("folder", home=finished_home)
    options = {
        "data_root": finished_search / "digits",
        "backbone": str(finished_search / "net"),
        "seed": 4,
        "home": finished_home,
    }
    setting = study.best.setting
    X, y, names, splits = search.features("folder", setting=setting, **options)  # noqa: N806
    assert X.dtype == np.float32
    assert len(X) == len(y) == len(splits) == 400
    assert names == study.results.classes
    counts = {name: int((splits == name).sum()) for name in set(splits)}
    assert counts == {"train": 300, "test": 100}  # those that validate in turn are "train"
    assert study.results.counts == {"train": 300, "validation": 300, "test": 100}
    assert np.isfinite(X).all()
    again = search.features("folder", setting=setting, **options).X
    np.testing.assert_array_equal(X, again)
    for wrong in (
        search.Setting(20, 99, 1, "linear"),
        search.Setting(20, 9, 99, "linear"),
        search.Setting(20, 9, 1, "linear", draws=99),
        search.Setting(99999, 9, 1, "linear"),
    ):
        with pytest.raises(search.InvalidSpaceError, match="99"):
            search.features("folder", setting=wrong, **options)


def python_lines(page: Path) -> str:
    """Return the Python lines of a report as a reader copies them."""
    match = re.search(r'<code id="python">(.*?)</code>', page.read_text(), re.DOTALL)
    assert match is not None
    return html.unescape(match[1])


@pytest.mark.parametrize("cached", [True, False], ids=["from the cache", "by new forward passes"])
def test_the_python_lines_of_a_report_read_the_features_of_the_search_bit_for_bit(
    finished_home: Path, finished_search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    study = search.load_study("folder", home=finished_home)
    setting, folder = study.best.setting, finished_home / "cache"
    assert setting.draws == 2
    with Store.open(finished_home / "studies.db", reading=True) as store:
        saved = store.saved_options(study.name)
    prepared = prepare_probe(moved_options(study.results, saved, study.home), saved.space)
    probe = Probe.build(prepared.spec, 1)
    made = probe._views[0].read(np.arange(400), setting)  # the search made all of them, the tested images too
    assert made is not None
    if not cached:
        shutil.rmtree(folder)
    lines, names = python_lines(study.report(tmp_path / "report.html")), dict[str, Any]()
    assert f"home={str(finished_home)!r}" in lines
    monkeypatch.chdir("/")  # the lines work from anywhere
    exec(lines, names)
    assert names["setting"] == setting
    assert np.array_equal(names["X"], made.flatten(1).numpy())
    assert f"# X: float32 (images, {made[0].numel()})" in lines
    assert names["names"] == study.results.classes
    assert np.array_equal(names["y"], prepared.spec.dataset.labels)
    assert {name: int((names["splits"] == name).sum()) for name in set(names["splits"])} == {"train": 300, "test": 100}


def test_features_of_a_study_take_no_options_that_the_study_fixes(finished_home: Path) -> None:
    study = search.load_study("folder", home=finished_home)
    with pytest.raises(search.UnknownNameError, match="unknown option 'seed'; known: backbone, data_root"):
        search.features(study, seed=3)
    missing: Any = None
    with pytest.raises(search.UsageError, match="`setting` must be a search"):
        search.features("folder", setting=missing)


def test_a_recommendation_says_its_setting_and_how_certain_it_is(finished_search: Path, tmp_path: Path) -> None:
    recommendation = search.recommend(
        "folder",
        data_root=finished_search / "digits",
        backbone=str(finished_search / "net"),
        blocks=range(9, 12),
        timesteps=[20, 200],
        passes=700,
        home=tmp_path / "home",
        memory=False,
    )
    low, high = recommendation.interval
    assert 0 <= low <= recommendation.accuracy <= high <= 1
    assert recommendation.passes <= 700
    assert recommendation.report.is_file()
    assert recommendation.setting is not None
    assert recommendation.setting.block in range(9, 12)
    assert str(recommendation.setting).removesuffix(", ridge") in repr(recommendation)
    names: dict[str, Any] = {}
    exec(python_lines(recommendation.report), names)
    assert names["setting"] == recommendation.setting
    assert names["X"].shape[0] == 400
    assert f"{recommendation.accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}" in repr(recommendation)
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f}" in recommendation._repr_html_()


@pytest.mark.slow
def test_a_search_runs_inside_an_event_loop_and_sends_events(tmp_path: Path) -> None:
    events: list[Event] = []

    async def in_a_notebook() -> search.Study:
        return search.run(
            "digits",
            trials=2,
            heads=["ridge"],
            blocks=range(8, 10),
            timesteps=[20],
            pools=[1],
            finalists=1,
            final_seeds=1,
            home=tmp_path / "home",
            on_event=events.append,
        )

    study = asyncio.run(in_a_notebook())
    assert study.results.finished == 2
    kinds = [type(event) for event in events]
    assert kinds[0] is RunPrepared
    assert kinds[-1] is RunFinished
    assert kinds.index(SearchStarted) < kinds.index(SearchEnded)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].report.is_file()


@pytest.mark.slow
def test_a_script_without_a_main_guard_runs_and_prints_nothing_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import search\n"
        "study = search.run('digits', trials=1, heads=['ridge'], blocks=[8], timesteps=[20], pools=[1], finalists=1,\n"
        f"                   final_seeds=1, home={str(tmp_path / 'home')!r})\n"
        "print(study.best.setting)\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=300)
    assert ran.stdout.strip().startswith("block 8, t 20, pool 1, ridge")
    assert len(ran.stdout.splitlines()) == 1
