"""Controls a study: stop, pause and resume its runs; try settings; delete and rename it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.home import Home
from objectives.results import StudyResults
from search.options.run_options import RunOptions, check_study_name
from search.study.choice import named_studies
from spaces import SearchError, Setting, StorageError, UsageError

if TYPE_CHECKING:
    from search.database.records import RunSummary, StudyRequest, StudySummary
    from search.database.store import Store
    from search.events import OnEvent


@dataclass(frozen=True)
class Requested:
    """A request to the runs of a study. runs: those that are alive, which heed it within a few seconds."""

    study: str
    runs: "tuple[RunSummary, ...]"

    @property
    def places(self) -> str:
        """Where the runs work: "process 4711 on hal"."""
        return ", ".join(f"process {run.pid} on {run.host}" for run in self.runs)


def request_stop(store: "Store", study: str, now: bool = False) -> Requested:
    """Ask the runs of a study to end. What runs already finishes, the answer is tested, and the report is written.

    A run that tests the answer already begins no further fit. study: its name, or its dataset's. now: end at once,
    give unfinished trials back and test nothing. Raises SearchError where no run works on the study.
    """
    return _request(store, study, "stop now" if now else "stop")


def request_pause(store: "Store", study: str) -> Requested:
    """Ask the runs of a study to begin nothing until they are resumed. Raises as `request_stop` does."""
    return _request(store, study, "pause")


def request_resume(store: "Store", study: str) -> Requested:
    """Let the paused runs of a study go on. Raises SearchError where none is paused."""
    name = _working_study(store, study).name
    if store.read_request(name) != "pause":
        raise SearchError(f"study {name} is not paused; its run goes on")
    return _request(store, study, None)


def _request(store: "Store", study: str, request: "StudyRequest | None") -> Requested:
    name = _working_study(store, study).name
    if request == "pause" and store.read_request(name) not in (None, "pause"):
        raise SearchError(f"study {name} is being stopped, so that it cannot be paused")
    store.record_request(name, request)
    return Requested(name, tuple(run for run in store.read_runs(name) if run.alive))


def _working_study(store: "Store", study: str) -> "StudySummary":
    """Return the one study of a name, or of a dataset's name, on which a run works. Raises SearchError otherwise."""
    found = named_studies(store, study)
    working = [summary for summary in found if summary.at_work]
    if not working:
        raise SearchError(f"no run works on study {found[0].name}; `search status` lists the studies")
    return _only(working, study)


def _only(studies: "list[StudySummary]", study: str) -> "StudySummary":
    if len(studies) > 1:
        names = ", ".join(summary.name for summary in studies)
        raise SearchError(f"{study} has several studies: {names}; name one of them")
    return studies[0]


def try_settings(
    options: RunOptions,
    settings: Sequence[Setting | Mapping[str, Any]],
    finals: bool = False,
    on_event: "OnEvent" = lambda event: None,
    began: float | None = None,
) -> StudyResults:
    """Try some settings in the study of the options, and nothing else; return the study.

    settings: see `search.running.chosen_settings.chosen_setting`. Those that the study has measured already are not
    tried again. If a run works on the study, it tries them, and this returns at once. finals: whether the
    candidates are then compared and the answer is tested. on_event, began: as of `search.running.process.run`, which
    raises as here.
    """
    from search.running import process

    if not settings:
        raise UsageError("`setting` is missing; try block=19,timestep=90,pool=4,head=linear")
    chosen = replace(options, settings=tuple(settings), finals=finals, trials=len(settings))
    return process.run(chosen, on_event, began)


