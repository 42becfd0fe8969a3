"""The commands that a study's pages print. Each works as it is typed, for the study and the database that it names."""

import shlex

from objectives.results import StudyResults

MORE_TRIALS = 200
"""The fewest trials to which a printed command continues a search."""


def export_command(study: StudyResults) -> str:
    """Return the command that saves the study's classifier."""
    return shlex.join(["search", "export", "--study", study.name, *home_words(study)])


def best_command(study: StudyResults) -> str:
    """Return the command that prints the study's answer as JSON."""
    return shlex.join(["search", "best", "--study", study.name, "--json", *home_words(study)])


def more_trials(study: StudyResults) -> int:
    """Return the number of trials up to which `continue_command` searches."""
    return max(MORE_TRIALS, 2 * len(study.trials))


def continue_command(study: StudyResults) -> str:
    """Return the command of the study's last run, with more trials."""
    words, _ = _typed(study)
    more = ["--trials", str(more_trials(study))]
    place = words.index("--trials") if "--trials" in words else len(words)
    return shlex.join([*words[:place], *more, *words[place + 1 :], *home_words(study)])


def home_words(study: StudyResults) -> tuple[str, ...]:
    """Return the words of a command line that name the study's home folder and database as they are now."""
    _, values = _typed(study)
    home, storage = ((flag, values[flag]) if values.get(flag) else () for flag in ("--home", "--storage"))
    now = study.home_words
    if now is None:  # it is not known where the study is
        return (*home, *storage)
    return (*home, *now) if "--storage" in now else now


def _typed(study: StudyResults) -> tuple[list[str], dict[str, str]]:
    """Return the words of the study's last run without its places and the number of trials, and these values."""
    words: list[str] = []
    values: dict[str, str] = {}
    typed = iter(shlex.split(study.provenance.get("command", "")) or ["search", "run", "--dataset", study.dataset])
    for word in typed:
        flag, equals, value = word.partition("=")
        if flag not in ("--home", "--storage", "--trials"):
            words.append(word)
            continue
        values[flag] = value if equals else next(typed, "")
        words += ["--trials"] if flag == "--trials" else []
    return words, values
