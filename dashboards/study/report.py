"""A study's report: the best setting, how to use it, and the evidence; one self-contained page, or other formats."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dashboards.backbone_figure import network_strip
from dashboards.formatting import duration, gmacs, image_counts, named_seeds, percent, with_interval
from dashboards.page.documents import Document, latex, markdown
from dashboards.page.page import render_page, write
from dashboards.study.answer.answer import Answer, study_answer
from dashboards.study.answer.scores import scores
from dashboards.study.answer.sentences import (
    beaten_sentence,
    best_trial_sentence,
    chance_sentence,
    coverage_sentence,
    loss_sentence,
    outside_sentence,
    screening_sentence,
    tied_sentence,
    untried_sentence,
)
from dashboards.study.choices.analysis import NO_ANALYSIS, Analysis
from dashboards.study.code import study_code
from dashboards.study.commands import best_command, continue_command, export_command, more_trials
from dashboards.study.data import study_csv, study_json
from dashboards.study.sections import sections
from dashboards.study.sentences import other_trials_sentence, trial_counts_text
from dashboards.study.tables import trial_counts
from dashboards.study.trials import trials_section
from objectives.results import ACCURACY, StudyResults


def write_report(study: StudyResults, path: Path, analysis: Analysis = NO_ANALYSIS, form: str = "html") -> Path:
    """Write the report atomically and return `path`. A page needs no network to be viewed.

    analysis: as `search.reports.analysis` computes it. form: one of `FORMATS`.
    Raises SearchError if the file cannot be written.
    """
    return write(FORMATS[form](study, analysis), path)


def render(study: StudyResults, analysis: Analysis = NO_ANALYSIS) -> str:
    """The page as HTML. Every name from the data is escaped."""
    answer = study_answer(study)
    # Readers ask for top-1 accuracy, so it stands beside any other metric.
    accuracy = next((row for row in scores(study) if row.metric == ACCURACY), None)
    commands = _commands(study, answer is not None)
    return render_page(
        "report.html",
        [trials_section(study) if section.id == "leaderboard" else section for section in sections(study, analysis)],
        study=study,
        answer=answer,
        metric=study.metric.label,
        accuracy=None if study.metric == ACCURACY else accuracy,
        gmac=gmacs(answer.gmacs) if answer and answer.gmacs else None,
        images=image_counts(study.counts, study.folds),
        strip=network_strip(study.architecture, answer.setting) if answer else (),
        bars=comparison_bars(answer) if answer else (),
        tied=tied_sentence(answer, len(study.complete)) if answer else None,
        untried=untried_sentence(answer.coverage, len(study.screened)) if answer else None,
        beaten=beaten_sentence(answer) if answer else None,
        warning=chance_sentence(answer) if answer else None,
        details=_details(study, answer) if answer else (),
        trials=trial_counts_text(trial_counts(study)),
        others=other_trials_sentence(trial_counts(study)),
        use=commands[0] if answer else None,
        classifier_page=analysis.classifier_page,
        commands=commands[1:] if answer else commands,
        python=study_code(study, answer.setting) if answer else None,
    )


def _details(study: StudyResults, answer: Answer) -> tuple[str, ...]:
    """Say how certain the answer is, beyond what is tied with it."""
    told = (
        loss_sentence(answer),
        best_trial_sentence(answer),
        coverage_sentence(answer.coverage),
        outside_sentence(study),
        screening_sentence(study),
    )
    return tuple(filter(None, told))


@dataclass(frozen=True, slots=True)
class ComparisonBar:
    """A bar of the comparison of the answer with what is trivially reached. low, high: None where it has no interval.

    All are test accuracies in [0, 1].
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        return percent(self.value)


def comparison_bars(answer: Answer) -> tuple[ComparisonBar, ...]:
    """The test accuracies of the answer, of the baselines and of guessing; none where the answer was not tested."""
    if answer.test_accuracy is None:
        return ()
    rows = [("this setting", answer.test_accuracy), *((one.words, one.test) for one in answer.baselines)]
    bars = [ComparisonBar(name, estimate.value, estimate.low, estimate.high) for name, estimate in rows]
    guess = [] if answer.majority is None else [ComparisonBar("most frequent class", answer.majority)]
    return (*bars, *guess)


FORMATS: dict[str, Callable[[StudyResults, Analysis], str]] = {
    "html": render,
    "md": lambda study, analysis: markdown(document(study, analysis)),
    "json": study_json,
    "csv": lambda study, _: study_csv(study),
    "latex": lambda study, analysis: latex(document(study, analysis)),
}
SUFFIXES = {"latex": "tex"}
"""The file suffix of a format, if it is not the format's name."""


def document(study: StudyResults, analysis: Analysis = NO_ANALYSIS) -> Document:
    """The same content as text."""
    answer, metric = study_answer(study), study.metric
    facts: list[tuple[str, str]] = [
        ("Images", f"{len(study.classes):,} classes; {image_counts(study.counts, study.folds)}")
    ]
    sentences: tuple[str, ...] = ("No trial is complete yet.",)
    if answer is not None:
        facts.append(("Setting", str(answer.setting)))
        if answer.test is not None:
            seeds = f"{named_seeds(answer.seeds)}; {answer.test.images:,} images"
            facts.append((f"Test {metric.label}", f"{with_interval(answer.test)}, {seeds}"))
        if answer.majority is not None:
            facts.append(("Most frequent class", f"{percent(answer.majority)} of the test images"))
        facts += [
            (f"Linear head on {baseline.words}", f"{with_interval(baseline.test)} of the test images")
            for baseline in answer.baselines
        ]
        images = f"{answer.validation.images:,} images"
        facts.append((f"Validation {metric.label}", f"{with_interval(answer.validation)}, {images}"))
        if answer.gmacs is not None:
            facts.append(("Cost", f"{gmacs(answer.gmacs)} GMAC per image, forward passes and head"))
        sentences = (
            tied_sentence(answer, len(study.complete)),
            beaten_sentence(answer),
            chance_sentence(answer),
            untried_sentence(answer.coverage, len(study.screened)),
            *_details(study, answer),
        )
    trials, others = trial_counts_text(trial_counts(study)), other_trials_sentence(trial_counts(study))
    lead = f"{trials[0].upper()}{trials[1:]}, in {duration(study.wall_seconds)}.", others, "Intervals are 95 %."
    return Document(
        title=f"{study.title}: which features of {study.backbone} classify these images best",
        lead=" ".join(filter(None, lead)),
        facts=tuple(facts),
        sentences=tuple(filter(None, sentences)),
        python=study_code(study, answer.setting) if answer else "",
        shell="\n".join(_commands(study, answer is not None)),
        sections=tuple(sections(study, analysis)),
    )


def _commands(study: StudyResults, answered: bool) -> list[str]:
    """Shell commands that export the best setting, print it, and continue the search.

    answered: whether there is a best setting.
    """
    use = [
        f"{export_command(study)}  # saves its classifier, for `search classify`",
        f"{best_command(study)}  # prints this result",
    ]
    more = f"{continue_command(study)}  # continues the search up to {more_trials(study)} trials"
    return [*(use if answered else []), more]
