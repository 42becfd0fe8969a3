"""A password of the database is typed on the command line, or given by the environment."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

import psutil
import psycopg
from psycopg import sql

from tests.faults.row import Case, NotTriedError, Row, demand

COMMAND = ("run", "--dataset", "digits", "--trials", "3", "--heads", "linear", "--blocks", "3,8", "--pools", "1")
CORE = "hUsh7"
ODD = "%/@:?#&=+ '\"!$`\\{}é"
SHOWING = (
    ("status",),
    ("status", "--dataset", "digits"),
    ("status", "--json"),
    ("best", "--dataset", "digits", "--json"),
    ("report", "--format", "md", "--out", "-"),
    ("report", "--format", "json", "--out", "-"),
    ("report", "--out", "page.html"),
    ("export", "--dataset", "digits"),
)
"""Commands that print or write what is known of a study."""

HIDDEN_SECONDS = 30.0
"""Seconds within which the list of processes no longer shows a typed password, on a busy machine."""


def shows(content: str | bytes) -> bool:
    text = content if isinstance(content, str) else content.decode("latin-1")
    return CORE in text or CORE in unquote(text)


def typed_password(case: Case) -> None:
    """Type a password in a random spelling; look for it in files, tables, pages, processes and output meanwhile."""
    password = "".join(case.random.choices(ODD, k=3)) + CORE + "".join(case.random.choices(ODD, k=3))
    encoded = quote(password, safe="!'\"$ `" if case.random.random() < 0.5 else "")
    if case.random.random() < 0.5:
        encoded = lower_case(encoded)
    new_role(case, password)
    assert case.server is not None
    address = f"{case.server.address}/postgres"
    queries = f"?password={encoded.replace(' ', '%20')}&sslmode=prefer"
    case.url = case.random.choice([f"postgresql://odd:{encoded}@{address}", f"postgresql://odd@{address}{queries}"])
    watch(case, typed=True)


def given_password(case: Case) -> None:
    """Give the password by PGPASSWORD: it is in the environment of the run, and nowhere else."""
    password = f"{CORE}/'!"
    new_role(case, password)
    assert case.server is not None
    case.url = f"postgresql+psycopg://odd@{case.server.address}/postgres"
    case.variables["PGPASSWORD"] = password
    watch(case, typed=False)


def lower_case(encoded: str) -> str:
    """Return a percent-encoded text with its hexadecimal digits in lower case."""
    first, *others = encoded.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in others)])


def new_role(case: Case, password: str) -> None:
    """Make a user `odd` of the server with this password."""
    if case.server is None:
        raise NotTriedError("a file has no password")
    with psycopg.connect(case.server.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DO $$ BEGIN CREATE ROLE odd SUPERUSER LOGIN; EXCEPTION WHEN others THEN END $$")
        connection.execute(sql.SQL("ALTER ROLE odd PASSWORD {}").format(sql.Literal(password)))


def watch(case: Case, typed: bool) -> None:
    """Run a search and what shows its study. typed: the password is in the URL, and not in the environment."""
    seen: set[str] = set()
    began, looked = time.monotonic(), 0.0
    with case.started(*COMMAND) as run:
        while run.poll() is None:
            demand(time.monotonic() - began < 400, "the run did not end")
            late = time.monotonic() - began > HIDDEN_SECONDS
            seen |= set(showing_processes(run.pid, typed, late))
            if time.monotonic() - looked > 2:
                seen |= set(showing_files(case.folder))
                looked = time.monotonic()
            time.sleep(0.05)
    demand(run.returncode == 0, f"the run ended with {run.returncode}: {case.output[-500:]}")
    seen |= {f"output of {words}" for words in SHOWING if shows_itself(case, words)}
    seen |= set(showing_files(case.folder)) | set(showing_tables(case))
    demand(not seen, f"the password can be read in: {', '.join(sorted(seen)[:5])}")


def shows_itself(case: Case, words: tuple[str, ...]) -> bool:
    """Return whether a command prints the password."""
    ended = case.finished(*words)
    demand(ended.returncode == 0, f"{words} ended with {ended.returncode}: {ended.stderr[-500:]}")
    return shows(ended.stdout + ended.stderr)


def showing_processes(run: int, typed: bool, late: bool) -> Iterator[str]:
    """Yield the processes of a run that show the password. late: the run itself must have hidden it by now."""
    with suppress(psutil.Error):
        parent = psutil.Process(run)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.Error):
                words = process.cmdline()
                if shows(" ".join(words)) and (late or process.pid != run):
                    yield f"command line of {process.name()}"
                if typed and shows(repr(process.environ())):
                    yield f"environment of {process.name()}"


def showing_files(folder: Path) -> Iterator[str]:
    """Yield the files of a folder that hold the password: pages, logs, files of Ray."""
    for path in folder.rglob("*"):
        with suppress(OSError):  # Ray removes files meanwhile, and has sockets
            if path.is_file() and "cache" not in path.parts and shows(path.read_bytes()):
                yield str(path.relative_to(folder))


def showing_tables(case: Case) -> Iterator[str]:
    """Yield the tables of the database that hold the password."""
    assert case.server is not None
    with psycopg.connect(case.server.url.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        demand(len(tables) > 10, "there are no tables")
        for (table,) in tables:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            if shows(repr(rows)):
                yield f"table {table}"


ROWS = [
    Row(
        "database password typed in any spelling; no table, page, log or process shows it",
        typed_password,
        ("postgresql",),
    ),
    Row(
        "database password in PGPASSWORD; no table, page, log or command line shows it", given_password, ("postgresql",)
    ),
]
