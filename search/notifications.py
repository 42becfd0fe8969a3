"""Tells people that a search has ended, has failed or has a new best trial: messages by Apprise, and a shell command.

Messages hold the study's name and numbers, and no path, password or address. What fails here is said once and ends
nothing.
"""

import logging
import os
import queue
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, final

from objectives.results import Metric, StudyResults, Trial
from search.events import Event, Notice, OnEvent, RunFinished, RunPrepared, SearchStarted, TrialEnded
from search.options.run_options import RunOptions
from spaces import UsageError

BEST_SECONDS = 60.0
"""A new best trial is told at most this often."""

SEND_SECONDS = 15.0
"""Longest wait at the end of a run for messages that are still being sent."""

COMMAND_SECONDS = 600.0
"""Longest time of the command at the end of a run. Then it is killed."""


def _sender(urls: Sequence[str]) -> Any:
    """Return what sends messages to these addresses. Raises UsageError without showing an address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Apprise imports modules that Python is about to drop
        try:
            import apprise
        except ImportError:
            raise UsageError(
                "`notify` needs Apprise, which is not installed: pip install apprise, or leave `notify` out"
            ) from None
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its messages may hold an address
        sender = apprise.Apprise()
        for number, url in enumerate(urls, start=1):
            if not isinstance(url, str) or not sender.add(url):
                raise UsageError(
                    f"`notify` must be an address of Apprise, such as json://host/path or mailto://…, and number "
                    f"{number} is none; https://appriseit.com lists them"
                )
    return sender


@final
class Notifications:
    """Passes the events of a run on, and tells people of some. Use it as a context manager around the run.

    on_event: gets each event, and a Notice of the first message that cannot be sent. clock: seconds.
    """

    def __init__(self, options: RunOptions, on_event: OnEvent, clock: Callable[[], float] = time.monotonic) -> None:
        self._on_event, self._clock = on_event, clock
        self._command = options.on_finish
        self._sender: Any = _sender(options.notify) if options.notify else None
        self._messages: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._problem: str | None = None
        self._has_said = False
        self._study = ""
        self._metric: Metric | None = None
        self._best: float | None = None  # the score of the best trial
        self._told_best: float | None = None
        self._told = -BEST_SECONDS
        self._trials = 0
        self._thread = threading.Thread(target=self._send_all, name="notifications", daemon=True)

    def __call__(self, event: Event) -> None:
        """Pass an event on, and tell people of it if they want to know."""
        self._on_event(event)
        match event:
            case RunPrepared(study=study):
                self._study = study
            case SearchStarted(results):
                self._take(results)
            case TrialEnded(request, "complete", evaluation) if evaluation is not None and self._metric is not None:
                trial = Trial(
                    request.number,
                    "complete",
                    request.setting,
                    validation=evaluation.validation,
                    scores=evaluation.scores,
                )
                self._trials += 1
                estimate = trial.estimate(self._metric)
                score = None if estimate is None else self._metric.score(estimate.value)
                if score is not None and (self._best is None or score > self._best):
                    self._best = score
            case RunFinished(results):
                self._take(results)
        if not isinstance(event, RunFinished):
            self._tell_best()
        if self._problem is not None and not self._has_said:
            self._has_said = True
            self._on_event(Notice(self._problem))

    def __enter__(self) -> "Notifications":
        if self._sender is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        state = "finished" if error is None else "failed" if isinstance(error, Exception) else "interrupted"
        if self._sender is not None:
            self._tell(state, f"{self._trials_words}{self._best_words}")
            self._messages.put(None)
            self._thread.join(SEND_SECONDS)
        if self._command is not None:
            self._run_command(state)
        if self._problem is not None and not self._has_said:
            self._on_event(Notice(self._problem))

    # What is told

    def _take(self, results: StudyResults) -> None:
        """Take the best trial and the number of trials from a study."""
        self._metric, self._trials = results.metric, results.finished
        estimates = [trial.estimate(results.metric) for trial in results.complete]
        scores = [results.metric.score(estimate.value) for estimate in estimates if estimate is not None]
        self._best = self._told_best = max(scores, default=None)

    def _tell_best(self) -> None:
        """Tell a new best trial, unless one was told within the last minute: then it is told with a later event."""
        if self._sender is None or self._best in (None, self._told_best) or self._trials == 0:
            return
        if self._clock() - self._told >= BEST_SECONDS:
            self._told, self._told_best = self._clock(), self._best
            self._tell("has a new best trial", f"{self._trials_words}{self._best_words}")

    def _tell(self, what: str, text: str) -> None:
        self._messages.put((f"search {self._study or 'before its study'} {what}", text))

    @property
    def _trials_words(self) -> str:
        return f"{self._trials:,} finished trials"

    @property
    def _best_words(self) -> str:
        if self._best is None or self._metric is None:
            return ""
        return f"; best validation {self._metric.labelled_text(self._metric.score(self._best))}"

    # How it is told

    def _send_all(self) -> None:
        """Send messages in a thread of its own, so that no slow network delays the run."""
        while (message := self._messages.get()) is not None:
            title, text = message
            try:
                is_sent = self._sender.notify(title=title, body=text)
            except Exception:  # of a library for a service
                is_sent = False
            if not is_sent:
                self._problem = "a message could not be sent; the run goes on, and says so once"

    def _run_command(self, state: str) -> None:
        """Run the shell command at the end of the run."""
        value = "" if self._best is None or self._metric is None else f"{self._metric.score(self._best):.6g}"
        words = {"SEARCH_STUDY": self._study, "SEARCH_STATE": state, "SEARCH_BEST": value}
        command = str(self._command)
        try:
            ended = subprocess.run(  # noqa: S602 - the user's own command
                command,
                shell=True,
                env={**os.environ, **words},
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            self._problem = self._problem or "the command at the end of the run did not end, and was killed"
        else:
            if ended.returncode:
                self._problem = self._problem or f"the command at the end of the run failed: code {ended.returncode}"
