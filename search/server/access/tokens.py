"""Finds the caller of a request: by its bearer token, or by the session that a browser got for one at its login."""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from hmac import compare_digest

from search.database.store import Store
from search.database.tokens import Token, TokenTable, digest_of
from search.server.access.identity import LOCAL, Caller

READ_SECONDS = 1.0
"""How long the tokens are kept that were read last: a token that was deleted is refused a second later."""

USE_SECONDS = 60.0
"""Least seconds between two records that a token was used."""

SESSION_SECONDS = 12 * 3600.0
MOST_SESSIONS = 10_000


@dataclass(frozen=True)
class Session:
    """The login of a browser. digest: of its token, which another token of the same name does not have."""

    token: str
    digest: str
    ends: float


class Callers:
    """Knows the tokens of the study database and the sessions of this process. Threads may share it."""

    def __init__(self, store: Store, demands_tokens: bool) -> None:
        self._table = TokenTable(store)
        self._demands_tokens = demands_tokens
        self._tokens: tuple[Token, ...] = ()
        self._read_at = -1e9
        self._used: dict[str, float] = {}
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def read(self) -> None:
        """Read the tokens again if that is due. It blocks: call it in a thread. Raises StorageError."""
        with self._lock:
            if not self.is_due:
                return
            self._tokens = tuple(self._table.tokens())
            self._read_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the tokens were read too long ago."""
        return time.monotonic() - self._read_at > READ_SECONDS

    @property
    def open(self) -> bool:
        """Whether everybody may do everything: only this machine can connect, and there is no token."""
        return not self._demands_tokens and not self._tokens

    @property
    def is_empty(self) -> bool:
        """Whether there is no token."""
        return not self._tokens

    def by_token(self, text: str) -> Caller | None:
        """Return the caller that a token means; None for one that is not known."""
        token = self._find(digest_of(text))
        return None if token is None else Caller(token.name, token.role)

    def by_session(self, values: list[str]) -> Caller | None:
        """Return the caller that the cookies of a browser mean; None without a session that is known."""
        for value in values:
            session = self._sessions.get(digest_of(value))
            if session is None or session.ends < time.time():
                continue
            token = self._find(session.digest)
            if token is not None:
                return Caller(token.name, token.role, by_cookie=True)
        return None

    def local(self) -> Caller | None:
        """Return the caller of a request without a token; None where tokens are needed."""
        return LOCAL if self.open else None

    def is_current(self, caller: Caller) -> bool:
        """Return whether a caller that was found earlier would be found again: its token may have been deleted."""
        if caller is LOCAL:
            return self.open
        return any((token.name, token.role) == (caller.name, caller.role) for token in self._tokens)

    def login(self, text: str) -> str | None:
        """Return the value of the cookie for a browser that has sent a token; None if the token is not known."""
        token = self._find(digest_of(text.strip()))
        if token is None:
            return None
        value = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[digest_of(value)] = Session(token.name, token.digest, time.time() + SESSION_SECONDS)
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return value

    def logout(self, values: list[str]) -> None:
        """End the sessions of these cookies."""
        with self._lock:
            for value in values:
                self._sessions.pop(digest_of(value), None)

    def note_use(self, caller: Caller) -> bool:
        """Return whether it is time to record that a token is used."""
        if caller is LOCAL or time.monotonic() - self._used.get(caller.name, -1e9) < USE_SECONDS:
            return False
        self._used[caller.name] = time.monotonic()
        return True

    def record_use(self, name: str) -> None:
        """Record in the database that a token is used now. It blocks: call it in a thread."""
        self._table.record_use(name)

    def _find(self, digest: str) -> Token | None:
        found = None
        for token in self._tokens:
            if compare_digest(token.digest, digest):
                found = token
        return found
