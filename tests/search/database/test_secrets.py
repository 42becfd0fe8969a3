"""The password of a study database reaches the driver and nothing else, however it is spelled."""

import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

import psycopg
import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import text

from dashboards.study.report import FORMATS
from search.commands import command_line, home_words, run_command
from search.database import migrations
from search.database.connection.url import Address
from search.database.records import RunRecord
from search.database.secrets import command_without_secrets, without_secrets
from search.database.store import Store
from search.options.run_options import RunOptions
from search.options.sets import SCREENING_OPTIONS
from search.reports.study_report import publish, study_text
from spaces import StorageError
from spaces.text import one_line
from tests.support.postgresql import Server
from tests.support.studies import MakeRecord

CORE = "hUsh7"
"""A part of every password here, which is looked for in what can be seen."""

ODD = st.text(alphabet="%/:@?#&=+ '\"!$`\\{}[]<>*;\n\té雪🔒ab0", max_size=4)
PASSWORDS = st.builds(lambda before, after: before + CORE + after, ODD, ODD)
RAW = "!$'\"`\\{}[]<>*; ab0é雪🔒" + CORE
"""Characters that are passwords' own in every part of a URL, without percent-encoding."""


@st.composite
def spelled(draw: st.DrawFn, password: str) -> str:
    """A spelling of a password in a URL: characters are percent-encoded where they must be, and here and there."""
    parts = []
    for character in password:
        encoded = "".join(f"%{byte:02x}" for byte in character.encode())
        choices = [encoded, encoded.upper()] + [character] * 3 * (character in RAW)
        parts.append(draw(st.sampled_from(choices)))
    return "".join(parts)


@st.composite
def urls(draw: st.DrawFn) -> tuple[str, str, str]:
    """A URL, the password in it, and the driver's name of that password."""
    password = draw(PASSWORDS)
    name = draw(st.sampled_from(["user", "password", "sslpassword", "oauth_client_secret", "scram_client_key"]))
    scheme = draw(st.sampled_from(["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"]))
    spelling = draw(spelled(password))
    query = "?sslmode=prefer&passfile=/me/.pgpass"
    if name == "user":
        return f"{scheme}://me:{spelling}@db.example:5432/studies{query}", password, "password"
    spelling = spelling.replace(";", "%3b")
    user = draw(st.sampled_from(["me@", "me:other@", ""]))
    return f"{scheme}://{user}db.example/studies{query}&{name}={spelling}", password, name


def shows(surface: object) -> bool:
    """Return whether anybody can read the password in a text, with its percent-encoding or without it."""
    shown = str(surface)
    return any(CORE in spelling for spelling in (shown, unquote(shown), unquote_plus(shown)))


