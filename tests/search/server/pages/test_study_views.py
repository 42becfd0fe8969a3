"""Studies as pages show them, while runs work on them and afterwards."""

from datetime import UTC, datetime
from typing import Any

import pytest

from search.database.records import RunSummary, StudyRequest
from search.server.access.identity import Caller
from search.server.pages.rendering import render
from search.server.pages.study_views import StudyView, study_view
from tests.support.studies import small_results

NOW = datetime.now(UTC)
ADMIN, RUNNER = Caller("root", "admin"), Caller("anna", "runner")


def make_run(**changes: Any) -> RunSummary:
    facts: dict[str, Any] = {
        "host": "hal",
        "pid": 4711,
        "started": NOW,
        "ended": None,
        "state": "running",
        "alive": True,
        "workers": 2,
        "command": "search run --dataset digits --trials 40",
        "options": {"trials": 40},
        "ends": (),
    }
    return RunSummary(**(facts | changes))


def view_of(request: StudyRequest | None = None, caller: Caller = ADMIN, **changes: Any) -> StudyView:
    return study_view(small_results(), (make_run(**changes),), request, caller, 3, None)


def test_a_study_at_work_shows_its_run() -> None:
    view = view_of()
    assert (view.at_work, view.state, view.goal, view.finished) == (True, "running now", 40, 0)
    assert view.work[0].endswith("on hal, process 4711, 2 workers")
    assert view.work[1].startswith("0 of 40 trials")
    page = render("study_state.html", study=view)
    assert '<progress aria-label="Finished trials" max="40" value="0">' in page
    assert "data-ended" not in page


def test_a_study_without_a_run_offers_no_control() -> None:
    view = view_of(alive=False, ended=NOW, state="finished")
    assert (view.at_work, view.state, view.work, view.actions) == (False, "", (), ())
    assert ("last run", [f"{NOW.astimezone():%Y-%m-%d %H:%M} on hal: finished"]) in view.facts
    assert "data-ended" in render("study_state.html", study=view)


@pytest.mark.parametrize(
    ("request_", "caller", "actions"),
    [
        (None, ADMIN, ["pause", "stop", "stop-now"]),
        ("pause", ADMIN, ["resume", "stop", "stop-now"]),
        ("stop", ADMIN, ["stop-now"]),
        ("stop now", ADMIN, []),
        (None, RUNNER, []),
    ],
)
def test_an_admin_controls_the_runs_of_a_study(
    request_: StudyRequest | None, caller: Caller, actions: list[str]
) -> None:
    assert [action for action, _ in view_of(request_, caller).actions] == actions
