"""Fixtures for all tests. What needs a server that the machine lacks is skipped and said; DOORCODE_ALL=1 forbids it."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from django.utils import translation

from tests import servers
from tests.factories import Hands

CHROMIUM = "/usr/bin/chromium"
NEEDS = {
    "redis": (shutil.which("redis-server"), "redis-server"),
    "postgres": (servers.postgres_binaries(), "PostgreSQL"),
    "chromium": (Path(CHROMIUM).exists(), "Chromium"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("DOORCODE_ALL"):
        return
    for item in items:
        for mark, (there, name) in NEEDS.items():
            if item.get_closest_marker(mark) and not there:
                item.add_marker(pytest.mark.skip(reason=f"needs {name}, which is not on this machine"))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with servers.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> Callable[[], str]:
    """Make PostgreSQL databases: call it for the URL of a new one."""
    made: list[str] = []

    def make() -> str:
        made.append(f"doorcode{len(made)}")
        with psycopg.connect(f"{postgres_url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {made[-1]}")
        return f"{postgres_url}/{made[-1]}"

    return make


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """The domain's clock, standing still."""
    hands = Hands(datetime.now(UTC))
    monkeypatch.setattr("core.clock.now", hands.now)
    return hands


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The deliveries that the bell was rung for; no unit test has a broker."""
    ids: list[int] = []
    monkeypatch.setattr("worker.bell.ring", lambda wanted: ids.extend(wanted) or True)
    return ids


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Tests begin in English: the language that a request activates stays with its thread."""
    with translation.override("en"):
        yield
