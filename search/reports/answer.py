"""Describes the answer of a study as text and as JSON: its scores, how certain it is, and its cost."""

from collections.abc import Iterable, Mapping, Sequence
from math import log
from textwrap import wrap
from typing import Any

from dashboards.formatting import gap_text, gmacs, mean_of_seeds, terminal_interval
from dashboards.study.answer.answer import RULES, Answer, study_answer
from dashboards.study.answer.scores import scores
from dashboards.study.answer.sentences import (
    best_trial_sentence,
    chance_sentence,
    coverage_text,
    outside_sentence,
    screening_sentence,
    tied_sentence,
    untried_sentence,
)
from dashboards.study.answer.tradeoff import CostPoint, trade_off
from dashboards.tables import Estimate
from objectives.results import ACCURACY, GMACS, Metric, StudyResults, Trial
from spaces import SearchError

SHOWN = 8
"""Settings of a Pareto front that a terminal shows."""

LABEL, WIDTH = 12, 100
"""Characters of the label of a line for people, and of the text behind it."""


Facts = dict[str, list[str]]
"""Label → what it labels: paragraphs without line breaks."""

SENTENCES = frozenset({"test", "warning", "tied", "best trial", "tried", "not tried", "left out", "screened"})
"""Labels of sentences, which a terminal breaks into lines."""


def answer_record(study: StudyResults) -> dict[str, Any]:
    """Return the answer of a study and its scores as JSON-ready values.

    The test fields are None until a run has tested its answer. metric: the one that chose the setting. rule: how it was
    chosen. candidates: how many settings were compared for it. tied: the other ones that are not significantly worse
    than the best. expected_loss: of the score, to the best setting tried. majority: the accuracy on the test images of
    always naming the most frequent class. baselines: linear heads on trivial features of the same images. best_trial:
    the trial with the best value on validation, where its setting is not the answer. coverage: choice → the values of
    the space that were tried, and those that were not.
    accuracy: top-1. scores: part → metric → value and 95 % interval, for all metrics that were stored. gmacs: 1e9
    multiply-accumulates to classify an image. front: the Pareto front, cheapest first, if costs were stored; its
    validation scores are those of one seed. passes: all forward passes made for the study, also those to screen and
    those of trials that did not finish. passes_saved: against a plain script that makes its own for each trial.
    Raises SearchError where no trial is complete.
    """
    answer = answer_of(study)
    rows = {row.metric.name: row for row in scores(study)}
    validation = {name: row.validation for name, row in rows.items()}
    test = {name: row.test for name, row in rows.items()}
    loss, best = answer.expected_loss, answer.best_trial
    return {
        "study": study.name,
        "dataset": study.dataset,
        "backbone": study.backbone,
        "setting": answer.setting.to_dict(),
        "metric": study.metric.name,
        **_accuracy("validation", validation),
        **_accuracy("test", test),
        "scores": {"validation": _scores(validation), "test": _scores(test)},
        "rule": RULES[answer.rule],
        "candidates": answer.candidates,
        "tied": [tied.to_dict() for tied in answer.tied],
        "expected_loss": loss and {"value": loss.value, "interval": [loss.low, loss.high]},
        "majority": answer.majority,
        "better_than_chance": answer.better_than_chance,
        "baselines": [
            {
                "features": baseline.words,
                "test_accuracy": baseline.test.value,
                "test_interval": [baseline.test.low, baseline.test.high],
                "beaten": baseline.beaten,
            }
            for baseline in answer.baselines
        ],
        "best_trial": best
        and {"number": best.number, "setting": best.setting.to_dict(), "validation": best.validation.value},
        "coverage": {
            choice.choice: {"tried": list(choice.tried), "untried": list(choice.untried)} for choice in answer.coverage
        },
        "gmacs": answer.gmacs,
        "front": [_point_record(point) for point in table.pareto_front] if (table := trade_off(study)) else [],
        "seeds": list(answer.seeds) if answer.is_finalist else [],
        "trials": study.finished,
        "passes": study.passes_made,
        "screening_passes": study.screening_passes,
        "unfinished_passes": study.unfinished_passes,
        "passes_saved": study.passes_needed - study.passes_made,
    }


def answer_of(study: StudyResults) -> Answer:
    """Return the answer of a study. Raises SearchError where no trial is complete."""
    answer = study_answer(study)
    if answer is None:
        raise SearchError(f"study {study.name} has no complete trial yet; `search run` makes some")
    return answer


def warning_of(study: StudyResults) -> str:
    """Say where the answer of a study is no better than chance or than a baseline; empty if that is not known."""
    return chance_sentence(answer_of(study))


def answer_facts(study: StudyResults, *, running: bool = False) -> Facts:
    """Return the answer for people, label → paragraphs. Every surface that shows it takes its words from here.

    running: whether a run is at work. Raises SearchError where no trial is complete.
    """
    answer = answer_of(study)
    facts = {"study": [study.name], "setting": [str(answer.setting)], **score_facts(study, running)}
    if answer.gmacs is not None:
        facts["cost"] = [f"{gmacs(answer.gmacs)} GMAC an image, passes and head"]
    if study.by_cost:
        facts["front"] = _front_rows(study)
    return facts | certainty_facts(study, answer) | passes_facts(study)


def answer_lines(study: StudyResults) -> list[str]:
    """Return the answer as lines of a terminal. Raises SearchError where no trial is complete."""
    return labelled(answer_facts(study).items())