@settings(max_examples=200, deadline=None)
@given(urls())
def test_nothing_shows_a_password_and_the_driver_gets_it(drawn: tuple[str, str, str]) -> None:
    url, password, name = drawn
    address, options = Address(url), RunOptions("digits", storage=url, seed=3)
    assert address.engine_options()["connect_args"][name] == password
    typed = ["search", "run", "--dataset", "digits", "--storage", url, "--seed", "3"]
    surfaces: dict[str, Any] = {
        "address": [str(address), repr(address), str(address.url), repr(address.url), address.words],
        "Optuna's URL": address.optuna_url,
        "options": [repr(options), json.dumps(options.to_record())],
        "command": [run_command(options), command_line("recommend", options, SCREENING_OPTIONS), home_words(None, url)],
        "words": [without_secrets(url), without_secrets(f"--storage={url}")],
        "old commands": [
            command_without_secrets(one_line(shlex.join(typed))),
            command_without_secrets(one_line(shlex.join([*typed[:4], f"--storage={url}"]))),
            command_without_secrets(f"search run --storage '{url}"),
        ],
    }
    assert [kind for kind, surface in surfaces.items() if shows(surface)] == []
    spellings = (password, quote(password, safe=""), shlex.quote(password), password.replace("\\", "\\\\"))
    for spelling in spellings:
        with pytest.raises(StorageError) as caught, address.errors():
            raise sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception(f"no password={spelling} here"))
        assert not shows(caught.value)
        assert not shows(address.first_line(Exception(f"no password={spelling} here")))
    assert shlex.split(run_command(options))[-1] == str(address)
    assert str(Address(str(address))) == str(address)
    assert command_without_secrets(shlex.join(typed)) == shlex.join([*typed[:5], str(address), *typed[6:]])


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:pa@{CORE}@host/db",
        f"postgresql://m/e:{CORE}@host/db",
        f"postgresql://me:%00{CORE}@host/db",
        f"postgresql://me:%ff{CORE}@host/db",
        f"postgresql://me:\udcff{CORE}@host/db",
        f"postgresql://me:{CORE}@host:{CORE}/db",
        f"postgresql+a+b://me:{CORE}@{CORE}@/db",
        f"sqlite://me:{CORE}@/file.db",
        f"sqlite:///file.db?password={CORE}",
        f"host=localhost password={CORE}",
        f"password={CORE}://",
    ],
)
def test_a_refused_url_is_not_shown(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        Address(url)
    assert not shows(caught.value)
    if url.startswith("postgresql"):
        assert without_secrets(f"--storage={url}") == "--storage=postgresql+psycopg://"


RUN, CLEAN = "search run --dataset digits", "postgresql+psycopg://me@host/db"
OLD_COMMANDS = {
    RUN: RUN,
    f"{RUN} --storage sqlite:////a@b/x.db": f"{RUN} --storage sqlite:////a@b/x.db",
    f"{RUN} --storage postgresql://me@host/db --flips": f"{RUN} --storage postgresql://me@host/db --flips",
    f"{RUN} --storage postgresql://me:***@host/db": f"{RUN} --storage {CLEAN}",
    f"{RUN} --storage postgresql://me:%2f{CORE}@host/db": f"{RUN} --storage {CLEAN}",
    f"{RUN} '--storage=postgres://me:!{CORE}@host/db'": f"{RUN} --storage={CLEAN}",
    f"{RUN} --storage 'postgresql://me:'\"'\"'{CORE}@host/db' --flips": f"{RUN} --storage {CLEAN} --flips",
    f"{RUN} --storage 'postgresql://me@host/db?sslpassword={CORE}'": f"{RUN} --storage {CLEAN}",
    f"{RUN} --storage 'postgresql://me:it's{CORE}@host/db' --flips": RUN,
}
"""Commands as earlier versions kept them, and what is left of them."""


def test_a_migration_cleans_the_commands_of_earlier_versions(
    storage_url: str, make_record: MakeRecord, run_record: RunRecord
) -> None:
    with Store.open(storage_url) as store:
        study = store.ensure_study(make_record())
        for command in OLD_COMMANDS:
            store.begin_run(study, RunRecord(1, command, {}))
        with store.optuna.engine.begin() as connection:
            connection.execute(text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '0009'"))
            for table in ("search_jobs", "search_workers", "search_tokens"):  # of version 0011
                connection.execute(text(f"DROP TABLE {table}"))
            for table, column in (("search_studies", "request"), ("search_runs", "reason")):
                connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
    with Store.open(storage_url) as store:
        assert [run.command for run in store.read_runs(study)] == [*OLD_COMMANDS.values()]


def dump(store: Store) -> str:
    """Return the content of every table of a database."""
    tables = sqlalchemy.MetaData()
    with store.optuna.engine.connect() as connection:
        tables.reflect(connection)
        rows = [connection.execute(table.select()).all() for table in tables.sorted_tables]
    return repr(rows)


@pytest.mark.postgresql
def test_no_table_and_no_page_shows_the_password_of_a_run(
    postgresql_url: str, postgresql_server: Server, tmp_path: Path, make_record: MakeRecord
) -> None:
    @settings(max_examples=5, deadline=None)
    @given(PASSWORDS.flatmap(lambda password: st.tuples(st.just(password), spelled(password))))
    def check(drawn: tuple[str, str]) -> None:
        password, spelling = drawn
        with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("DO $$ BEGIN CREATE ROLE odd SUPERUSER LOGIN; EXCEPTION WHEN others THEN END $$")
            connection.execute(sql.SQL("ALTER ROLE odd PASSWORD {}").format(sql.Literal(password)))
        url = f"postgresql://odd:{spelling}@{postgresql_server.address}/postgres"
        options = RunOptions("digits", storage=url, home=tmp_path / "home")
        with Store.open(url) as store:
            study = store.ensure_study(make_record())
            with store.run(study, RunRecord(1, run_command(options), {}, options=options.to_record())):
                pass
            results = store.read_study(study)
            page = publish(results, store, options.home_folder.reports)
            texts = [page.read_text("utf-8"), *(study_text(results, form) for form in FORMATS), repr(results)]
            assert str(store.address) == f"postgresql+psycopg://odd@{postgresql_server.address}/postgres"
            assert str(store.address) in texts[0]
            assert not shows(dump(store))
            assert not any(map(shows, texts))

    check()


PLACES = ("PGPASSWORD", "PGPASSFILE", "~/.pgpass", "passfile", "service", "PGSERVICE", "~/.pg_service.conf")


@pytest.mark.parametrize("place", PLACES)
def test_a_password_need_not_be_in_the_url(
    place: str, postgresql_url: str, postgresql_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = unquote(postgresql_url.split(":")[2].partition("@")[0])
    host, _, port = postgresql_server.address.partition(":")
    for name in ("PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"postgresql+psycopg://search@{host}:{port}/postgres"
    with pytest.raises(StorageError, match="no password supplied"):
        Store.open(url)
    passwords = tmp_path / (".pgpass" if place == "~/.pgpass" else "passwords")
    services = tmp_path / (".pg_service.conf" if place == "~/.pg_service.conf" else "services.conf")
    passwords.write_text(f"{host}:{port}:*:search:{password}\n")
    passwords.chmod(0o600)
    services.write_text(f"[studies]\nhost={host}\nport={port}\nuser=search\ndbname=postgres\npassword={password}\n")
    if place in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.setenv(place, {"PGPASSWORD": password, "PGPASSFILE": str(passwords)}[place])
    elif place == "passfile":
        url = f"{url}?passfile={quote(str(passwords), safe='')}"
    elif place == "PGSERVICE":
        monkeypatch.setenv("PGSERVICE", "studies")
        monkeypatch.setenv("PGSERVICEFILE", str(services))
        url = "postgresql+psycopg://"
    elif place in ("service", "~/.pg_service.conf"):
        url = "postgresql+psycopg:///?service=studies"
        if place == "service":
            monkeypatch.setenv("PGSERVICEFILE", str(services))
    with Store.open(url) as store:
        assert store.studies() == []
        assert str(Address(str(store.address))) == str(store.address) == url
