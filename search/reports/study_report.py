"""Writes the report of a study to a file, or returns it as text."""

import os.path
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from objectives.home import Home
from spaces import check_name

if TYPE_CHECKING:
    from objectives.results import StudyResults
    from search.database.store import Store


def write_study_report(
    study: "StudyResults", folder: Path, path: str | Path | None = None, form: str | None = None
) -> Path:
    """Write the report whole or not at all, and return its path.

    folder: of the reports, in the home folder. path: the file; None for one in `folder`. form: a key of
    `dashboards.study.report.FORMATS`; None for the format that the path's suffix names, else HTML. Raises
    UnknownNameError for another format, SearchError where the file cannot be written.
    """
    from dashboards.study.report import FORMATS, SUFFIXES, write_report
    from search.reports.analysis import analysis

    form = form or form_of(path)
    check_name("format", form, FORMATS)
    file = folder / f"{study.name}.{SUFFIXES.get(form, form)}" if path is None else Path(path)
    beside = replace(analysis(study), classifier_page=_classifier_page(study, folder, file))
    return write_report(study, file, beside, form)


def _classifier_page(study: "StudyResults", folder: Path, report: Path) -> str | None:
    """Return where the page of the study's exported classifier lies, relative to a report; None if there is none."""
    page = Home(folder.parent).classifiers / f"{study.name}.html"
    return quote(os.path.relpath(page, report.parent)) if page.is_file() else None


def form_of(path: str | Path | None) -> str:
    """Return the format that a file's suffix names; "html" where there is no path or no suffix.

    Raises UsageError for another suffix.
    """
    from dashboards.page.page import check_file
    from dashboards.study.report import FORMATS, SUFFIXES

    forms = {SUFFIXES.get(form, form): form for form in FORMATS}
    if path is None:
        return "html"
    check_file(Path(path), [*forms])
    return forms.get(Path(path).suffix.lower().removeprefix("."), "html")


def publish(study: "StudyResults", store: "Store", folder: Path) -> Path:
    """Write the HTML report into a folder, show the same figures in Optuna Dashboard, and return the report's path."""
    from search.reports.dashboard_sync import show

    report = write_study_report(study, folder)
    show(store, study.name, report)
    return report


def study_text(study: "StudyResults", form: str) -> str:
    """Return the report of a study as text. form: a key of `dashboards.study.report.FORMATS`."""
    from dashboards.study.report import FORMATS
    from search.reports.analysis import analysis

    return FORMATS[form](study, analysis(study))


def study_page(store: "Store", study: str) -> str | None:
    """Return the current report of a study as HTML; None if there is no such study."""
    if study not in store.names():
        return None
    fresh = type(store)(store.address, store.optuna)  # without cached data of an earlier study of this name
    return study_text(fresh.read_study(fresh.find_study(name=study)), "html")
