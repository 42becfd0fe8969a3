"""A search is checked before it is queued, and its options are the same for the worker."""

import json
from pathlib import Path

import pytest

from search.options.run_options import RunOptions
from search.queue.submission import job_options, job_record, login_name, submit
from spaces import DatasetError, InvalidSpaceError, UnknownNameError, UsageError


def test_a_job_keeps_the_options_that_are_not_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "narrow.toml").write_text("pools = [1]\n")
    (tmp_path / "data").mkdir()
    options = RunOptions(
        "folder",
        data_root="data",
        space="narrow.toml",
        blocks=range(3, 5),
        heads=("linear",),
        trials=8,
        warm_start=False,
        home=tmp_path / "home",
        storage="postgresql://search:secret@host/database",
    )
    record = json.loads(json.dumps(job_record(options, "run", {})))
    assert record == {
        "dataset": "folder",
        "data_root": f"{tmp_path}/data",
        "space": f"{tmp_path}/narrow.toml",
        "blocks": [3, 4],
        "heads": ["linear"],
        "trials": 8,
        "warm_start": False,
    }
    again = job_options(record, "elsewhere", None)
    assert (again.options.home, again.options.storage, again.options.blocks) == ("elsewhere", None, [3, 4])
    assert again.limits == {}


def test_a_recommendation_keeps_its_limits(tmp_path: Path) -> None:
    options = RunOptions("digits", blocks=[3], home=tmp_path)
    record = job_record(options, "recommend", {"passes": 500, "memory": False})
    assert record == {"dataset": "digits", "blocks": [3], "passes": 500, "memory": False}
    assert job_options(record, tmp_path, None).limits == {"passes": 500, "memory": False}
    with pytest.raises(UsageError, match="unknown option of a recommendation 'trials'"):
        job_record(RunOptions("digits", trials=3), "recommend", {})
    with pytest.raises(UsageError, match="unknown limit 'passes'"):
        job_record(options, "run", {"passes": 500})


def test_a_job_keeps_no_secret() -> None:
    with pytest.raises(UsageError, match="`notify` may hold a password, which no job keeps; leave it out"):
        job_record(RunOptions("digits", notify=["slack://token@channel"]), "run", {})


def test_an_option_of_a_newer_version_is_an_error_in_words() -> None:
    with pytest.raises(UnknownNameError, match="unknown option 'colour'"):
        job_options({"dataset": "digits", "colour": 3}, None, None)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dataset": "digit"}, UnknownNameError),
        ({"dataset": "digits", "sampler": "tp"}, UnknownNameError),
        ({"dataset": "digits", "blocks": [99]}, InvalidSpaceError),
        ({"dataset": "digits", "draws": [0, 1, 99999999]}, InvalidSpaceError),
        ({"dataset": "digits", "taps": [9]}, InvalidSpaceError),
        ({"dataset": "digits", "pools": [77]}, InvalidSpaceError),
        ({"dataset": "digits", "seed": 2**32 - 1}, UsageError),
        ({"dataset": "folder", "data_root": "/nowhere"}, DatasetError),
    ],
)
def test_what_a_run_refuses_is_not_queued(tmp_path: Path, options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        submit(RunOptions(**options, home=tmp_path))  # type: ignore[arg-type]
    assert not (tmp_path / "studies.db").exists()


def test_a_job_may_ask_for_more_than_this_machine_has(tmp_path: Path) -> None:
    job = submit(RunOptions("digits", workers=500, home=tmp_path), priority=3)
    assert (job.state, job.owner, job.priority) == ("queued", login_name(), 3)
    assert job.options == {"dataset": "digits", "workers": 500}
    with pytest.raises(UsageError, match="`priority` must be from"):
        submit(RunOptions("digits", home=tmp_path), priority=10**7)
