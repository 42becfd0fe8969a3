"""One self-contained HTML page about a study: the answer, how to use it, and the evidence."""

import shlex
from pathlib import Path

from dashboards import scores, sentences, summaries, tradeoff
from dashboards.evidence import sections
from dashboards.pages import python, rendered, write
from objectives.results import ACCURACY, Study


def write_report(study: Study, path: Path) -> Path:
    """Write the page and return `path`; it is whole or not there at all, and needs no network to be viewed.

    Raises SearchError where it cannot be written.
    """
    return write(render(study), path)


def render(study: Study) -> str:
    """The page as HTML. Every name that comes from the data is escaped."""
    found = summaries.answer(study)
    cost = tradeoff.gmacs_of(study, found.setting) if found else None
    # Top-1 accuracy is told beside any other metric: it is what most people ask for.
    accuracy = next((row for row in scores.scores(study) if row.metric == ACCURACY), None)
    return rendered(
        "report.html",
        sections(study),
        study=study,
        answer=found,
        metric=study.metric.words,
        accuracy=None if study.metric == ACCURACY else accuracy,
        gmac=sentences.gmacs(cost) if cost else None,
        confidence=sentences.of_answer(found, len(study.complete)) if found else None,
        trials=sentences.of_trials(summaries.trial_counts(study)),
        commands=_commands(study, found is not None),
        python=python(found.setting, study.architecture, study.backbone) if found else None,
    )


def _commands(study: Study, answered: bool) -> list[str]:
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
