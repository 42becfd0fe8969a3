"""The settings of a server, as `search serve` makes them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dashboards.access import AllowedHosts, needs_token
from objectives.home import Home
from spaces import UsageError
from spaces.errors import shown

LogFormat = Literal["text", "json"]

PORT = 8080
"""Default port. That of `search dashboard` is another one, so that both can run at once."""

API = "/api/v1"
"""The path of the HTTP API."""


@dataclass(frozen=True)
class Limits:
    """The most that one caller may send.

    requests: a second, of one token or one address. burst: requests at once. body: bytes of a request other than an
    upload. upload: bytes of one image. images: uploaded at once. pixels: of one image.
    """

    requests: float = 500.0
    burst: int = 1000
    body: int = 1_000_000
    upload: int = 20_000_000
    images: int = 16
    pixels: int = 50_000_000


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    home: the folder of reports, classifiers and fetched datasets. database: URL of the study database, which may hold a
    password, or its file. host, port: where the server listens. hosts: the names by which it may be called.
    demands_tokens: whether others can connect, so that every caller needs a token. data_roots: name → the folder below
    which images may lie. allow_hub: whether jobs may name networks and datasets of Hugging Face. tls: files of the
    certificate and of its key.
    """

    home: Home
    database: str | Path = field(repr=False)
    host: str = "127.0.0.1"
    port: int = PORT
    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    demands_tokens: bool = False
    data_roots: Mapping[str, Path] = field(default_factory=dict)
    allow_hub: bool = False
    tls: tuple[Path, Path] | None = None
    log_format: LogFormat = "text"
    limits: Limits = field(default_factory=Limits)

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"


def settings_of(
    home: Home,
    storage: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    allowed_hosts: Sequence[str] = (),
    data_roots: Sequence[str] = (),
    allow_hub: bool = False,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    log_format: str = "text",
    requests: float = Limits.requests,
) -> Settings:
    """Check the options of `search serve`. data_roots: of the form NAME=DIR. Raises UsageError in words."""
    if log_format not in ("text", "json"):
        raise UsageError(f"`log_format` must be text or json, got {shown(log_format)}")
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("`tls_cert` and `tls_key` belong together, got only one of them")
    for name, file in (("tls_cert", tls_cert), ("tls_key", tls_key)):
        if file is not None and not file.is_file():
            raise UsageError(f"`{name}` must be a file, got {shown(str(file))}, which is none")
    return Settings(
        home,
        storage or home.storage,
        host,
        port,
        AllowedHosts.of(host, allowed_hosts),
        needs_token(host, allowed_hosts),
        dict(map(_data_root, data_roots)),
        allow_hub,
        None if tls_cert is None or tls_key is None else (tls_cert, tls_key),
        "json" if log_format == "json" else "text",
        Limits(requests=requests, burst=max(1, round(2 * requests))),
    )


def _data_root(text: str) -> tuple[str, Path]:
    """Return the name and the folder of NAME=DIR."""
    name, equals, folder = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
        raise UsageError(
            f"`data_root` of a server must be NAME=DIR, with a name of letters, digits, hyphens and underscores, got "
            f"{shown(text)}; try images=/data/images"
        )
    if not Path(folder).is_dir():
        raise UsageError(f"`data_root` {name} must be a folder, got {shown(folder)}, which is none")
    return name, Path(folder).resolve()
