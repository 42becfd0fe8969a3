"""Studies as pages show them. Plain functions of results; every word of an answer is that of `search best`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboards.formatting import count, other_trials
from objectives.results import StudyResults
from search.database.records import RunSummary, StudyRequest, StudySummary
from search.reports.answer import answer_facts
from search.reports.study_state import StudyState
from search.server.access.identity import Caller

Facts = tuple[tuple[str, list[str]], ...]
"""The rows of a list of facts: (label, paragraphs)."""

CARD = ("setting", "validation", "test", "warning")
"""The facts of an answer that a list of studies shows."""

STATES: "dict[StudyRequest | None, str]" = {
    None: "running now",
    "pause": "paused",
    "stop": "is being stopped",
    "stop now": "is being stopped",
}


@dataclass(frozen=True)
class StudyCard:
    """A study in a list. state: of its runs, empty where none is alive. anchor: the id of its title."""

    name: str
    anchor: str
    backbone: str
    state: str
    trials: str
    last_run: datetime | None
    facts: Facts


@dataclass(frozen=True)
class DatasetStudies:
    """The studies of a dataset, the best one first."""

    dataset: str
    anchor: str
    studies: tuple[StudyCard, ...]


@dataclass(frozen=True)
class StudyView:
    """A study on its own page.

    state: of its runs. work: what they do, as paragraphs. goal: trials that the last run shall reach. actions: what the
    caller may ask of the runs, as (address, words). optuna_id: its number in Optuna Dashboard. classifier: the name of
    its exported classifier, if there is one. can_continue: whether its options are known. spoken: for a screen reader.
    """

    name: str
    dataset: str
    at_work: bool
    state: str
    work: tuple[str, ...]
    finished: int
    goal: int | None
    actions: tuple[tuple[str, str], ...]
    facts: Facts
    optuna_id: int
    classifier: str | None
    can_continue: bool

    @property
    def spoken(self) -> str:
        """The state and the trials in steps of ten."""
        return f"{self.state}: {self.finished // 10 * 10} trials" if self.at_work else "no run works on the study"


def card_facts(results: StudyResults, running: bool) -> Facts:
    """Return the answer of a study in short, in the words of `search best`."""
    if not results.complete and not results.finals:
        return (("best", ["no trial is complete yet"]),)
    facts = answer_facts(results, running=running)
    return tuple((label, facts[label]) for label in CARD if label in facts)


def detailed_facts(results: StudyResults, running: bool) -> Facts:
    """Return the answer of a study, in the words of `search best`, without what is its title."""
    facts = answer_facts(results, running=running)
    return tuple((label, paragraphs) for label, paragraphs in facts.items() if label not in ("study", "setting"))


def study_card(summary: StudySummary, facts: Facts, number: int) -> StudyCard:
    """Return what a list shows of a study. number: of the card, for its id."""
    finished = count(summary.complete, "complete trial")
    others = [f"{summary.failed} failed"] if summary.failed else []
    return StudyCard(
        summary.name,
        f"study-{number}",
        summary.backbone,
        STATES[summary.request] if summary.at_work else "",
        ", ".join([finished, *others, *other_trials(summary.waiting, summary.others)]),
        summary.last_run,
        facts,
    )


def by_dataset(cards: Sequence[tuple[StudySummary, StudyCard]]) -> tuple[DatasetStudies, ...]:
    """Group studies by their datasets. Within a dataset the study that answers best is first."""
    groups: dict[str, list[tuple[StudySummary, StudyCard]]] = {}
    for summary, card in cards:
        groups.setdefault(summary.dataset, []).append((summary, card))
    return tuple(
        DatasetStudies(
            dataset,
            f"dataset-{number}",
            tuple(card for _, card in sorted(group, key=lambda pair: pair[0].rank, reverse=True)),
        )
        for number, (dataset, group) in enumerate(groups.items(), 1)
    )


def study_view(
    results: StudyResults,
    runs: tuple[RunSummary, ...],
    request: StudyRequest | None,
    caller: Caller | None,
    optuna_id: int,
    classifier: str | None,
) -> StudyView:
    """Return what the page of a study shows beside its answer. request: what a person wants of its runs."""
    alive, state = [run for run in runs if run.alive], StudyState(results, runs, None, "")
    return StudyView(
        name=results.name,
        dataset=results.dataset,
        at_work=bool(alive),
        state=STATES[request] if alive else "",
        work=tuple(text for paragraphs in state.work() for text in paragraphs),
        finished=results.finished,
        goal=max(((run.options or {}).get("trials") or 0 for run in alive), default=0) or None,
        actions=_actions(request, caller) if alive else (),
        facts=(*state.begin()[1:], *state.end()),
        optuna_id=optuna_id,
        classifier=classifier,
        can_continue=any(run.options is not None for run in runs),
    )


def _actions(request: StudyRequest | None, caller: Caller | None) -> tuple[tuple[str, str], ...]:
    if caller is None or not caller.may("admin") or request == "stop now":
        return ()
    stops = ("stop", "Stop after what runs"), ("stop-now", "Stop now")
    match request:
        case "stop":
            return (stops[1],)
        case "pause":
            return (("resume", "Resume"), *stops)
        case _:
            return (("pause", "Pause"), *stops)
