"""The parts that the routes of a server share: its settings, the open study database, and the callers."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from search.database.store import Store
from search.server.rates import Rates
from search.server.settings import Settings
from search.server.studies import StudyReader
from search.server.tokens import Callers

WRONG_TOKENS = 10
"""Wrong tokens that one address may send at once. One more is allowed each `WRONG_TOKEN_SECONDS`."""

WRONG_TOKEN_SECONDS = 6.0


@dataclass
class Service:
    """The parts of one server."""

    settings: Settings
    store: Store
    callers: Callers
    studies: StudyReader
    wrong_tokens: Rates = field(default_factory=lambda: Rates(1 / WRONG_TOKEN_SECONDS, WRONG_TOKENS))

    @classmethod
    def open(cls, settings: Settings) -> "Service":
        """Open the study database; its tables are made where needed. Raises StorageError."""
        store = Store.open(settings.database)
        return cls(settings, store, Callers(store, settings.demands_tokens), StudyReader(store))

    def close(self) -> None:
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
