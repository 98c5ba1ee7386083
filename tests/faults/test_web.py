"""More connections than a web process may open files: they wait, and it lives on."""

import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.servers import Redis, System, Visitor

pytestmark = [pytest.mark.redis, pytest.mark.postgres]


@pytest.fixture
def redis() -> Iterator[Redis]:
    """Started under the usual limit of open files, as the web is after it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    with Redis() as server:
        yield server
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_crowd_of_connections_ends_no_process(system: System) -> None:
    """At the limit gunicorn's process would end, and answer nobody new until its last request was answered."""
    with ThreadPoolExecutor(8) as pool:  # each thread has connections to the services then
        posts = pool.map(lambda n: Visitor(system.url).post("/signup/", email=f"a{n}@example.com"), range(40))
        assert {answer.status_code for answer in posts} == {303}
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4_096, hard))
    with ExitStack() as crowd:
        for _ in range(1_100):
            crowd.enter_context(socket.create_connection(("127.0.0.1", system.port)))
        time.sleep(2)
    assert Visitor(system.url).get("/signup/").status_code == 200
    assert "Too many open files" not in system.log("web")
