"""Whether the server works, and its numbers for Prometheus."""

from fastapi import Response
from pydantic import BaseModel

from search.database.jobs.job_table import STATES
from search.server.access.identity import public, requires, role_router
from search.server.metrics import JOBS, WORKERS, metrics_text
from search.server.service import Served

router = role_router(tags=["health"])


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    """Whether the server can work. worker: whether a worker is alive that runs jobs."""

    status: str
    database: bool
    worker: bool


@router.get("/healthz", dependencies=[public])
async def healthz() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get("/readyz", dependencies=[public])
def readyz(service: Served) -> Readiness:
    """Say whether the database answers, and whether a worker is alive. Status 503 where the database does not."""
    return Readiness(status="ok", database=True, worker=bool(service.workers.live()))


@router.get("/metrics", dependencies=[requires("viewer")], response_class=Response)
def metrics(service: Served) -> Response:
    """Return the numbers of this server in the text format of Prometheus."""
    counts = service.jobs.counts()
    for state in STATES:
        JOBS.labels(state).set(counts.get(state, 0))
    WORKERS.set(len(service.workers.live()))
    return Response(metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")
