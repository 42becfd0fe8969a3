"""The port of the dashboard, and the error of a server that cannot listen."""

import errno
import socket

from spaces import SearchError

PORT = 8081
"""Default port of `search dashboard`. That of `search serve` is another one, so that both can run at once."""

MOST_TRIED = 20
"""Ports after a taken one that are tried, to name a free one."""


def cannot_listen(host: str, port: int, error: OSError | OverflowError) -> SearchError:
    """Return the error of a server that cannot listen, in words. For a taken port it names a free one."""
    where = f"cannot listen on {host} port {port}"
    if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
        reason = getattr(error, "strerror", None) or error
        return SearchError(f"{where}: {reason}; choose another `host` or `port`")
    free = free_port_after(host, port)
    instead = "" if free is None else f", such as {free}"
    return SearchError(f"{where}: the port is in use; end the program that uses it, or choose another `port`{instead}")


def free_port_after(host: str, port: int) -> int | None:
    """Return the first free port of the `MOST_TRIED` after a port; None where all are taken."""
    for candidate in range(port + 1, min(port + MOST_TRIED, 65535) + 1):
        try:
            socket.create_server((host, candidate), family=family_of(host)).close()
        except OSError:
            continue
        return candidate
    return None


def family_of(host: str) -> socket.AddressFamily:
    """Return the family of an address to listen on."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
