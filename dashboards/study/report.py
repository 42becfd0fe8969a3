"""A study's report: the best setting, how to use it, and the evidence; one self-contained page, or other formats."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from dashboards.formatting import duration, gmacs, named_seeds, with_interval
from dashboards.page.documents import Document, latex, markdown
from dashboards.page.page import python_code, render_page, write
from dashboards.study.choices import Importance
from dashboards.study.data import study_csv, study_json
from dashboards.study.scores import scores
from dashboards.study.sections import sections
from dashboards.study.sentences import confidence_sentence, other_trials_sentence, trial_counts_text
from dashboards.study.tables import best_setting, trial_counts
from dashboards.study.tradeoff import gmacs_of
from objectives.results import ACCURACY, StudyResults


def write_report(study: StudyResults, path: Path, importances: Sequence[Importance] = (), form: str = "html") -> Path:
    """Write the report atomically and return `path`. A page needs no network to be viewed.

    importances: of the study's choices, as `search.reports.importances` computes them. form: one of `FORMATS`.
    Raises SearchError if the file cannot be written.
    """
    return write(FORMATS[form](study, importances), path)


def render(study: StudyResults, importances: Sequence[Importance] = ()) -> str:
    """The page as HTML. Every name from the data is escaped."""
    best = best_setting(study)
    cost = gmacs_of(study, best.setting) if best else None
    # Readers ask for top-1 accuracy, so it stands beside any other metric.
    accuracy = next((row for row in scores(study) if row.metric == ACCURACY), None)
    return render_page(
        "report.html",
        sections(study, importances),
        study=study,
        best=best,
        metric=study.metric.label,
        accuracy=None if study.metric == ACCURACY else accuracy,
        gmac=gmacs(cost) if cost else None,
        confidence=confidence_sentence(best, len(study.complete)) if best else None,
        trials=trial_counts_text(trial_counts(study)),
        others=other_trials_sentence(trial_counts(study)),
        commands=_commands(study, best is not None),
        python=python_code(best.setting, study.architecture, study.dataset, study.backbone) if best else None,
    )


FORMATS: dict[str, Callable[[StudyResults, Sequence[Importance]], str]] = {
    "html": render,
    "md": lambda study, importances: markdown(document(study, importances)),
    "json": study_json,
    "csv": lambda study, _: study_csv(study),
    "latex": lambda study, importances: latex(document(study, importances)),
}
SUFFIXES = {"latex": "tex"}
"""The file suffix of a format, if it is not the format's name."""


def document(study: StudyResults, importances: Sequence[Importance] = ()) -> Document:
    """The same content as text."""
    best, metric = best_setting(study), study.metric
    facts: list[tuple[str, str]] = []
    if best is not None:
        facts.append(("Setting", str(best.setting)))
        if best.test is not None:
            seeds = f"{named_seeds(best.seeds)}; {best.test.images:,} images"
            facts.append((f"Test {metric.label}", f"{with_interval(best.test)}, {seeds}"))
        images = f"{best.validation.images:,} images"
        facts.append((f"Validation {metric.label}", f"{with_interval(best.validation)}, {images}"))
        if (cost := gmacs_of(study, best.setting)) is not None:
            facts.append(("Cost", f"{gmacs(cost)} GMAC per image, forward passes and head"))
    confidence = confidence_sentence(best, len(study.complete)) if best else "No trial is complete yet."
    trials, others = trial_counts_text(trial_counts(study)), other_trials_sentence(trial_counts(study))
    lead = f"{trials[0].upper()}{trials[1:]}, in {duration(study.wall_seconds)}.", others, "Intervals are 95 %."
    return Document(
        title=f"{study.dataset}: which features of {study.backbone} classify these images best",
        lead=" ".join(filter(None, lead)),
        facts=tuple(facts),
        sentences=(confidence,),
        python=python_code(best.setting, study.architecture, study.dataset, study.backbone) if best else "",
        shell="\n".join(_commands(study, best is not None)),
        sections=tuple(sections(study, importances)),
    )


def _commands(study: StudyResults, answered: bool) -> list[str]:
    """Shell commands that export the best setting, print it, and continue the search.

    answered: whether there is a best setting.
    """
    trials = max(200, 2 * len(study.trials))
    words = shlex.split(study.provenance.get("command", "")) or ["search", "run", "--dataset", study.dataset]
    if "--trials" in words[:-1]:
        words[words.index("--trials") + 1] = str(trials)
    else:
        words += ["--trials", str(trials)]
    use = [
        f"search export --study {shlex.quote(study.name)}  # saves its classifier, for `search classify`",
        f"search best --study {shlex.quote(study.name)} --json  # prints this result",
    ]
    return [*(use if answered else []), f"{shlex.join(words)}  # continues the search up to {trials} trials"]
