"""Liveness and readiness."""

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
