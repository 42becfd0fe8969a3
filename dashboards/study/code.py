"""The Python lines of a study's report."""

from collections.abc import Mapping

from dashboards.page.page import study_python_code
from dashboards.study.commands import home_words
from objectives.results import StudyResults
from spaces import Setting


def study_code(study: StudyResults, setting: Setting) -> str:
    """Python lines that read the features of a study at a setting, as the study itself read them."""
    return study_python_code(setting, study.architecture, study.name, places(study))


def places(study: StudyResults) -> Mapping[str, str]:
    """The home folder and the database of the study, by option."""
    words = iter(home_words(study))
    return {flag.removeprefix("--"): value for flag, value in zip(words, words, strict=True)}
