"""Liveness and readiness."""

import fakeredis
import pytest
from django.test import Client

from core import health


@pytest.fixture(autouse=True)
def own_probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, health.Probe]:
    probes: dict[str, health.Probe] = {}
    monkeypatch.setattr(health, "_probes", probes)
    return probes


def test_liveness_asks_nobody(client: Client, own_probes) -> None:
    """A dead dependency restarts no web process."""
    health.register("broken", lambda: 1 / 0)
    assert client.get("/healthz").status_code == 200


def test_ready_when_all_are_well(db, client: Client) -> None:
    """200, each by name."""
    health.register("database", health.database)
    health.register("redis", health.redis)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (200, {"database": "ok", "redis": "ok"})


@pytest.fixture
def redis_cache(settings) -> fakeredis.FakeServer:
    """The cache as production has it, on a Redis that lives in the test."""
    server = fakeredis.FakeServer()
    options = {"connection_class": fakeredis.FakeRedisConnection, "server": server}
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:6379/0",
            "OPTIONS": options,
        }
    }
    return server


@pytest.mark.parametrize(("connected", "state"), [(True, "ok"), (False, "down")])
def test_redis_is_asked(client: Client, redis_cache: fakeredis.FakeServer, connected: bool, state: str) -> None:
    """By a read; a refused connection is down."""
    health.register("redis", health.redis)
    redis_cache.connected = connected
    assert client.get("/readyz").json()["checks"] == {"redis": state}


def test_not_ready_when_one_is_down(client: Client, caplog) -> None:
    """503 names it; why is for the log."""
    health.register("good", lambda: None)
    health.register("bad", lambda: 1 / 0)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"good": "ok", "bad": "down"})
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in answer.text


def test_probes_are_for_reading(client: Client) -> None:
    """Nothing else than GET and HEAD."""
    assert client.post("/readyz").status_code == 405
