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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Literal, final

from search.queue.progress import JobProgress, screening_progress
from search.queue.submission import JobOptions, job_options
from search.scheduling.signals import exit_code, interrupt_at_signals
from spaces import SearchError

LAST_SECONDS = 12.0
"""Longest wait for this process to end in good order after its worker has ended."""

PROGRESS_SECONDS = 1.0
"""Least time between two messages about the progress within one stage."""

End = Literal["finished", "failed", "died", "interrupted"]
"""The end of a job's process. "died": it failed, and not because of the job; so the job is tried again."""


@dataclass(frozen=True)
class Task:
    """A job, as its process gets it. home, storage: as of a search; the latter may hold a password."""

    kind: str
    record: Mapping[str, Any]
    home: str | None
    storage: str | None

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
    job = job_options(task.record, task.home, task.storage)
    return _recommend(job, reporter) if task.kind == "recommend" else _search(job, reporter)


def _search(job: JobOptions, reporter: Reporter) -> dict[str, Any]:
    """Search, and return the answer as `search best --json` prints it."""
    from search.display.run_display import RunDisplay
    from search.events import Event
    from search.reports.answer import answer_lines, answer_record
    from search.running import process

    progress = JobProgress()

    def on_event(event: Event) -> None:
        display(event)
        known = progress.study
        progress(event)
        if progress.study != known:
            reporter.send(study=progress.study)
        reporter.progress(progress.record())

    with RunDisplay.on_file(sys.stderr) as display:
        results = process.run(job.options, on_event)
    for line in answer_lines(results):
        _log(line)
    return answer_record(results)


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
