"""The events of a job as a stream of server-sent events."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Header, Response
from fastapi.responses import StreamingResponse

from search.server.access.identity import Caller, requires, role_router
from search.server.api.jobs import JobId, find_job
from search.server.api.models import JobRecord
from search.server.content.feeds import Snapshot, next_snapshot
from search.server.metrics import STREAMS
from search.server.problems import ProblemError
from search.server.service import Served, Service
from spaces import StorageError

router = role_router("/jobs", ["jobs"])

QUIET_SECONDS = 15.0
"""A comment is sent when there was nothing for so long, so that proxies keep the connection."""

MOST_STREAMS = 500

DESCRIPTION = """Server-sent events, each with JSON as its data:

- `state`: the job, as `GET /api/v1/jobs/{job_id}` shows it; sent first, and whenever its state changes;
- `progress`: how far it is;
- `log`: `{"text": …}`, a part of what its process printed.

A stream that was cut off continues after the header `Last-Event-ID`, which browsers send by themselves. It ends with
the job; a request that continues after the end is answered with 204."""


@router.get("/{job_id}/events", response_class=StreamingResponse, description=DESCRIPTION)
async def events(
    job_id: JobId,
    caller: Annotated[Caller, requires("viewer")],
    service: Served,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """Stream what happens in a job."""
    await to_thread.run_sync(find_job, service, job_id)
    if service.streams >= MOST_STREAMS:
        raise ProblemError(503, "unavailable", f"{MOST_STREAMS} event streams are open already", {"Retry-After": "10"})
    offset, seen = _position(last_event_id)
    if seen:
        first = await to_thread.run_sync(_snapshot, service, job_id)
        if first.has_ended and (first.printed, _digest(first, service)) == (offset, seen):
            return Response(status_code=204)
    return StreamingResponse(_stream(service, caller, job_id, offset, seen), media_type="text/event-stream")


def _snapshot(service: Service, job_id: int) -> Snapshot:
    return Snapshot(service.jobs.job(job_id), service.jobs.log(job_id, 2**62)[1])


async def _stream(service: Service, caller: Caller, job_id: int, offset: int, seen: str) -> AsyncIterator[str]:
    """Yield the events after a position: a number of characters of the log, and the digest of the job's state."""
    last: Snapshot | None = None
    state: tuple[object, ...] = ()
    progress: object = None
    service.streams += 1
    STREAMS.inc()
    try:
        async with service.feeds.follow(job_id) as feed:
            yield "retry: 2000\n\n"
            while await _is_current(service, caller):
                snapshot = await next_snapshot(feed, last, QUIET_SECONDS)
                if snapshot is None:
                    yield ": nothing new\n\n"
                    continue
                last, job, digest = snapshot, snapshot.job, _digest(snapshot, service)
                if (job.state, job.request, job.study, job.error) != state and digest != seen:
                    record = JobRecord.of(job, service.settings.data_roots).model_dump(mode="json")
                    yield _event("state", record, offset, digest)
                elif job.progress != progress and digest != seen:
                    yield _event("progress", job.progress, offset, digest)
                state, progress, seen = (job.state, job.request, job.study, job.error), job.progress, digest
                while offset < snapshot.printed:
                    try:
                        text, reached = await to_thread.run_sync(service.jobs.log, job_id, offset)
                    except StorageError:  # the next snapshot brings it
                        break
                    offset = reached
                    yield _event("log", {"text": text}, offset, digest)
                if snapshot.has_ended and offset >= snapshot.printed:
                    return
    finally:
        service.streams -= 1
        STREAMS.dec()


async def _is_current(service: Service, caller: Caller) -> bool:
    """Return whether the caller's token is still known; it may have been deleted since the stream began."""
    with suppress(StorageError):  # while the database does not answer, streams stay open
        if service.callers.is_due:
            await to_thread.run_sync(service.callers.read)
    return service.callers.is_current(caller)


def _event(kind: str, value: Any, offset: int, digest: str) -> str:
    return f"id: {offset}-{digest}\nevent: {kind}\ndata: {json.dumps(value)}\n\n"


def _position(last_event_id: str | None) -> tuple[int, str]:
    """Return the position that the id of an event names; the beginning for any other text."""
    offset, _, digest = (last_event_id or "").partition("-")
    if offset.isascii() and offset.isdecimal() and len(offset) < 16 and digest:
        return int(offset), digest
    return 0, ""


def _digest(snapshot: Snapshot, service: Service) -> str:
    """Return a short digest of everything about a job but its log."""
    record = JobRecord.of(snapshot.job, service.settings.data_roots).model_dump_json()
    return sha256(record.encode()).hexdigest()[:12]
