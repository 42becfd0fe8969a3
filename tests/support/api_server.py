"""The HTTP server of searches in a thread, on a free port, and requests to it."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from search.database.store import Store
from search.database.tokens import ROLES, TokenTable
from search.server.run import make_server, open_socket
from search.server.settings import Settings
from tests.support.served import free_port


@dataclass(frozen=True)
class ApiServer:
    """A server that runs. tokens: role → the token of that role; empty where the server is open."""

    url: str
    tokens: dict[str, str]
    settings: Settings
    http: httpx2.Client

    def client(self, role: str | None = None, **options: Any) -> httpx2.Client:
        """Return a client of its own, with its own cookies, that sends the token of a role; none for None."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}
        headers |= options.pop("headers", {})
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60, verify=False, **options)

    def ask(
        self, method: str, path: str, role: str | None = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """Send one request with the token of a role; none for None."""
        bearer = {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}
        return self.http.request(method, path, headers={**bearer, **(headers or {})}, **options)


@contextmanager
def api_server(settings: Settings, with_tokens: bool = True) -> Iterator[ApiServer]:
    """Serve until the block ends. with_tokens: make a token of each role, named as the role."""
    settings = replace(settings, port=free_port())
    tokens: dict[str, str] = {}
    if with_tokens:
        with Store.open(settings.database) as store:
            tokens = {role: TokenTable(store).create(role, role) for role in ROLES}
    server = make_server(settings)
    listener = open_socket(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        url = f"{settings.scheme}://127.0.0.1:{settings.port}"
        with httpx2.Client(base_url=url, timeout=60, verify=False) as http:
            yield ApiServer(url, tokens, settings, http)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()
