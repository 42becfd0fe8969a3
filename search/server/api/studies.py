"""Studies: their list, answers, trials and reports."""

from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from pydantic import BaseModel

from dashboards.server import SANDBOX
from dashboards.study.data import plain, study_csv, trial_rows
from dashboards.study.report import SUFFIXES
from objectives.results import StudyResults
from search.reports.answer import answer_lines, answer_record
from search.reports.study_report import study_text
from search.reports.study_state import StudyState, summary_record
from search.server.access.identity import requires, role_router
from search.server.problems import ProblemError
from search.server.service import Json, Served

router = role_router("/studies", ["studies"])

MOST_TRIALS = 1000
"""Trials on one page."""

StudyName = Annotated[str, Path(max_length=500, description="Name of a study.")]
Form = Literal["html", "md", "latex", "json", "csv"]

MEDIA_TYPES: dict[str, str] = {
    "html": "text/html",
    "md": "text/markdown",
    "latex": "text/x-tex",
    "json": "application/json",
    "csv": "text/csv",
}


@router.get("", dependencies=[requires("viewer")])
def studies(
    service: Served,
    dataset: Annotated[str | None, Query(max_length=500, description="Only the studies of this dataset.")] = None,
) -> list[Json]:
    """List the studies, the one that ran last first; those of a dataset begin with the one to answer with."""
    summaries = service.studies.summaries() if dataset is None else service.studies.of_dataset(dataset)
    return [summary_record(summary) for summary in summaries]


@router.get("/{study}", dependencies=[requires("viewer")])
def study(study: StudyName, service: Served) -> Json:
    """Show one study: its trials, its answer, and its runs with the seconds that are left."""

    def shown(results: StudyResults) -> Json:
        state = StudyState(results, service.studies.runs(study), None, "").to_dict()
        return {name: value for name, value in state.items() if name not in ("report", "storage")}

    return service.studies.derived(study, "state", shown)


@router.get("/{study}/best", dependencies=[requires("viewer")])
def best(study: StudyName, service: Served) -> Json:
    """Return the best setting of a study, its scores and its cost, as `search best --json` does.

    Status 409 where no trial is complete.
    """
    return service.studies.derived(study, "best", _best)


class StudyLines(BaseModel):
    """The lines for people that `search status` and `search best` print. best: none without a complete trial."""

    status: list[str]
    best: list[str]


@router.get("/{study}/lines", dependencies=[requires("viewer")])
def lines(study: StudyName, service: Served) -> StudyLines:
    """Describe a study and its answer in lines for people."""

    def described(results: StudyResults) -> StudyLines:
        status = StudyState(results, service.studies.runs(study), None, "").lines()
        shown = [line for line in status if not line.startswith(("report ", "storage "))]
        return StudyLines(status=shown, best=answer_lines(results) if results.complete or results.finals else [])

    return service.studies.derived(study, "lines", described)


@router.get("/{study}/trials", dependencies=[requires("viewer")])
def trials(
    study: StudyName,
    service: Served,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_TRIALS)] = 100,
) -> Json:
    """Return a page of the trials of a study, in order of their numbers. total: of all pages."""
    rows = service.studies.derived(study, "rows", _rows)
    return {"total": len(rows), "offset": offset, "trials": rows[offset : offset + limit]}


@router.get("/{study}/trials.csv", dependencies=[requires("viewer")], response_class=Response)
def trials_csv(study: StudyName, service: Served) -> Response:
    """Return all trials as CSV, one row a trial."""
    text = service.studies.derived(study, "csv", study_csv)
    return _file(text.encode(errors="replace"), "text/csv; charset=utf-8", f"{study}.csv")


@router.get("/{study}/trials.parquet", dependencies=[requires("viewer")], response_class=Response)
def trials_parquet(study: StudyName, service: Served) -> Response:
    """Return all trials as Parquet, one row a trial."""
    content = service.studies.derived(study, "parquet", _parquet)
    return _file(content, "application/vnd.apache.parquet", f"{study}.parquet")


@router.get("/{study}/report", dependencies=[requires("viewer")], response_class=Response)
def report(study: StudyName, service: Served, format: Annotated[Form, Query()] = "html") -> Response:
    """Return the report of a study, made of what the database knows now. html: one page that works offline."""
    text = service.studies.derived(study, f"report {format}", lambda results: study_text(results, format))
    content, media_type = text.encode(errors="replace"), f"{MEDIA_TYPES[format]}; charset=utf-8"
    if format == "html":
        return Response(content, media_type=media_type, headers={"Content-Security-Policy": SANDBOX})
    return _file(content, media_type, f"{study}.{SUFFIXES.get(format, format)}")


def _rows(results: StudyResults) -> list[Json]:
    """Return the trials as JSON-ready values, each with its setting."""
    pairs = zip(results.trials, plain(trial_rows(results)), strict=True)
    return [row | {"setting": trial.setting.to_dict()} for trial, row in pairs]


def _best(results: StudyResults) -> Json:
    if not results.complete and not results.finals:
        raise ProblemError(409, "conflict", f"study {results.name} has no complete trial yet")
    return answer_record(results)


def _parquet(results: StudyResults) -> bytes:
    """Return the trials as a Parquet file. Columns of mixed types, such as a head's options, are text."""
    import pyarrow
    import pyarrow.parquet

    rows: list[dict[str, Any]] = trial_rows(results)
    names = dict.fromkeys(["number", *(name for row in rows for name in row)])
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    sink = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """Return the values as they are where all are numbers or all are texts, else as texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) == 2:
        return [None if value is None else float(value) for value in values]
    if len(kinds) <= 1 and kinds <= {int, float, bool, str}:
        return values
    return [None if value is None else str(value) for value in values]


def _file(content: bytes, media_type: str, name: str) -> Response:
    """Return a file to be saved under a name. Names with other than ASCII letters are spelled by their escapes."""
    plain_name = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    return Response(
        content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{plain_name}"'}
    )
