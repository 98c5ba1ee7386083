"""The whole system, on both databases."""

from collections.abc import Iterator

import pytest

from tests.servers import MailServer, Redis, System

DATABASES = [pytest.param("postgresql", marks=pytest.mark.postgres), "sqlite"]


@pytest.fixture(scope="session", params=DATABASES)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """gunicorn and a Celery worker on real servers, and a Redis of their own, so that no other worker is notified."""
    folder = tmp_path_factory.mktemp("system")
    database = f"sqlite:///{folder / 'db.sqlite3'}"
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres").migrated_database()
    with (
        Redis() as redis,
        MailServer() as mail,
        System(database=database, redis=redis.url, mail=mail, logs=folder, WEB_CONCURRENCY="2").run() as running,
    ):
        yield running
