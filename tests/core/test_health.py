"""The registry of health checks, as `/readyz` and the doctor run it; liveness."""

import threading
from collections.abc import Callable

import fakeredis
import pytest
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext as _

from core.health import checks, registry
from core.health.registry import Check, Finding


def well() -> Finding:
    return registry.ok("fine")


def hang() -> Finding:
    threading.Event().wait(30)
    return well()


def broken() -> Finding:
    raise ConnectionError("redis://:hunter2@10.0.0.1 of alice@example.com")


def named(**checks: Callable[[], Finding]) -> dict[str, Check]:
    return {name: Check(check, name) for name, check in checks.items()}


def add_quick(name: str, check: Callable[[], Finding]) -> None:
    registry.register(name, check, name, quick=True)


@pytest.fixture(autouse=True)
def own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry without checks that has not run yet."""
    monkeypatch.setattr(registry, "_checks", {})
    monkeypatch.setattr(registry, "cached_readiness", registry.ReadinessCache().get)


def test_no_check_delays_or_hides_another() -> None:
    """One hangs, one raises, the others report, in their order; an exception is shown without its secrets."""
    checks = named(a=hang, b=broken, c=well, d=hang, e=lambda: registry.warning("hm"))
    found = dict(registry.run(checks, limit=0.3))
    assert list(found) == list(checks)
    assert [each.state.value for each in found.values()] == ["failed", "failed", "ok", "failed", "warning"]
    assert found["a"].text.startswith("no answer within")
    assert found["b"].text.startswith("ConnectionError: redis://…@10.0.0.1 of address-")
    assert found["c"].text == "fine"


def test_findings_are_in_the_operators_language() -> None:
    """In each thread too."""
    with translation.override("zh-hans"):
        found = dict(registry.run(named(a=lambda: registry.ok(_("all applied")))))
    assert found["a"].text == "已全部执行"


def test_liveness_uses_no_other_service(client: Client) -> None:
    """The outage of a dependency restarts no web process."""
    add_quick("broken", broken)
    assert client.get("/healthz").status_code == 200


def test_ready_when_all_are_well(db, client: Client) -> None:
    """200, each quick check by name, and no other; a warning and a skipped check are no failures."""
    registry.register("slow", broken, "slow")
    add_quick("database", checks.database)
    add_quick("redis", checks.redis_server)
    add_quick("note", lambda: registry.warning("hm"))
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"database": "ok", "redis": "ok", "note": "ok"}


@pytest.mark.parametrize(("connected", "state"), [(True, "ok"), (False, "down")])
def test_redis_is_checked(client: Client, monkeypatch: pytest.MonkeyPatch, connected: bool, state: str) -> None:
    """By a command; a refused connection is down."""

    class Redis(fakeredis.FakeRedis):
        def info(self) -> dict[str, object]:  # fakeredis has no INFO
            return {"redis_version": "8.0", "ping": self.ping()}

    server = fakeredis.FakeServer()
    server.connected = connected
    add_quick("redis", checks.redis_server)
    monkeypatch.setattr(checks, "redis_client", lambda: Redis(server=server))
    assert client.get("/readyz").json()["checks"] == {"redis": state}


def test_not_ready_when_one_is_down(client: Client, caplog) -> None:
    """503 names it; the reason is in the log."""
    add_quick("good", well)
    add_quick("bad", lambda: 1 / 0)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"good": "ok", "bad": "down"})
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in answer.text
    assert {record.levelname for record in caplog.records} == {"WARNING"}, "probes come each second, also to Sentry"


def test_readiness_is_only_read(client: Client) -> None:
    """Nothing else than GET and HEAD."""
    assert client.post("/readyz").status_code == 405


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, standing still."""
    clock = [1_000.0]
    monkeypatch.setattr("core.health.registry.time.monotonic", lambda: clock[0])
    return clock


def test_dependencies_are_checked_at_most_once_a_second(client: Client, clock: list[float]) -> None:
    """Whatever the number of requests; a second later the answer is new."""
    calls: list[int] = []
    add_quick("counted", lambda: calls.append(1) or well())
    assert [client.get("/readyz").status_code for _ in range(20)] == [200] * 20
    assert len(calls) == 1
    add_quick("bad", lambda: 1 / 0)
    clock[0] += 0.9
    assert client.get("/readyz").status_code == 200
    clock[0] += 0.1
    assert client.get("/readyz").json()["checks"] == {"counted": "ok", "bad": "down"}


def test_while_one_request_checks_all_others_get_the_last_states(clock: list[float]) -> None:
    """At once, however long a check hangs; what hangs for seconds is down, and nothing else is."""
    hangs, goes = threading.Event(), threading.Event()

    def frozen() -> Finding:
        hangs.set()
        goes.wait(10)
        return well()

    add_quick("frozen", well)
    add_quick("other", well)
    assert registry.cached_readiness() == {"frozen": "ok", "other": "ok"}
    add_quick("frozen", frozen)
    clock[0] += 5
    first = threading.Thread(target=registry.cached_readiness)
    first.start()
    try:
        assert hangs.wait(10)
        assert [registry.cached_readiness() for _ in range(10)] == [{"frozen": "ok", "other": "ok"}] * 10
        clock[0] += registry.HANGS
        assert registry.cached_readiness() == {"frozen": "down", "other": "ok"}
    finally:
        goes.set()
        first.join()
    assert registry.cached_readiness() == {"frozen": "ok", "other": "ok"}


def test_a_process_without_a_first_result_is_not_ready() -> None:
    """Its first checks are running in another thread."""
    add_quick("slow", well)
    cache = registry.ReadinessCache()
    with cache._running:
        assert cache.get() == {"slow": "down"}
    assert cache.get() == {"slow": "ok"}