def tried_records(study: StudyResults, settings: Sequence[Setting | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how settings did in a study, ready for JSON.

    Each has its `setting`, the `state` of its trial, "waiting" without one, the `validation` value and its 95 %
    `interval`, None without them, and `words` that say it. A study of a first version has no space, and so no records.
    """
    from search.running.chosen_settings import chosen_setting

    if study.space is None:
        return []
    trials = {trial.setting: trial for trial in study.trials}
    records = []
    for given in settings:
        setting = chosen_setting(given, study.space)
        trial = trials.get(setting)
        estimate = trial.estimate(study.metric) if trial is not None else None
        if trial is None:
            words = "is not tried yet"
        elif estimate is None:
            words = trial.reason or trial.state
        else:
            low, high = study.metric.number(estimate.low), study.metric.number(estimate.high)
            words = f"validation {study.metric.text(estimate.value)}  (95 % interval {low} to {high})"
        records.append(
            {
                "setting": setting.to_dict(),
                "state": trial.state if trial is not None else "waiting",
                "validation": estimate and estimate.value,
                "interval": estimate and [estimate.low, estimate.high],
                "words": words,
            }
        )
    return records


@dataclass(frozen=True)
class Deletion:
    """The parts of a study, before they are deleted.

    trials, finals: how many. pages: of its report. classifiers: files that stay, since they work without the study.
    others: studies that use the same cached features, which stay too.
    """

    study: str
    dataset: str
    trials: int
    finals: int
    pages: tuple[Path, ...]
    classifiers: tuple[Path, ...]
    others: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """Lines that say what goes and what stays."""
        used = f"studies that use them: {', '.join(self.others)}" if self.others else "no other study uses them"
        remedy = "" if self.others else f"; `search cache prune --dataset {self.dataset}` removes all of this dataset"
        return [
            f"goes        study {self.study} with {self.trials:,} trials and {self.finals:,} finals",
            *(f"goes        {page}" for page in self.pages),
            *(f"stays       {file}" for file in self.classifiers),
            f"stays       its features in the cache; {used}{remedy}",
        ]


def deletion(store: "Store", home: Home, study: str) -> Deletion:
    """Return what `delete_study` deletes. study: its name, or the name of a dataset that has one study.

    Raises SearchError where there is no such study, or a run works on it.
    """
    summary = _idle_study(store, study)
    results = store.read_study(summary.name)
    key = (summary.dataset_fingerprint, summary.weights_digest, summary.seed)
    return Deletion(
        summary.name,
        summary.dataset,
        len(results.trials),
        len(results.finals),
        _files(home.reports, summary.name),
        _files(home.classifiers, summary.name),
        tuple(
            other.name
            for other in store.studies()
            if other.name != summary.name and (other.dataset_fingerprint, other.weights_digest, other.seed) == key
        ),
    )


def delete_study(store: "Store", home: Home, study: str) -> Deletion:
    """Delete a study: its trials, its results and the pages of its report. Return what was deleted.

    Its classifiers stay, and so do its features in the cache. Raises as `deletion` does.
    """
    parts = deletion(store, home, study)
    store.delete_study(parts.study)
    for page in parts.pages:
        page.unlink(missing_ok=True)
    return parts


def rename_study(store: "Store", home: Home, study: str, new: str, field: str = "name") -> str:
    """Rename a study, in Optuna too, with its report and its classifiers. Return its former name.

    field: what an error calls the new name. The next run needs the new name as its option `name`. Raises SearchError
    where there is no such study, where a run works on it, and where the new name is that of another study, or cannot be
    one.
    """
    check_study_name(new, field)
    name = _idle_study(store, study).name
    if new == name:
        raise SearchError(f"study {name} has that name already")
    store.rename_study(name, new)
    for folder in (home.classifiers, home.reports):
        for file in _files(folder, name):
            file.replace(file.with_name(new + file.name.removeprefix(name)))
    if (home.reports / f"{new}.html").is_file():
        from search.reports.study_report import publish

        publish(store.read_study(new), store, home.reports)  # its pages say the name
    return name


def _idle_study(store: "Store", study: str) -> "StudySummary":
    summary = _only(named_studies(store, study), study)
    if summary.at_work:
        raise StorageError(f"a run works on study {summary.name}; `search stop {summary.name}` ends it")
    return summary


def _files(folder: Path, study: str) -> tuple[Path, ...]:
    """Return the files of a study in a folder: its name with one suffix, such as .html."""
    return tuple(sorted(file for file in folder.glob("*") if file.is_file() and file.stem == study))
