"""The state of a study and of its runs, as lines for people and as JSON-ready values."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from objectives.results import StudyResults, TrialState
    from search.database.records import RunSummary, StudyRequest, StudySummary
    from search.database.store import Store

STATES: "tuple[TrialState, ...]" = ("complete", "pruned", "failed", "running", "interrupted")

Facts = list[tuple[str, list[str]]]
"""Labels, and what they label: paragraphs."""

FAILURES_SHOWN = 3
"""Failed trials that are printed, the latest first."""


def summary_record(row: "StudySummary") -> dict[str, Any]:
    """Return one line of the list of studies as JSON-ready values."""
    return {
        "study": row.name,
        "dataset": row.dataset,
        "backbone": row.backbone,
        "settings": row.space_size,
        "trials": {state: getattr(row, state) for state in STATES},
        "waiting": row.waiting,
        "others": row.others,
        "metric": row.metric.name,
        "best": None if row.best is None else row.metric.score(row.best),
        "last_run": row.last_run and row.last_run.isoformat(),
        "at_work": row.at_work,
        "request": row.request,
    }


@dataclass(frozen=True)
class StudyState:
    """The state of a study.

    runs: the runs of the study, in the order in which they started. report: the report file; None if there is none yet.
    storage: the URL of the study database, without its password.
    """

    study: "StudyResults"
    runs: "tuple[RunSummary, ...]"
    report: Path | None
    storage: str

    @classmethod
    def of(cls, store: "Store", name: str, reports: Path) -> Self:
        """Read the state of a study. reports: the folder of the reports."""
        report = reports / f"{name}.html"
        return cls(
            store.read_study(name), store.read_runs(name), report if report.is_file() else None, str(store.address)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON-ready values.

        best: the same values that `search best --json` prints; None if no trial is complete.
        """
        from search.reports.answer import answer_record

        study = self.study
        return {
            "study": study.name,
            "dataset": study.dataset,
            "backbone": study.backbone,
            "settings": study.space_size,
            "trials": {state: study.count(state) for state in STATES},
            "waiting": study.waiting,
            "others": study.others,
            "best": answer_record(study) if study.complete or study.finals else None,
            "passes": study.passes_made,
            "passes_saved": study.passes_needed - study.passes_made,
            "runs": [self._run(run) for run in self.runs],
            "failures": [
                {"trial": trial.number, "setting": trial.setting.to_dict(), "reason": trial.reason}
                for trial in study.trials
                if trial.state == "failed"
            ],
            "report": self.report,
            "storage": self.storage,
        }

    def lines(self) -> list[str]:
        """Return the state as lines of a terminal."""
        from search.reports.answer import labelled

        if self.report is None:
            report = "not written yet; a run writes it when it has finished"
        else:
            report = f"{self.report}, written {_moment(datetime.fromtimestamp(self.report.stat().st_mtime, UTC))}"
        return labelled([*self.facts(), ("report", [report]), ("storage", [self.storage])])

    def facts(self) -> Facts:
        """Return the state for people. Several failed trials have a label each."""
        from search.reports.answer import passes_facts

        working = [("running", paragraphs) for paragraphs in self.work()]
        return [*self.begin(), *self._best_facts(), *passes_facts(self.study).items(), *working, *self.end()]

    def begin(self) -> Facts:
        """Return what the study is about, and its trials."""
        from dashboards.formatting import image_counts, other_trials

        study = self.study
        trials = ", ".join(f"{study.count(s)} {s}" for s in STATES if s != "interrupted" or study.count(s))
        return [
            ("study", [study.name]),
            ("dataset", [f"{study.dataset}: {image_counts(study.counts, study.folds)}"]),
            ("backbone", [f"{study.backbone}, {study.space_size:,} settings"]),
            ("trials", [trials, *other_trials(study.waiting, study.others)]),
        ]

    def work(self) -> list[list[str]]:
        """Return paragraphs about each run that is alive: where it works, how far it is, and its trials."""
        return [self._work_paragraphs(run) for run in self.runs if run.alive]

    def end(self) -> Facts:
        """Return how the last run ended, the last failed trials, and the command of the last run."""
        facts: Facts = []
        last = self.runs[-1] if self.runs else None
        if last is not None and not last.alive:
            ended = f"{_moment(last.started)} on {last.host}: {_ended(last)}"
            facts.append(("last run", [ended, *([last.reason] if last.reason else [])]))
        failed = sorted((t for t in self.study.trials if t.state == "failed"), key=lambda trial: -trial.number)
        for trial in failed[:FAILURES_SHOWN]:
            facts.append(("failed", [f"trial {trial.number}: {trial.setting}", str(trial.reason)]))
        if len(failed) > FAILURES_SHOWN:
            facts[-1][1].append(f"and {len(failed) - FAILURES_SHOWN} earlier ones; --json lists all")
        if last is not None:
            facts.append(("command", [last.command]))
        return facts

    def _best_facts(self) -> Facts:
        from dashboards.study.answer.answer import study_answer
        from search.reports.answer import certainty_facts, score_facts

        answer = study_answer(self.study)
        if answer is None:
            return [("best", ["no trial is complete yet"])]
        running = any(run.alive for run in self.runs)
        facts = {"setting": [str(answer.setting)], **score_facts(self.study, running)}
        return [*(facts | certainty_facts(self.study, answer)).items()]

    def _work_paragraphs(self, run: "RunSummary") -> list[str]:
        from search.display.pace import time_left

        workers = f"{run.workers} worker{'' if run.workers == 1 else 's'}"
        goal, pace, left = self._pace(run)
        facts = [f"{self.study.finished} of {goal} trials" if goal else f"{self.study.finished} trials"]
        facts += [f"{pace:.3g} a minute"] if pace else []
        facts += [time_left(left)] if left is not None and run.request is None else []
        if goal and self.study.finished >= goal:
            done = len(self.study.reevaluations) + len(self.study.finals)
            facts.append(f"now re-evaluating on other splits, {done} fits done")
        running = [trial for trial in self.study.trials if trial.state == "running"]
        return [
            f"since {_moment(run.started)} on {run.host}, process {run.pid}, {workers}",
            ", ".join(facts),
            *([_wish(run.request, self.study.name, bool(running))] if run.request else []),
            *(f"trial {trial.number}: {trial.setting}" for trial in running),
        ]

    def _pace(self, run: "RunSummary") -> tuple[int | None, float | None, float | None]:
        """Return the run's target number of trials, its trials per minute, and the seconds left; None if unknown."""
        from search.display.pace import Pace

        goal: int | None = (run.options or {}).get("trials")
        pace = Pace(run.ends[0], run.workers, list(run.ends[1:])) if run.ends else Pace()
        left = pace.seconds_left(goal - self.study.finished, self.study.wall_seconds) if goal else None
        return goal, 60 / pace.interval if pace.interval else None, left

    def _run(self, run: "RunSummary") -> dict[str, Any]:
        goal, pace, left = self._pace(run) if run.alive else (None, None, None)
        return {
            "started": run.started.isoformat(),
            "ended": run.ended and run.ended.isoformat(),
            "state": _ended(run) if not run.alive else "at work",
            "host": run.host,
            "pid": run.pid,
            "workers": run.workers,
            "command": run.command,
            "reason": run.reason,
            "request": run.request,
            "goal": goal,
            "trials_a_minute": pace,
            "seconds_left": left,
        }


def _wish(request: "StudyRequest", study: str, running: bool) -> str:
    """Say what a person wants of a run. running: whether a trial runs."""
    if request != "pause":
        return "it is being stopped"
    return f"{'it pauses after these trials' if running else 'it is paused'}; `search resume {study}` continues"


def _ended(run: "RunSummary") -> str:
    """Return how a run ended. A run that never recorded its end was killed."""
    return run.state if run.ended else "killed"


def _moment(moment: datetime) -> str:
    """Format a time in the local time zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
