"""Writes the report of a study to a file, or returns it as text."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from objectives.results import StudyResults
    from search.database.store import Store


def write_study_report(study: "StudyResults", path: Path, form: str = "html") -> Path:
    """Write the report atomically, and return its path. Raises SearchError if it cannot be written."""
    from dashboards.study.report import write_report
    from search.reports.importances import importances

    return write_report(study, path, importances(study), form)


def form_of(path: str | Path | None) -> str:
    """Return the format that a file's suffix names; "html" where there is no path or another suffix."""
    from dashboards.study.report import FORMATS, SUFFIXES

    suffix = "" if path is None else Path(path).suffix.removeprefix(".")
    return next((form for form in FORMATS if suffix == SUFFIXES.get(form, form)), "html")


def publish(study: "StudyResults", store: "Store", folder: Path) -> Path:
    """Write the HTML report into a folder, show the same figures in Optuna Dashboard, and return the report's path."""
    from search.reports.dashboard_sync import show

    report = write_study_report(study, folder / f"{study.name}.html")
    show(store, study.name, report)
    return report


def study_text(study: "StudyResults", form: str) -> str:
    """Return the report of a study as text. form: a key of `dashboards.study.report.FORMATS`."""
    from dashboards.study.report import FORMATS
    from search.reports.importances import importances

    return FORMATS[form](study, importances(study))


def study_page(store: "Store", study: str) -> str | None:
    """Return the current report of a study as HTML; None if there is no such study."""
    if study not in store.names():
        return None
    fresh = type(store)(store.address, store.optuna)  # without cached data of an earlier study of this name
    return study_text(fresh.read_study(study), "html")
