"""The servers that tests start."""

import socket

import pytest

from tests.servers import free_port


def test_a_free_port_is_given_to_nobody_else() -> None:
    """Neither to another process's server nor to a client: only a server that names it, as all do, may have it."""
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))  # without SO_REUSEADDR, as strictly as for any free port
    socket.create_server(("127.0.0.1", port)).close()