def score_facts(study: StudyResults, running: bool) -> Facts:
    """Say what the answer reaches on validation and on test images. running: whether a run is at work."""
    record = answer_record(study)
    facts = {"validation": _scores_in_words(study.metric, record["scores"]["validation"])}
    if record["scores"]["test"]:
        seeds = f"; {mean_of_seeds(len(record['seeds']))}"
        return facts | {"test": _scores_in_words(study.metric, record["scores"]["test"], seeds)}
    why = (
        "the candidates have not been compared, and the best of many trials looks better on validation than it is"
        if not study.reevaluations
        else "candidates are being compared"
        if running
        else "the run was stopped while candidates were compared"
    )
    return facts | {"test": [f"not measured yet: {why}"]}


def passes_facts(study: StudyResults) -> Facts:
    """Say how many forward passes were made, and how many a script without a cache would make."""
    made, needed, screening = study.passes_made, study.passes_needed, study.screening_passes
    to_screen = f", {screening:,} of them to screen" if screening else ""
    return {"passes": [f"{made:,} made{to_screen}; a plain script that makes its own for each trial: {needed:,}"]}


def certainty_facts(study: StudyResults, answer: Answer) -> Facts:
    """Say what is trivially reached, what is as good as the answer, and what was not tried."""
    metric, loss = answer.validation.metric, answer.expected_loss
    facts: Facts = {
        "chance": []
        if answer.majority is None
        else [f"{ACCURACY.text(answer.majority)}, by always naming the most frequent class"],
        "baselines": [f"{baseline.words} {terminal_interval(baseline.test)}" for baseline in answer.baselines],
        "warning": [chance_sentence(answer)],
        "tied": [tied_sentence(answer, len(study.complete))] if answer.rule != "trials" else [],
        "loss": []
        if loss is None
        else [
            f"{gap_text(loss.value, metric)} expected, to the best setting tried  "
            f"(95 % interval {metric.number(loss.low)} to {metric.number(loss.high)})"
        ],
        "best trial": [best_trial_sentence(answer)],
        "tried": [coverage_text(answer.coverage)],
        "not tried": [untried_sentence(answer.coverage, len(study.screened)).removeprefix("Not tried: ")],
        "left out": [outside_sentence(study)],
        "screened": [screening_sentence(study)],
    }
    written = {name: [text for text in paragraphs if text] for name, paragraphs in facts.items()}
    return {name: paragraphs for name, paragraphs in written.items() if paragraphs}


def labelled(facts: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Return facts as lines of a terminal. Sentences are wrapped."""
    return [
        f"{'' if index else name:<{LABEL}}{line}"
        for name, paragraphs in facts
        for index, line in enumerate(
            [line for text in paragraphs for line in (_wrapped(text) if name in SENTENCES else [text])]
        )
    ]


def _wrapped(sentence: str) -> list[str]:
    return wrap(sentence.replace("\N{NO-BREAK SPACE}", " "), WIDTH)


def spread(front: Sequence[Trial], count: int) -> list[Trial]:
    """Choose at most `count` trials of a Pareto front, evenly spread over its costs.

    The best and the cheapest come first, then each time the trial whose cost ratio to those chosen is largest.
    """
    chosen, left = list(front[-1:]), list(front[:-1])
    while left and len(chosen) < count:
        chosen.append(max(left, key=lambda trial: min(_apart(trial, other) for other in chosen)))
        left.remove(chosen[-1])
    return chosen


def _apart(trial: Trial, other: Trial) -> float:
    return abs(log(trial.details[GMACS] / other.details[GMACS]))


def _front_rows(study: StudyResults) -> list[str]:
    """Return a table of the Pareto front, cheapest first. Of a long front, `spread` chooses the settings."""
    table, shown = trade_off(study), {trial.number for trial in spread(study.pareto_front, SHOWN)}
    points = table.pareto_front if table else ()
    rows = [("GMAC", "validation", "test", "setting")] + [
        (gmacs(point.gmacs), terminal_interval(point.validation), terminal_interval(point.test), str(point.setting))
        for point in points
        if point.trial in shown
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(points) > len(shown):
        lines.append(f"and {len(points) - len(shown)} more between these; the report has all")
    return lines


def _point_record(point: CostPoint) -> dict[str, Any]:
    parts = {"validation": point.validation, "test": point.test}
    scores = {
        part: score and {"value": score.value, "interval": [score.low, score.high]} for part, score in parts.items()
    }
    return {"setting": point.setting.to_dict(), "gmacs": point.gmacs, **scores}


def _accuracy(part: str, measured: Mapping[str, Estimate | None]) -> dict[str, Any]:
    accuracy = measured.get(ACCURACY.name)
    interval = [accuracy.low, accuracy.high] if accuracy else None
    return {f"{part}_accuracy": accuracy.value if accuracy else None, f"{part}_interval": interval}


def _scores(measured: Mapping[str, Estimate | None]) -> dict[str, Any]:
    return {name: {"value": m.value, "interval": [m.low, m.high]} for name, m in measured.items() if m is not None}


def _scores_in_words(chosen: Metric, scores: Mapping[str, Any], note: str = "") -> list[str]:
    """Say the score of the metric that chose the setting, and the accuracy where that is another metric."""
    lines = []
    for index, metric in enumerate([chosen] if chosen == ACCURACY else [chosen, ACCURACY]):
        score = scores[metric.name]
        low, high = map(metric.number, score["interval"])
        name = metric.labelled_text(score["value"]) if index == 0 else f"accuracy {metric.text(score['value'])}"
        lines.append(f"{name}  (95 % interval {low} to {high}{note})")
    return lines
