"""The outer layer: counts, refuses, gives back, and opens when Redis is away."""

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
from core.rate_counters import LocalCounters
from core.ratelimit import Limit, RateLimited, hit, undo

DOORS = Limit("doors", "LIMIT_DOORS")


@pytest.fixture(autouse=True)
def rates(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LIMIT_DOORS = [(3, 60), (5, 3_600)]
    monkeypatch.setattr(ratelimit, "breaker", CircuitBreaker(first=5, longest=5))


@pytest.fixture
def redis_cache(settings) -> fakeredis.FakeServer:
    """Django's Redis cache over fakeredis."""
    server = fakeredis.FakeServer()
    settings.CACHES = {
        "default": {
            "BACKEND": "core.rate_counters.RedisCounters",
            "LOCATION": "redis://fake:6379/0",
            "OPTIONS": {"connection_class": fakeredis.FakeRedisConnection, "server": server},
        }
    }
    return server


def passes(key: str = "alice") -> bool:
    try:
        hit(DOORS, key=key)
    except RateLimited:
        return False
    return True


def test_each_rate_holds(redis_cache) -> None:
    """Three a minute, five an hour, each key for itself; who waited may again."""
    with time_machine.travel("2026-01-01T12:00:00Z", tick=False) as moment:
        assert [passes() for _ in range(4)] == [True, True, True, False]
        assert passes("bob")
        moment.shift(61)
        assert [passes() for _ in range(2)] == [True, False]  # the refused one counted too
        moment.shift(3_601)
        assert passes()


def test_it_says_how_long_to_wait(redis_cache) -> None:
    """Whole seconds, until the window of the slowest rate ends."""
    with time_machine.travel("2026-01-01T12:00:00Z", tick=False):
        for _ in range(3):
            hit(DOORS, key="alice")
        with pytest.raises(RateLimited) as caught:
            hit(DOORS, key="alice")
    assert isinstance(caught.value.retry_after, int)
    assert 1 <= caught.value.retry_after <= 60


def test_what_was_harmless_is_given_back(redis_cache) -> None:
    """A hundred right passwords reach no limit of wrong ones."""
    for _ in range(100):
        hit(DOORS, key="alice")
        undo(DOORS, key="alice")
    assert [passes() for _ in range(4)] == [True, True, True, False]


def test_what_was_never_counted_is_not_given_back(redis_cache) -> None:
    """A refund whose window is over makes no room for others."""
    undo(DOORS, key="alice")
    assert [passes() for _ in range(4)] == [True, True, True, False]


def test_an_empty_setting_is_no_limit(settings) -> None:
    """Off."""
    settings.LIMIT_DOORS = []
    assert all(passes() for _ in range(50))


@pytest.mark.parametrize("error", [RedisDown, TimeoutError, ResponseError, ConnectionResetError])
def test_with_redis_away_it_opens_and_says_so(monkeypatch, caplog, error: type[Exception]) -> None:
    """Everybody passes; each pass is counted; Redis is asked once, not for each request."""
    asked = []

    def fail(*args: object, **kwargs: object) -> None:
        asked.append(args)
        raise error("away")

    monkeypatch.setattr(LocalCounters, "count", fail)
    assert all(passes() for _ in range(10))
    undo(DOORS, key="alice")
    assert len(asked) == 1
    assert counters._gathered["doorcode_limits_open", "doors"] == 10
    assert "limit doors is open, Redis is away" in caplog.text


def test_it_closes_again_when_redis_is_back(monkeypatch) -> None:
    """After the breaker's pause one request finds out, and counts."""
    moment = [1_000.0]
    monkeypatch.setattr("core.circuit_breaker.time.monotonic", lambda: moment[0])
    ratelimit.breaker.failed()
    assert all(passes() for _ in range(5))
    moment[0] += 5.1
    assert [passes() for _ in range(4)] == [True, True, True, False]


def test_redis_is_asked_once(redis_cache, monkeypatch) -> None:
    """Whatever the number of rates."""
    asked = []
    execute = Pipeline.execute
    monkeypatch.setattr(Pipeline, "execute", lambda self: asked.append(self) or execute(self))
    assert [passes() for _ in range(4)] == [True, True, True, False]
    undo(DOORS, key="alice")
    assert len(asked) == 5


def test_no_count_lives_for_ever(redis_cache) -> None:
    """Each ends soon after its window, also one that a refund met first."""
    undo(DOORS, key="bob")
    hit(DOORS, key="alice")
    redis = fakeredis.FakeRedis(server=redis_cache)
    lives = sorted(redis.ttl(name) for name in redis.scan_iter())
    assert len(lives) == 4
    assert all(60 <= life <= 65 for life in lives[:2])
    assert all(3_600 <= life <= 3_605 for life in lives[2:])


def test_redis_learns_no_address(redis_cache, settings) -> None:
    """A key of a limit is a keyed hash: whoever reads Redis can't try all addresses."""
    hit(DOORS, key="203.0.113.7")
    redis = fakeredis.FakeRedis(server=redis_cache)
    names = [name.decode() for name in redis.scan_iter()]
    assert len(names) == 2
    assert not [name for name in names if "203.0.113.7" in name]
    settings.SECRET_KEY = "another-key-that-only-this-test-knows-0123456789"
    hit(DOORS, key="203.0.113.7")
    assert len(list(redis.scan_iter())) == 4


def test_windows_of_different_keys_end_at_different_times(settings) -> None:
    """Or all who wait would come again in the same second."""
    settings.LIMIT_DOORS = [(1, 3_600)]
    with time_machine.travel("2026-01-01T12:00:00Z", tick=False):
        windows = [ratelimit._windows(DOORS, f"10.0.0.{number}")[0] for number in range(50)]
        now = int(time.time())
    assert all(now < each.ends <= now + 3_600 for each in windows)
    assert len({each.ends for each in windows}) > 40
