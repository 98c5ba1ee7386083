"""Fixtures of the core tests."""

from collections.abc import Iterator
from typing import Any

import environ
import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Any, django_db_blocker: Any) -> Iterator[str]:
    """A database of its own with all migrations applied; return its alias."""
    url = f"sqlite:///{tmp_path / 'made.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    template = connections.databases["default"]
    given = environ.Env.db_url_config(url)
    connections.databases["made"] = {**template, "OPTIONS": {}, **given}
    with django_db_blocker.unblock():
        executor = MigrationExecutor(connections["made"])
        executor.migrate(executor.loader.graph.leaf_nodes())
        yield "made"
        connections["made"].close()
    del connections["made"]
    del connections.databases["made"]
