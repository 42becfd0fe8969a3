"""The process of one job: runs it, and reports to the worker that started it.

    python -m search.queue.process JOB

The worker writes a `Task` to standard input as one line of JSON and keeps the pipe open. The end of the pipe is the end
of the worker: then this process ends in good order too. Standard output takes messages to the worker, one line of JSON
each; all that anybody prints goes to standard error, which is the log of the job.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Literal, final

from search.queue.progress import JobProgress, screening_progress
from search.queue.submission import JobOptions, job_options
from search.scheduling.signals import exit_code, interrupt_at_signals
from spaces import SearchError

if TYPE_CHECKING:
    from objectives.home import Home
    from objectives.results import StudyResults
    from search.database.records import SavedOptions
    from search.events import OnEvent

LAST_SECONDS = 12.0
"""Longest wait for this process to end in good order after its worker has ended."""

PROGRESS_SECONDS = 1.0
"""Least time between two messages about the progress within one stage."""

End = Literal["finished", "failed", "died", "interrupted"]
"""The end of a job's process. "died": it failed, and not because of the job; so the job is tried again."""


@dataclass(frozen=True)
class Task:
    """A job, as its process gets it.

    kind, record, study: as of `JobRow`; the second are its options. home, storage: as of a search; the latter may hold
    a password.
    """

    kind: str
    record: Mapping[str, Any]
    home: str | None
    storage: str | None
    study: str | None = None

    def line(self) -> str:
        """Return the task as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


@final
class Reporter:
    """Sends messages to the worker."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        self._last: Mapping[str, Any] = {}
        self._sent = 0.0

    def send(self, **message: Any) -> None:
        """Send a message. A worker that has ended gets none."""
        try:
            self._output.write(json.dumps(message) + "\n")
            self._output.flush()
        except OSError:
            pass

    def progress(self, record: Mapping[str, Any]) -> None:
        """Send the progress, unless the last one of the same stage was sent a moment ago.

        What changes while a study is paused is sent at once: nothing may follow it for long.
        """
        moment, last = time.monotonic(), self._last
        is_news = record["stage"] != last.get("stage") or (record["stage"] == "paused" and record != last)
        if is_news or moment - self._sent >= PROGRESS_SECONDS:
            self._last, self._sent = record, moment
            self.send(progress=record)


def main() -> int:
    """Run the job that the worker sends. Return the exit code."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    interrupt_at_signals()
    reporter = Reporter(messages)
    try:
        task = Task(**json.loads(sys.stdin.readline()))
        threading.Thread(target=_end_with_worker, daemon=True).start()
        reporter.send(end="finished", result=_run(task, reporter))
    except KeyboardInterrupt:
        reporter.send(end="interrupted")
        return exit_code()
    except Exception as error:
        reporter.send(end=end_of(error), error=_words(error))
        return 1
    return 0


def end_of(error: Exception) -> End:
    """Return how an error ends a job: "died" where the same job may succeed the next time, else "failed"."""
    from search.database.connection.outages import UnusableError
    from search.running.process import ProcessDiedError

    return "died" if isinstance(error, (UnusableError, ProcessDiedError)) else "failed"


def _words(error: Exception) -> str:
    """Return an error in words. What is no SearchError is a fault of the program, and its traceback goes to the log."""
    if isinstance(error, SearchError):
        _log(f"error: {error}")
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}; the log of the job has the traceback"


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _end_with_worker() -> None:
    """Wait for the end of the worker, and then end this process in good order."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)


def _run(task: Task, reporter: Reporter) -> dict[str, Any]:
    match task.kind:
        case "export":
            return _export(task, reporter)
        case "try":
            return _try(task, reporter)
        case "recommend":
            return _recommend(job_options(task.record, task.home, task.storage), reporter)
        case _:
            return _search(job_options(task.record, task.home, task.storage), reporter)


def _search(job: JobOptions, reporter: Reporter) -> dict[str, Any]:
    """Search, and return the answer as `search best --json` prints it."""
    from search.reports.answer import answer_lines, answer_record
    from search.running import process

    with _reporting(reporter) as on_event:
        results = process.run(job.options, on_event)
    for line in answer_lines(results):
        _log(line)
    return answer_record(results)


def _try(task: Task, reporter: Reporter) -> dict[str, Any]:
    """Try settings in a study, and return how they did; see `tried_records`."""
    from search.prepare import options_of_study
    from search.running.chosen_settings import parsed_setting
    from search.study.control import tried_records, try_settings

    study, saved, home = _study_of(task)
    # As of `search try`: the machine is another one than that of the last run, and halving could stop the trials.
    own: dict[str, Any] = {"storage": task.storage, "workers": None, "gpus_per_trial": None, "halving": False}
    options = replace(options_of_study(study, saved, home), **own)
    settings = [parsed_setting(text) for text in task.record["settings"]]
    with _reporting(reporter) as on_event:
        results = try_settings(options, settings, task.record.get("finals", False), on_event)
    return {"study": results.name, "tried": tried_records(results, settings)}


def _export(task: Task, reporter: Reporter) -> dict[str, Any]:
    """Export the answer of a study as a classifier, and return the name and the files of that."""
    from search.display.counter import counter
    from search.study.export import export_classifier

    def on_progress(done: int, total: int) -> None:
        update(done, total)
        reporter.progress(screening_progress("features", done, total, "passes"))

    places = (task.record.get("data_root"), task.record.get("backbone"))
    study, saved, home = _study_of(task)
    with counter("passes") as update:
        exported = export_classifier(study, saved, home, None, *places, on_progress)
    for line in (*exported.notes, f"classifier  {exported.path}"):
        _log(line)
    return {
        "study": study.name,
        "classifier": exported.path.stem,
        "file": str(exported.path),
        "page": str(exported.page),
        "notes": [*exported.notes],
    }


def _study_of(task: Task) -> "tuple[StudyResults, SavedOptions, Home]":
    """Return the study of a task, what its runs have kept, and the home folder."""
    from objectives.home import Home
    from search.database.store import Store

    assert task.study is not None
    home = Home.at(task.home)
    with Store.open(task.storage or home.storage, reading=True) as store:
        return store.read_study(task.study), store.saved_options(task.study), home


@contextmanager
def _reporting(reporter: Reporter) -> "Iterator[OnEvent]":
    """Yield what takes the events of a run: it prints them into the log and reports the progress."""
    from search.display.run_display import RunDisplay
    from search.events import Event

    progress = JobProgress()

    def on_event(event: Event) -> None:
        display(event)
        known = progress.study
        progress(event)
        if progress.study != known:
            reporter.send(study=progress.study)
        reporter.progress(progress.record())

    with RunDisplay.on_file(sys.stderr) as display:
        yield on_event


def _recommend(job: JobOptions, reporter: Reporter) -> dict[str, Any]:
    """Recommend a setting, and return it as `search recommend --json` prints it."""
    from search.recommendation import recommend as recommending

    def on_progress(done: int, total: int, what: str) -> None:
        _log(f"{what}: {done} of {total}")
        reporter.progress(screening_progress("screening", done, total, what))

    limits = job.limits
    recommendation = recommending.recommend(
        job.options, limits.get("passes"), limits.get("budget"), limits.get("memory", True), on_progress
    )
    record = recommending.screening_record(recommendation.results)
    reporter.progress(screening_progress("finished", recommendation.passes, recommendation.passes, "passes"))
    return record | {
        "seconds": recommendation.seconds,
        "report": str(recommendation.report),
        "left_out": [*recommendation.left_out],
        "notes": [*recommendation.notes],
    }


if __name__ == "__main__":
    sys.exit(main())
