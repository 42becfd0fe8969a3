"""The tokens of the server, as the study database keeps them: their digests, never their text."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args

from sqlalchemy import select

from search.database.connection.dialects import now
from search.database.models import TokenRow
from search.database.store import Store
from spaces import StorageError, UsageError, check_name
from spaces.errors import did_you_mean, shown

Role = Literal["viewer", "runner", "admin"]
"""viewer: reads. runner: also submits jobs, controls its own and uploads images. admin: everything."""

ROLES: tuple[Role, ...] = get_args(Role)
"""All roles. Each may do what those before it may."""

PREFIX = "dfs_"
"""The beginning of every token, by which programs that look for secrets in files can find it."""

LONGEST_NAME = 60


@dataclass(frozen=True)
class Token:
    """A token of the server. Its text is shown once, when it is made."""

    name: str
    role: Role
    digest: str
    created: datetime
    last_used: datetime | None


class TokenTable:
    """The tokens in an open study database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, role: str) -> str:
        """Make a token and return its text, which is kept nowhere.

        Raises UsageError for a name that cannot be, UnknownNameError for another role, StorageError where the name is
        taken.
        """
        if not re.fullmatch(r"[A-Za-z0-9][\w.@-]*", name, re.ASCII) or len(name) > LONGEST_NAME:
            raise UsageError(
                f"`name` of a token must be at most {LONGEST_NAME} letters, digits, dots, hyphens, underscores and @, "
                f"and begin with a letter or digit, got {shown(name)}; try anna"
            )
        check_name("role", role, ROLES)
        text = PREFIX + secrets.token_urlsafe(32)
        with self._store.session() as session:
            if session.get(TokenRow, name) is not None:
                raise StorageError(
                    f"there is a token {name!r} already; choose another `name`, or delete it first with "
                    f"`search token delete {name}`"
                )
            session.add(TokenRow(name=name, role=role, digest=digest_of(text), created=now(session)))
        return text

    def tokens(self) -> list[Token]:
        """Return all tokens, in order of their names."""
        with self._store.session() as session:
            return [_token(row) for row in session.scalars(select(TokenRow).order_by(TokenRow.name))]

    def delete(self, name: str) -> None:
        """Delete a token. Raises StorageError where there is none of this name."""
        with self._store.session() as session:
            row = session.get(TokenRow, name)
            if row is None:
                names = sorted(session.scalars(select(TokenRow.name)))
                raise StorageError(
                    f"there is no token {shown(name)}; {did_you_mean(name, names)}there are: "
                    f"{', '.join(names) or 'none yet'}"
                )
            session.delete(row)

    def record_use(self, name: str) -> None:
        """Record that a token is used now."""
        with self._store.session() as session:
            row = session.get(TokenRow, name)
            if row is not None:
                row.last_used = now(session)


def digest_of(text: str) -> str:
    """Return the digest under which a token is kept: SHA-256, as 64 hex digits."""
    return sha256(text.encode(errors="replace")).hexdigest()


def _token(row: TokenRow) -> Token:
    role: Role = next((known for known in ROLES if known == row.role), "viewer")
    return Token(row.name, role, row.digest, row.created, row.last_used)
