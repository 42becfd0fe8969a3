"""The parts that the routes of a server share: its settings, the open study database, and the callers."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from search.database.jobs.job_table import JobTable
from search.database.jobs.worker_table import WorkerTable
from search.database.store import Store
from search.server.access.rates import Rates
from search.server.access.tokens import Callers
from search.server.content.classifying import Classifying
from search.server.content.feeds import Feeds
from search.server.content.planning import Planner
from search.server.content.studies import StudyReader
from search.server.settings import Settings

WRONG_TOKENS = 10
"""Wrong tokens that one address may send at once. One more is allowed each `WRONG_TOKEN_SECONDS`."""

WRONG_TOKEN_SECONDS = 6.0


@dataclass
class Service:
    """The parts of one server. streams: event streams that are open."""

    settings: Settings
    store: Store
    callers: Callers
    studies: StudyReader
    jobs: JobTable
    workers: WorkerTable
    feeds: Feeds
    classifying: Classifying
    planner: Planner
    wrong_tokens: Rates
    streams: int = 0

    @classmethod
    def open(cls, settings: Settings) -> "Service":
        """Open the study database; its tables are made where needed. Raises StorageError."""
        store = Store.open(settings.database)
        jobs = JobTable(store)
        return cls(
            settings,
            store,
            Callers(store, settings.demands_tokens),
            StudyReader(store),
            jobs,
            WorkerTable(store),
            Feeds(jobs),
            Classifying(settings.home.cache),
            Planner(),
            Rates(1 / WRONG_TOKEN_SECONDS, WRONG_TOKENS),
        )

    def close(self) -> None:
        self.classifying.close()
        self.store.close()


def service_of(request: Request) -> Service:
    """Return the parts of the server that got a request."""
    service: Service = request.app.state.service
    return service


async def _service(request: Request) -> Service:
    return service_of(request)


Served = Annotated[Service, Depends(_service)]
"""The type of a route's parameter that receives the `Service`."""

Json = dict[str, Any]
