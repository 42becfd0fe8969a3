"""A study's report: the answer, how to use it, and the evidence, as one self-contained page or in other formats."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from dashboards import formatting as sentences
from dashboards.formatting import with_interval
from dashboards.page.documents import Document, latex, markdown
from dashboards.page.page import python, rendered, write
from dashboards.study import scores, tradeoff
from dashboards.study import tables as summaries
from dashboards.study.choices import Importance
from dashboards.study.data import study_csv, study_json
from dashboards.study.sections import sections
from objectives.results import ACCURACY, StudyResults


def write_report(study: StudyResults, path: Path, importances: Sequence[Importance] = (), form: str = "html") -> Path:
    """Write the report and return `path`; it is whole or not there at all, and as a page needs no network to be viewed.

    importances: of the study's choices, as of `search.reports.importances`. form: one of `FORMATS`.
    Raises SearchError where it cannot be written.
    """
    return write(FORMATS[form](study, importances), path)


def render(study: StudyResults, importances: Sequence[Importance] = ()) -> str:
    """The page as HTML. Every name that comes from the data is escaped."""
    found = summaries.answer(study)
    cost = tradeoff.gmacs_of(study, found.setting) if found else None
    # Top-1 accuracy is told beside any other metric: it is what most people ask for.
    accuracy = next((row for row in scores.scores(study) if row.metric == ACCURACY), None)
    return rendered(
        "report.html",
        sections(study, importances),
        study=study,
        answer=found,
        metric=study.metric.label,
        accuracy=None if study.metric == ACCURACY else accuracy,
        gmac=sentences.gmacs(cost) if cost else None,
        confidence=sentences.of_answer(found, len(study.complete)) if found else None,
        trials=sentences.of_trials(summaries.trial_counts(study)),
        commands=_commands(study, found is not None),
        python=python(found.setting, study.architecture, study.backbone) if found else None,
    )


FORMATS: dict[str, Callable[[StudyResults, Sequence[Importance]], str]] = {
    "html": render,
    "md": lambda study, importances: markdown(document(study, importances)),
    "json": study_json,
    "csv": lambda study, _: study_csv(study),
    "latex": lambda study, importances: latex(document(study, importances)),
}
SUFFIXES = {"latex": "tex"}
"""Of files; of all others their format's name."""


def document(study: StudyResults, importances: Sequence[Importance] = ()) -> Document:
    """The same as text."""
    found, metric = summaries.answer(study), study.metric
    facts: list[tuple[str, str]] = []
    if found is not None:
        facts.append(("Setting", str(found.setting)))
        if found.test is not None:
            seeds = f"mean of seeds {', '.join(map(str, found.seeds))}; {found.test.images:,} images"
            facts.append((f"Test {metric.label}", f"{with_interval(found.test)}, {seeds}"))
        images = f"{found.validation.images:,} images"
        facts.append((f"Validation {metric.label}", f"{with_interval(found.validation)}, {images}"))
        if (cost := tradeoff.gmacs_of(study, found.setting)) is not None:
            facts.append(("Cost", f"{sentences.gmacs(cost)} GMAC an image, its passes and the head"))
    told = sentences.of_answer(found, len(study.complete)) if found else "No trial is complete yet."
    trials = sentences.of_trials(summaries.trial_counts(study))
    return Document(
        title=f"{study.dataset}: which features of {study.backbone} classify these images best",
        lead=f"{trials[0].upper()}{trials[1:]}, in {sentences.duration(study.wall_seconds)}. Intervals are 95 %.",
        facts=tuple(facts),
        told=(told,),
        python=python(found.setting, study.architecture, study.backbone) if found else "",
        shell="\n".join(_commands(study, found is not None)),
        sections=tuple(sections(study, importances)),
    )


def _commands(study: StudyResults, answered: bool) -> list[str]:
    """For a shell: the answer to be used and once more, where there is one, and the search continued."""
    trials = max(200, 2 * len(study.trials))
    words = shlex.split(study.provenance.get("command", "")) or ["search", "run", "--dataset", study.dataset]
    if "--trials" in words[:-1]:
        words[words.index("--trials") + 1] = str(trials)
    else:
        words += ["--trials", str(trials)]
    use = [
        f"search export --study {shlex.quote(study.name)}  # saves its classifier, for `search classify`",
        f"search best --dataset {shlex.quote(study.dataset)} --json  # prints this answer",
    ]
    return [*(use if answered else []), f"{shlex.join(words)}  # searches on until there are {trials} trials"]
