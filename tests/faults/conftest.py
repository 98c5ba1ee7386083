"""Systems whose parts can be broken one by one."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers import Postgres, Prometheus, Redis, System
from tests.worker.sink import Sink

# Leases and pauses as short as a test, all else as shipped.
SHORT = {
    "worker.outbox": {"LEASE": 4, "BACKOFF": [1, 1, 1], "SILENCE": 4, "SILENCE_AGAIN": 4, "SERVICE_PAUSE": 1},
    "worker.sending": {"RENEWAL": 1.0},
    "worker.mailers": {"PAUSE": 2.0},
    "worker.sweeper": {"INTERVAL": 0.5},
    "worker.smtp": {"AFTER_DOT": 2.0, "DEADLINE": 3.0},
}
QUICK = {"TEST_PATCH": json.dumps(SHORT)}
WORKER = ("-m", "tests.faults.worker")
METRICS_TOKEN = "what-prometheus-shows"


def post_mails(system: System, number: int) -> None:
    """Have mails wait that are about no sign-up, to p1@example.com and on."""
    system.execute(f"""
        INSERT INTO worker_delivery (kind, recipient, language, generation, state, attempts, created_at, next_attempt_at,
            lease_token, message_id, last_reply)
        SELECT 'registered', 'p' || n || '@example.com', 'en', 0, 'pending', 0, now(), now(), '',
            '<' || n || '@doorcode.test>', ''
        FROM generate_series(1, {number}) AS n
    """)


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture
def processes() -> str:
    """How many the web has."""
    return "1"


@pytest.fixture
def system(postgres: Postgres, redis: Redis, sink: Sink, tmp_path: Path, processes: str) -> Iterator[System]:
    """A web on a Redis and a mail server of its own; workers are the test's."""
    database = postgres.migrated_database()
    more = QUICK | {"METRICS_TOKEN": METRICS_TOKEN, "WEB_CONCURRENCY": processes}
    with System(database=database, redis=redis.url, mail=sink, logs=tmp_path, **more).run(worker=False) as it:
        yield it


@pytest.fixture(scope="module")
def web(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The web alone, on a Redis of its own, for the tests of a file that break neither."""
    database, logs = postgres.migrated_database(), tmp_path_factory.mktemp("web")
    with Redis() as redis, closing(Sink()) as sink:
        system = System(database=database, redis=redis.url, mail=sink, logs=logs, **QUICK)
        with system.run(worker=False):
            yield system


def emptied(web: System, sink: Sink) -> System:
    """The web of a file whose tests share it: with empty tables, and a mail server of the test's own."""
    web.empty(sink)
    return web


@pytest.fixture
def prometheus(system: System, tmp_path: Path) -> Iterator[Prometheus]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with Prometheus(system.port, folder, token=METRICS_TOKEN) as server:
        yield server
