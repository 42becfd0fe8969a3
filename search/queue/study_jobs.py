"""Submits the jobs of a study: its answer as a classifier, and settings that a person wants tried in it.

The options of a job "export" are `data_root` and `backbone`, where the images and the network of the study have moved.
Those of a job "try" are `settings`, as a person types them, and `finals`, if the answer is tested then.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from objectives.home import Home
from objectives.results import StudyResults
from search.database.jobs.job_table import Job, JobKind, JobTable
from search.database.store import Store
from search.prepare import moved_options, options_of_study
from search.reports.answer import answer_of
from search.running.chosen_settings import chosen_setting, setting_text
from spaces import SearchError, Setting


def submit_export(
    store: Store,
    home: Home,
    study: StudyResults,
    owner: str,
    data_root: str | Path | None = None,
    backbone: str | Path | None = None,
) -> Job:
    """Queue the export of a study's answer as a classifier, and return the job.

    data_root, backbone: where the images and the network lie now, if they have moved. Raises SearchError where no trial
    is complete, and as `moved_options` does; then nothing is queued.
    """
    answer_of(study)
    moved_options(study, store.saved_options(study.name), home, data_root, backbone)
    places = {"data_root": data_root, "backbone": backbone}
    options = {name: str(place) for name, place in places.items() if place is not None}
    return _submitted(store, "export", options, owner, study.name)


def settings_in(study: StudyResults, settings: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Return the settings of a study's space that a person means; see `chosen_setting`, which raises."""
    if study.space is None:
        raise SearchError(f"study {study.name} was made before studies kept their space; `search run` begins a new one")
    return [chosen_setting(setting, study.space) for setting in settings]


def submit_settings(
    store: Store, home: Home, study: StudyResults, settings: Sequence[Setting], finals: bool, owner: str
) -> Job | None:
    """Let settings be tried in a study, and return the job that does; None where there is none.

    There is none where a run works on the study, which tries them before its others, and where they are measured
    already. finals: whether the candidates are compared and the answer is tested after them. Raises SearchError where
    the study cannot be continued; then nothing is queued.
    """
    if store.live_runs(study.name):
        store.enqueue(study.name, settings)
        return None
    measured = {trial.setting for trial in study.complete}
    if measured.issuperset(settings) and not finals:
        return None
    options_of_study(study, store.saved_options(study.name), home)
    options: dict[str, Any] = {"settings": [setting_text(setting) for setting in settings]}
    return _submitted(store, "try", options | ({"finals": True} if finals else {}), owner, study.name)


def _submitted(store: Store, kind: JobKind, options: Mapping[str, Any], owner: str, study: str) -> Job:
    jobs = JobTable(store)
    return jobs.job(jobs.submit(kind, options, owner, study=study))
