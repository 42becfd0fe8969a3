"""What people are told of a run: real messages to a real server, and a real command."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from objectives.results import Accuracy, Evaluation, Trial
from search.events import Event, Notice, RunFinished, SearchStarted, TrialEnded
from search.notifications import Notifications
from search.options.run_options import RunOptions
from search.scheduling.requests import TrialRequest
from spaces import Setting, UsageError
from tests.support.studies import small_results
from tests.support.terminal_process import workload

BEFORE = small_results((Trial(0, "complete", Setting(10, 3, 1, "linear"), validation=Accuracy(80, 100)),))


class Received(BaseHTTPRequestHandler):
    messages: list[dict[str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Received.messages = []
    with HTTPServer(("127.0.0.1", 0), Received) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}/hUsh7"
        server.shutdown()


def ended(number: int, correct: int) -> TrialEnded:
    setting = Setting(10, 3, number, "linear")
    evaluation = Evaluation(Accuracy(correct, 100), {}, 0, 0, {}, correct / 100)
    return TrialEnded(TrialRequest(number, setting, 1), "complete", evaluation)


def run(options: RunOptions, on_event: Callable[[Event], None], error: BaseException | None = None) -> None:
    """Send the events of a short run, which ends with an error if there is one."""
    with Notifications(options, on_event) as notifications:
        notifications(SearchStarted(BEFORE, 9, "plan", workload(1)))
        notifications(ended(1, 70))
        if error is not None:
            raise error


def test_the_end_and_at_most_one_best_trial_a_minute_are_told(address: str) -> None:
    now, events = 0.0, list[Event]()
    with Notifications(RunOptions("digits", notify=[address]), events.append, lambda: now) as notifications:
        notifications(SearchStarted(BEFORE, 9, "plan", workload(1)))
        for number, correct in ((1, 70), (2, 85), (3, 90), (4, 91)):
            notifications(ended(number, correct))
        now = 61.0
        notifications(ended(5, 60))
        notifications(RunFinished(BEFORE, "enough, see /home/me", Path("/home/me/report.html")))
    titles = [message["title"].rpartition(" has ")[2] or message["title"] for message in Received.messages]
    texts = [message["message"] for message in Received.messages]
    assert texts == [
        "3 finished trials; best validation 85.0 %",
        "6 finished trials; best validation 91.0 %",
        "1 finished trials; best validation 80.0 %",
    ]
    assert titles[:2] == ["a new best trial"] * 2
    assert Received.messages[-1]["title"].endswith("finished")
    assert "/home" not in json.dumps(Received.messages)
    assert not any(isinstance(event, Notice) for event in events)


def test_a_failing_message_and_command_are_said_once_and_end_nothing() -> None:
    events = list[Event]()
    options = RunOptions("digits", notify=["json://127.0.0.1:9/hUsh7"], on_finish="exit 3")
    with pytest.raises(ValueError, match="the search itself"):
        run(options, events.append, ValueError("the search itself"))
    assert "hUsh7" not in repr(options)
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "a message could not be sent; the run goes on, and says so once"
    ]


@pytest.mark.parametrize(
    ("error", "state"), [(None, "finished"), (OSError("a"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_the_command_gets_the_study_its_state_and_its_best(
    error: BaseException | None, state: str, tmp_path: Path
) -> None:
    options = RunOptions("digits", on_finish=f'echo "$SEARCH_STATE $SEARCH_BEST" > {tmp_path}/told')
    with nullcontext() if error is None else pytest.raises(type(error)):
        run(options, lambda event: None, error)
    assert (tmp_path / "told").read_text() == f"{state} 0.8\n"


def test_an_address_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="number 2 is none") as refused:
        Notifications(RunOptions("digits", notify=["json://host", "hUsh7://host"]), lambda event: None)
    assert "hUsh7" not in str(refused.value)
