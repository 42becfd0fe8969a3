"""Parses the URL of a study database, and takes out of it what nobody may see, such as its password.

Only this file knows what is secret. A secret goes from here to the driver, as an argument beside the URL.
"""

import re
import shlex
from collections.abc import Iterable, Iterator

import sqlalchemy
from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from spaces import StorageError

EXAMPLES = "sqlite:////path/to/studies.db or postgresql://user@host/database"
PASSWORDS = "~/.pgpass or the environment variable PGPASSWORD"
"""Where PostgreSQL finds a password that no URL holds."""

POSTGRESQL = "postgresql+psycopg"

SHOWN = re.compile(
    "application_name|channel_binding|client_encoding|connect_timeout|dbname|fallback_application_name|gssdelegation|"
    "gssencmode|gsslib|host|hostaddr|keepalives(_count|_idle|_interval)?|krbsrvname|load_balance_hosts|"
    "(ssl_)?(max|min)_protocol_version|oauth_(client_id|issuer|scope)|options|passfile|port|require_auth|requirepeer|"
    "service|servicefile|ssl(cert|certmode|compression|crl|crldir|key|mode|negotiation|rootcert|sni)|"
    "target_session_attrs|tcp_user_timeout|user"
)
"""The parameters of a PostgreSQL URL that may be shown. Every other one is kept as a secret, such as sslpassword."""

SHORT = 8
"""Characters of a secret below which only whole words of a message are masked: others are part of it by chance."""

_SERVER_URL = re.compile(r"postgres[\w+]*://", re.IGNORECASE)


def parse_url(url: str) -> tuple[URL, dict[str, str]]:
    """Parse the URL of a SQLite file or of a PostgreSQL server.

    Return it without its secrets, and these as arguments of the driver. Raises StorageError for any other URL, without
    showing what may be secret in it.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed, {}
    secrets = {"password": str(parsed.password)} if parsed.password else {}
    for name, value in parsed.query.items():
        if not SHOWN.fullmatch(name):
            secrets[name] = value if isinstance(value, str) else value[-1]
    query = {name: value for name, value in parsed.query.items() if SHOWN.fullmatch(name)}
    return URL.create(POSTGRESQL, parsed.username, None, parsed.host, parsed.port, parsed.database, query), secrets


def masked(message: str, secrets: Iterable[str]) -> str:
    """Return a message with *** in place of each secret, however it is quoted."""
    for secret in sorted(secrets, key=len, reverse=True):
        message = _spellings(secret).sub("***", message)
    return message


def without_secrets(word: str) -> str:
    """Return a word of a command line without the secrets of a PostgreSQL URL in it, as in `--storage=URL`.

    Of a URL that cannot be understood nothing but its beginning is left.
    """
    begin = _SERVER_URL.search(word)
    if begin is None:
        return word
    before, url = word[: begin.start()], word[begin.start() :]
    try:
        shown, secrets = parse_url(url)
    except StorageError:
        return f"{before}{POSTGRESQL}://"
    return f"{before}{shown.render_as_string()}" if secrets else word


def command_without_secrets(command: str) -> str:
    """Return a command line as a shell reads it, without the secrets of a PostgreSQL URL in it.

    Where its quotes do not match, it ends before the URL.
    """
    begin = _SERVER_URL.search(command)
    if begin is None:
        return command
    try:
        words = shlex.split(command)
    except ValueError:
        return re.sub(r"(\s--storage)?[\s='\"]*$", "", command[: begin.start()])
    shown = [*map(without_secrets, words)]
    return command if shown == words else shlex.join(shown)


def _spellings(secret: str) -> re.Pattern[str]:
    """Return a pattern of the spellings of a secret: each character as it is, in quotes, or percent-encoded."""
    pattern = "".join(f"(?:{'|'.join(_spellings_of_character(character))})" for character in secret)
    return re.compile(rf"(?<!\w){pattern}(?!\w)" if len(secret) < SHORT else pattern)


def _spellings_of_character(character: str) -> Iterator[str]:
    yield re.escape({"'": "'\"'\"'", " ": "+"}.get(character, f"\\{character}"))
    yield re.escape(character)
    yield f"(?i:{''.join(f'%{byte:02x}' for byte in character.encode())})"


def _parsed(url: str) -> URL:
    """Parse the URL of a SQLite file or of a PostgreSQL server. Raises StorageError for any other, without its text."""
    try:
        parsed = sqlalchemy.make_url(url)
        dialect = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        dialect = ""
    except ValueError:  # the port is the one number of a URL
        raise StorageError(
            "`storage` must have a whole number as its port, which follows the host and a colon; try "
            "postgresql://user@host:5432/database"
        ) from None
    if dialect not in ("sqlite", "postgresql", "postgres"):
        scheme, is_url, _ = url.partition("://")  # the rest may hold a password
        got = repr(scheme) if is_url and re.fullmatch(r"[\w+.-]{1,30}", scheme) else "no URL"
        raise StorageError(f"`storage` must be a URL of SQLite or PostgreSQL, got {got}; try {EXAMPLES}")
    if dialect != "sqlite":
        _check_server(url, parsed)
    else:
        _check_file(url, parsed)
    return parsed


def _check_file(url: str, parsed: URL) -> None:
    """Refuse a URL of SQLite that names no plain file."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise StorageError(f"`storage` of SQLite takes no user, password or host, got some of them; try {EXAMPLES}")
    if parsed.database in (None, "", ":memory:") or "?" in url or "\ufffd" in str(parsed.database):
        raise StorageError(
            f"`storage` must name a plain file, got {re.sub('[?].*', '?…', url)!r}; try {EXAMPLES}, with %3F for ? and "
            "%25 for % in names"
        )


def _check_server(url: str, parsed: URL) -> None:
    """Refuse a URL of which a part would be taken for another one, such as the end of a password for a host."""
    signs = url.count("@")
    if signs > 1 or (signs and parsed.username is None):
        raise StorageError(
            "`storage` must have at most one @, before the host; write @, / and : in a user, and @ in a password or a "
            f"parameter, as %40, %2F and %3A; better, leave the password out and put it into {PASSWORDS}"
        )
    values = (parsed.username, parsed.password, parsed.host, parsed.database, *parsed.query.values())
    if not all(map(_is_text, values)):
        raise StorageError(
            "`storage` must be text in UTF-8 without the character NUL, also where it is percent-encoded"
        )


def _is_text(value: object) -> bool:
    text = str(value)
    return not any(character in "\0\ufffd" or "\ud800" <= character <= "\udfff" for character in text)
