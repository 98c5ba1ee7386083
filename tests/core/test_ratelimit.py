"""The outer layer of limits: counts, refuses, undoes, and fails open when Redis is down."""

import time

import fakeredis
import pytest
import time_machine
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisDown
from redis.exceptions import ResponseError

from core import ratelimit
from core.circuit_breaker import CircuitBreaker
from core.observability import counters
from core.ratelimit import Limit, RateLimited, hit, undo

DOORS = Limit("doors", "LIMIT_DOORS")


@pytest.fixture(autouse=True)
def rates(settings, still: None, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LIMIT_DOORS = [(3, 60), (5, 3_600)]
    monkeypatch.setattr(ratelimit, "breaker", CircuitBreaker(first=5, longest=5))


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> fakeredis.FakeRedis:
    """A Redis in the memory of the test."""
    redis = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    monkeypatch.setattr(ratelimit, "redis_client", lambda: redis)
    return redis


@pytest.fixture(params=["redis", "memory"])
def store(request: pytest.FixtureRequest) -> None:
    """Counters in Redis, and in the memory of the process."""
    if request.param == "redis":
        request.getfixturevalue("redis")


def passes(key: str = "alice") -> bool:
    try:
        hit(DOORS, key=key)
    except RateLimited:
        return False
    return True


def test_each_rate_holds(store: None) -> None:
    """Three a minute, five an hour, each key for itself; again in the next window."""
    with time_machine.travel("2026-01-01T12:00:00Z", tick=False) as clock:
        assert [passes() for _ in range(4)] == [True, True, True, False]
        assert passes("bob")
        clock.shift(61)
        assert [passes() for _ in range(2)] == [True, False]  # the refused one counted too
        clock.shift(3_601)
        assert passes()


def test_windows_that_end_together_are_counted_apart(store: None, settings) -> None:
    """Those of two keys, and of two rates."""
    settings.LIMIT_DOORS = [(1, 1), (1, 2)]
    assert all(passes(f"key {number}") for number in range(20))


def test_it_says_how_long_to_wait(store: None) -> None:
    """Whole seconds, until the window of the slowest rate ends."""
    with time_machine.travel("2026-01-01T12:00:00Z", tick=False):
        for _ in range(3):
            hit(DOORS, key="alice")
        with pytest.raises(RateLimited) as caught:
            hit(DOORS, key="alice")
        assert isinstance(caught.value.retry_after, int)
        assert 1 <= caught.value.retry_after <= 60
        assert [passes() for _ in range(2)] == [False, False]
        with pytest.raises(RateLimited) as caught:
            hit(DOORS, key="alice")
        assert 60 < caught.value.retry_after <= 3_600  # six in this hour, too
    assert counters._gathered["doorcode_limits_tripped", "doors"] == 4  # for an alert


def test_what_was_harmless_is_undone(store: None) -> None:
    """A hundred right passwords reach no limit of wrong ones."""
    for _ in range(100):
        hit(DOORS, key="alice")
        undo(DOORS, key="alice")
    assert [passes() for _ in range(4)] == [True, True, True, False]


def test_what_is_forgotten_counts_for_no_rate(store: None) -> None:
    """Nor does what was refused; other keys stay."""
    for key in ("alice", "bob"):
        for _ in range(6):
            passes(key)
    assert ratelimit.forget(DOORS, key="alice")
    assert (passes("alice"), passes("bob")) == (True, False)


def test_what_was_never_counted_is_not_undone(store: None) -> None:
    """To undo a hit of an earlier window makes no room for others."""
    undo(DOORS, key="alice")
    assert [passes() for _ in range(4)] == [True, True, True, False]


def test_an_empty_setting_is_no_limit(settings) -> None:
    """Off."""
    settings.LIMIT_DOORS = []
    assert all(passes() for _ in range(50))


@pytest.mark.parametrize("error", [RedisDown, TimeoutError, ResponseError, ConnectionResetError])
def test_with_redis_down_it_fails_open_and_reports_it(monkeypatch, caplog, error: type[Exception]) -> None:
    """Everybody passes; each pass is counted; Redis is called once, not for each request."""
    calls = []

    def fail(*args: object, **kwargs: object) -> None:
        calls.append(args)
        raise error("away")

    monkeypatch.setattr(ratelimit, "redis_client", fail)
    assert all(passes() for _ in range(10))
    undo(DOORS, key="alice")
    assert len(calls) == 1
    assert counters._gathered["doorcode_limits_open", "doors"] == 10
    assert "limit doors is open, Redis is down" in caplog.text


def test_it_closes_again_when_redis_is_back(monkeypatch) -> None:
    """After the breaker's pause one request tries, and counts."""
    now = [1_000.0]
    monkeypatch.setattr("core.circuit_breaker.time.monotonic", lambda: now[0])
    ratelimit.breaker.failed()
    assert all(passes() for _ in range(5))
    now[0] += 5.1
    assert [passes() for _ in range(4)] == [True, True, True, False]


def test_a_hit_is_one_round_trip(redis: fakeredis.FakeRedis, monkeypatch) -> None:
    """Whatever the number of rates."""
    calls = []
    execute = Pipeline.execute
    monkeypatch.setattr(Pipeline, "execute", lambda self: calls.append(self) or execute(self))
    assert [passes() for _ in range(4)] == [True, True, True, False]
    undo(DOORS, key="alice")
    assert len(calls) == 5


def test_every_counter_expires(redis: fakeredis.FakeRedis) -> None:
    """Soon after its window, also one that `undo` created."""
    undo(DOORS, key="bob")
    hit(DOORS, key="alice")
    lifetimes = sorted(redis.ttl(name) for name in redis.scan_iter())
    assert len(lifetimes) == 4
    assert all(60 <= life <= 65 for life in lifetimes[:2])
    assert all(3_600 <= life <= 3_605 for life in lifetimes[2:])


def test_redis_holds_no_address(redis: fakeredis.FakeRedis, settings) -> None:
    """The name of a counter has a keyed hash: a reader of Redis can't try all addresses."""
    hit(DOORS, key="203.0.113.7")
    names = [name.decode() for name in redis.scan_iter()]
    assert len(names) == 2
    assert not [name for name in names if "203.0.113.7" in name]
    settings.SECRET_KEY = "another-key-that-only-this-test-knows-0123456789"
    hit(DOORS, key="203.0.113.7")
    assert len(list(redis.scan_iter())) == 4


def test_windows_of_different_keys_end_at_different_times(settings) -> None:
    """Or all waiting clients would come again in the same second."""
    settings.LIMIT_DOORS = [(1, 3_600)]
    with time_machine.travel("2026-01-01T12:00:00Z", tick=False):
        windows = [ratelimit._windows(DOORS, f"10.0.0.{number}")[0] for number in range(50)]
        now = int(time.time())
    assert all(now < each.ends <= now + 3_600 for each in windows)
    assert len({each.ends for each in windows}) > 40
