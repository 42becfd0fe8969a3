"""A server that cannot listen says why, and what would do."""

import inspect
import socket

import pytest

from dashboards.listening import cannot_listen, family_of, free_port_after
from search.cli.commands.dashboard import dashboard
from search.cli.commands.service.serve import serve
from tests.support.served import taken_port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_error_of_a_taken_port_names_a_free_one(host: str) -> None:
    with taken_port(host) as port:
        with pytest.raises(OSError, match="in use") as raised:
            socket.create_server((host, port), family=family_of(host))
        free = free_port_after(host, port)
        assert free is not None
        assert port < free <= port + 20
        socket.create_server((host, free), family=family_of(host)).close()
        assert str(cannot_listen(host, port, raised.value)) == (
            f"cannot listen on {host} port {port}: the port is in use; end the program that uses it, or choose another "
            f"`port`, such as {free}"
        )


def test_no_port_is_named_where_none_is_left() -> None:
    assert free_port_after("127.0.0.1", 65535) is None


def test_server_and_dashboard_have_the_same_options_and_ports_of_their_own() -> None:
    first, second = (inspect.signature(command).parameters for command in (serve, dashboard))
    for name in ("host", "port"):
        assert first[name].annotation is second[name].annotation
    assert first["port"].default != second["port"].default
