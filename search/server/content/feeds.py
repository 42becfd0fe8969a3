"""Follows jobs for event streams. However many streams follow a job, the database is asked about it once a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from anyio import to_thread

from search.database.jobs.job_table import ENDED, Job, JobTable
from spaces import StorageError

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Snapshot:
    """A job at a moment. printed: how many characters its process has printed."""

    job: Job
    printed: int

    @property
    def has_ended(self) -> bool:
        return self.job.state in ENDED


@dataclass
class Feed:
    """The last snapshot of a job, and whoever waits for the next one."""

    last: Snapshot | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    followers: int = 0
    task: asyncio.Task[None] | None = None


class Feeds:
    """Polls the jobs that streams follow."""

    def __init__(self, jobs: JobTable) -> None:
        self._jobs = jobs
        self._feeds: dict[int, Feed] = {}

    @asynccontextmanager
    async def follow(self, job_id: int) -> AsyncIterator[Feed]:
        """Keep the feed of a job up to date while the block works."""
        feed = self._feeds.setdefault(job_id, Feed())
        feed.followers += 1
        if feed.task is None:
            feed.task = asyncio.create_task(self._poll(job_id, feed))
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                feed.task.cancel()
                self._feeds.pop(job_id, None)

    async def _poll(self, job_id: int, feed: Feed) -> None:
        while True:
            with suppress(StorageError):  # the database is asked again a second later
                snapshot = await to_thread.run_sync(self._read, job_id)
                if snapshot != feed.last:
                    async with feed.changed:
                        feed.last = snapshot
                        feed.changed.notify_all()
            await asyncio.sleep(POLL_SECONDS)

    def _read(self, job_id: int) -> Snapshot:
        return Snapshot(self._jobs.job(job_id), self._jobs.log(job_id, 2**62)[1])


async def next_snapshot(feed: Feed, last: Snapshot | None, seconds: float) -> Snapshot | None:
    """Return the snapshot of a feed that differs from the last one; None if there is none within so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), feed.changed:
            await feed.changed.wait_for(lambda: feed.last is not None and feed.last != last)
            return feed.last
    return None
