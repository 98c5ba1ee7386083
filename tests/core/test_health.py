"""Liveness and readiness."""

import threading

import fakeredis
import pytest
from django.test import Client

from core import health


@pytest.fixture(autouse=True)
def own_probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, health.Probe]:
    probes: dict[str, health.Probe] = {}
    monkeypatch.setattr(health, "_probes", probes)
    monkeypatch.setattr(health, "_states", {})
    monkeypatch.setattr(health, "_asked_at", float("-inf"))
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


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, standing still."""
    moment = [1_000.0]
    monkeypatch.setattr("core.health.time.monotonic", lambda: moment[0])
    return moment


def test_dependencies_are_asked_at_most_once_a_second(client: Client, moment: list[float]) -> None:
    """However many ask; a second later the answer is new."""
    asked: list[int] = []
    health.register("counted", lambda: asked.append(1))
    assert [client.get("/readyz").status_code for _ in range(20)] == [200] * 20
    assert len(asked) == 1
    health.register("bad", lambda: 1 / 0)
    moment[0] += 0.9
    assert client.get("/readyz").status_code == 200
    moment[0] += 0.1
    assert client.get("/readyz").json()["checks"] == {"counted": "ok", "bad": "down"}


def test_while_one_asks_all_others_have_the_last_answer(moment: list[float]) -> None:
    """At once, however long a probe hangs."""
    hangs, goes = threading.Event(), threading.Event()

    def frozen() -> None:
        hangs.set()
        goes.wait(10)

    health.register("frozen", lambda: None)
    assert health.latest() == {"frozen": "ok"}
    health.register("frozen", frozen)
    moment[0] += 5
    first = threading.Thread(target=health.latest)
    first.start()
    try:
        assert hangs.wait(10)
        assert [health.latest() for _ in range(10)] == [{"frozen": "ok"}] * 10
    finally:
        goes.set()
        first.join()


def test_a_process_that_has_asked_nobody_yet_is_not_ready() -> None:
    """Its first question is under way in another thread."""
    health.register("slow", lambda: None)
    with health._asking:
        assert health.latest() == {"slow": "down"}
    assert health.latest() == {"slow": "ok"}
