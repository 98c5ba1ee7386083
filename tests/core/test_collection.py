"""Several processes collect the suite, and must find the same tests; each starts servers on ports of its own."""

import socket
import subprocess
import sys

import pytest

from tests.servers import ROOT, free_port

COLLECT = ["-m", "pytest", "--collect-only", "--quiet", "-n0", "-pno:cacheprovider", "-pno:randomly"]


def test_another_process_collects_the_same_tests(request: pytest.FixtureRequest) -> None:
    """Some time later: no id depends on time, chance or a hash. pytest-xdist refuses to run different collections."""
    done = subprocess.run([sys.executable, *COLLECT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line for line in done.stdout.splitlines() if "::" in line}
    assert len(collected) > 1_000
    assert collected >= {item.nodeid.removesuffix(group_of(item)) for item in request.session.items}


def group_of(item: pytest.Item) -> str:
    """What pytest-xdist appends to an id."""
    group = item.get_closest_marker("xdist_group")
    return f"@{group.args[0]}" if group else ""


def test_a_free_port_is_given_to_nobody_else() -> None:
    """Neither to another process's server nor to a client: only a server that names it, as all do, may have it."""
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))  # without SO_REUSEADDR, as strictly as for any free port
    socket.create_server(("127.0.0.1", port)).close()
