"""Who may use a web server: the names by which it may be called, pages of other sites, and the dashboard's token."""

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any, Self, final

from spaces import UsageError
from spaces.errors import shown

FEWEST_CHARACTERS = 16
"""The shortest token that is accepted. A generated one has 43 characters, 256 random bits."""

TOKEN = re.compile(f"[!-~]{{{FEWEST_CHARACTERS},}}")
LOCAL_PATH = re.compile(r"/(?![/\\])[!-~]*")
"""A path on this server. A browser would take //name as another server."""

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?")
"""A Host header. Any port: through an SSH tunnel, browser and server use different ones."""

READS = ("GET", "HEAD")


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)


def is_loopback(name: str) -> bool:
    """Return whether a name or an address, in brackets or not, means the loopback interface of any machine."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


@final
@dataclass(frozen=True)
class AllowedHosts:
    """The names by which a server may be called.

    names: names in Host headers that are accepted. loopback: whether those that mean the loopback interface are
    accepted too.

    A web page of an attacker can reach the server under a name of the attacker (DNS rebinding), and so read everything.
    Such a request bears the attacker's name in its Host header, and is refused.
    """

    names: frozenset[str] = frozenset()
    loopback: bool = True

    @classmethod
    def of(cls, host: str, allowed_hosts: Collection[str] = ()) -> Self:
        """Return the names of a server that listens on `host`.

        allowed_hosts: names and addresses that people type into their browsers. Raises UsageError for a name that no
        Host header can bear, and where others can connect and no name is given.
        """
        if not host.strip():
            raise UsageError(
                "`host` must name an address such as 127.0.0.1, or 0.0.0.0 for every address of this machine, got none"
            )
        names = frozenset(map(_checked_name, allowed_hosts))
        if needs_token(host, allowed_hosts) and not names:
            raise UsageError(
                f"`host` {host} lets others connect: `allowed_host` must give the name that they type into their "
                "browsers, such as gpu7.example.org, got none; a web page could use any other name"
            )
        return cls(names, is_loopback(host))

    def refusal(self, host: str, origin: str | None) -> str | None:
        """Say why a request is refused whoever sends it, in words; None if it is not.

        host, origin: its headers. A browser says in Origin from which site a page sends a request.
        """
        if not self._accepts(host):
            accepted = ", ".join([*(["localhost"] if self.loopback else []), *sorted(self.names)])
            return (
                f"this server accepts requests to {accepted} only, got {host or 'no host name'}; "
                "name another one with `allowed_host` where it is started"
            )
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return f"requests from pages of {origin} are not accepted"
        return None

    def _accepts(self, host: str) -> bool:
        match = HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower().rstrip(".")
        return name in self.names or (self.loopback and is_loopback(name))


@final
@dataclass(frozen=True)
class Access:
    """Decides which requests the dashboard answers.

    hosts: the names by which it may be called. token_digest: SHA-256 of the token; None where no token is needed.
    session: the value of the cookie that a browser receives for the token; it is valid as long as the server runs.
    """

    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    token_digest: bytes | None = field(default=None, repr=False)
    session: str = field(default_factory=new_token, repr=False)

    @classmethod
    def of(cls, host: str, allowed_hosts: Collection[str] = (), token: str | None = None) -> Self:
        """Return who may use a dashboard that listens on `host`. The token is not kept, only its digest.

        allowed_hosts: names and addresses that people type into their browsers. Raises UsageError for a name that no
        Host header can bear, for a token that is too short, and where others can connect and a name or the token is
        missing.
        """
        if token is not None and not TOKEN.fullmatch(token):
            raise UsageError(
                f"the token must have at least {FEWEST_CHARACTERS} characters, of ASCII and without spaces, got "
                f"{len(token)}; leave it out, and one is generated"
            )
        hosts = AllowedHosts.of(host, allowed_hosts)
        if needs_token(host, allowed_hosts) and token is None:
            raise UsageError(f"`host` {host} lets others connect, and needs a token, got none")
        return cls(hosts, None if token is None else sha256(token.encode()).digest())

    @property
    def names(self) -> frozenset[str]:
        """The names, other than those of the loopback interface, by which the dashboard may be called."""
        return self.hosts.names

    def refusal(self, environ: Mapping[str, Any]) -> str | None:
        """Say why a request is refused whoever sends it, in words; None if it is not.

        Reads without Origin come from no page, or cannot be read by it. Writes need it, unless they bear the token,
        which no browser adds by itself.
        """
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if refused := self.hosts.refusal(host, origin):
            return refused
        if origin is None and environ["REQUEST_METHOD"] not in READS and not self._bears_token(environ):
            return f"a request that changes something needs the header Origin: http://{host}, got none"
        return None

    def knows(self, environ: Mapping[str, Any]) -> bool:
        """Return whether a request bears the token or the cookie, or needs none."""
        if self.token_digest is None or self._bears_token(environ):
            return True
        values = cookie_values(environ.get("HTTP_COOKIE", ""), cookie_name(environ))
        return any(compare_digest(value.encode(), self.session.encode()) for value in values)

    def is_token(self, text: str) -> bool:
        """Return whether a text is the token. It takes the same time for every text of one length."""
        given = sha256(text.encode(errors="replace")).digest()
        return self.token_digest is not None and compare_digest(given, self.token_digest)

    def cookie(self, environ: Mapping[str, Any]) -> tuple[str, str]:
        """Return the header that gives a browser the cookie. No script can read it, and no other site can send it."""
        return "Set-Cookie", f"{cookie_name(environ)}={self.session}; HttpOnly; SameSite=Strict; Path=/"

    def _bears_token(self, environ: Mapping[str, Any]) -> bool:
        token = bearer_token(environ.get("HTTP_AUTHORIZATION", ""))
        return token is not None and self.is_token(token)


def bearer_token(authorization: str) -> str | None:
    """Return the token in a header Authorization; None where it bears none."""
    kind, _, value = authorization.partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def cookie_values(header: str, name: str) -> list[str]:
    """Return the values of the cookies of this name in a header Cookie.

    `http.cookies` is not used: it reads no cookie at all where another server of this host has set an odd one.
    """
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return [value for key, _, value in pairs if key == name]


def local_path(path: str) -> str:
    """Return a path of this server as it is, and the first page in place of anything else."""
    return path if LOCAL_PATH.fullmatch(path) else "/"


def needs_token(host: str, allowed_hosts: Collection[str]) -> bool:
    """Return whether others can reach a server: it listens on another interface, or has another name, as of a proxy."""
    return bool(allowed_hosts) or not is_loopback(host)


def cookie_name(environ: Mapping[str, Any]) -> str:
    """Return the name of the cookie. Browsers share cookies between ports, so it contains the port."""
    return f"search-dashboard-{environ.get('SERVER_PORT', '')}"


def _checked_name(name: str) -> str:
    """Return a name as it stands in a Host header, in lower case. An IPv6 address gets its brackets."""
    text = f"[{name}]" if ":" in name and not name.startswith("[") else name
    match = HOST.fullmatch(text)
    if match is None or match[2] is not None or (text.startswith("[") and not _is_address(text)):
        raise UsageError(
            "`allowed_host` takes a name or an address without http:// and without a port, such as gpu7.example.org "
            f"or 10.0.0.7, got {shown(name)}"
        )
    return text.lower().rstrip(".")


def _is_address(text: str) -> bool:
    try:
        ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
