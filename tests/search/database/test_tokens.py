"""The tokens of a server in SQLite and PostgreSQL."""

import pytest

from search.database.store import Store
from search.database.tokens import ROLES, TokenTable, digest_of
from spaces import StorageError, UsageError


def test_tokens_are_made_found_used_and_deleted(store: Store) -> None:
    tokens = TokenTable(store)
    texts = {role: tokens.create(role, role) for role in ROLES}
    kept = tokens.tokens()
    assert [(token.name, token.role) for token in kept] == [(role, role) for role in sorted(ROLES)]
    assert {token.digest for token in kept} == {digest_of(text) for text in texts.values()}
    assert all(token.last_used is None for token in kept)
    tokens.record_use("admin")
    tokens.record_use("nobody")
    assert tokens.tokens()[0].last_used is not None
    tokens.delete("admin")
    assert len(tokens.tokens()) == 2
    with pytest.raises(StorageError, match="did you mean 'viewer'"):
        tokens.delete("viewers")
    with pytest.raises(StorageError, match="already"):
        tokens.create("viewer", "admin")
    with pytest.raises(UsageError, match="unknown role"):
        tokens.create("x", "root")


@pytest.mark.parametrize("name", ["", "a b", "-x", "ä", "x" * 61, "a/b", "a\n"])
def test_a_name_is_plain(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="`name` of a token"):
        TokenTable(store).create(name, "viewer")
