"""
The outer layer of limits: how often a network, an account or a browser may do something, counted in Redis in fixed
windows: a burst across a window's edge may reach twice a rate. Limits that must be exact are in the database
(verification/guess_limits.py, worker/mail_limits.py). Fails open when Redis is down, which is logged and counted.
"""

import functools
import logging
import time
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from redis import Redis
from redis.exceptions import RedisError

from core.observability.counters import Counter
from core.observability.redaction import pseudonym

from .circuit_breaker import CircuitBreaker

logger = logging.getLogger(__name__)

MARGIN = 5  # seconds that a counter outlives its window: machines' clocks differ

breaker = CircuitBreaker(first=5, longest=5)  # seconds; only one request in each pause waits for a frozen Redis

tripped = Counter("doorcode_limits_tripped", "Requests that a limit refused", ["limit"])
opened = Counter("doorcode_limits_open", "Requests that a limit let pass because Redis was down", ["limit"])


@dataclass(frozen=True)
class Limit:
    """A limit by its name in logs and metrics; its rates, (count, seconds), are in the setting."""

    name: str
    setting: str

    def __post_init__(self) -> None:
        for counter in (tripped, opened):
            counter.expect(self.name)


class RateLimited(Exception):
    """A limit is reached: a page answers 429 by core.middleware, the API by its exception handler."""

    def __init__(self, limit: Limit, retry_after: int) -> None:
        super().__init__(limit.name, retry_after)
        self.retry_after = retry_after  # seconds, at least 1


def hit(limit: Limit, *, key: str) -> None:
    """Count one for `key`. Raises RateLimited if that is one too many for any of the limit's rates."""
    windows = _windows(limit, key)
    counts = _count(limit, windows, 1)
    if counts is None:
        opened.add(limit.name)
        return
    ends = [window.ends for window, count in zip(windows, counts, strict=True) if count > window.most]
    if ends:
        tripped.add(limit.name)
        logger.warning("limit %s reached", limit.name)
        raise RateLimited(limit, max(1, max(ends) - int(time.time())))


def undo(limit: Limit, *, key: str) -> None:
    """Undo one hit that turned out to be harmless."""
    _count(limit, _windows(limit, key), -1)


def forget(limit: Limit, *, key: str) -> bool:
    """Delete the counters of `key` in the open windows; False if Redis is down."""
    names = [window.name for window in _windows(limit, key)]
    try:
        if (redis := redis_client()) is None:
            cache.delete_many(names)
        elif names:
            redis.delete(*names)
    except (RedisError, OSError) as error:
        _report_failure(limit, error)
        return False
    return True


def redis_client() -> Redis | None:
    """The connections to REDIS_URL, which give up after half a second; None if the counters are in memory."""
    return None if settings.REDIS_URL.startswith("memory:") else _connect(settings.REDIS_URL)


def shares_server(url: str) -> bool:
    """Whether a URL, of the broker say, or a list of them, names the Redis of REDIS_URL in any of its databases."""
    return any(_server(each) == _server(settings.REDIS_URL) for each in url.split(";"))


def _server(url: str) -> tuple[str | None, int] | str:
    parts = urlsplit(url)
    return (parts.hostname, parts.port or 6_379) if parts.scheme in ("redis", "rediss") else parts.path


@functools.cache
def _connect(url: str) -> Redis:
    return Redis.from_url(url, **settings.REDIS_OPTIONS)


class _Window(NamedTuple):
    """The open window of a rate: its counter's name and lifetime in seconds, its end, and the most that may pass."""

    name: str
    lifetime: int
    ends: int
    most: int


def _windows(limit: Limit, key: str) -> list[_Window]:
    """The open window of each rate. Those of other keys end at other times, so clients do not return all at once."""
    hashed = pseudonym(f"limit.{limit.name}", key)  # Redis holds no address and no name
    now, windows = int(time.time()), []
    for most, seconds in getattr(settings, limit.setting):
        ends = now + seconds - (now + int(hashed, 16)) % seconds
        name = f"limit:{limit.name}:{hashed}:{seconds}:{ends}"
        windows.append(_Window(name, seconds + MARGIN, ends, most))
    return windows


def _count(limit: Limit, windows: list[_Window], change: int) -> list[int] | None:
    """Change each window's counter by 1 or -1, in one round trip; return the counts, None while Redis is down."""
    if not windows:  # the limit is off
        return []
    if not breaker.allow():
        return None
    start = max(0, -change)  # so that an undo without a hit leaves 0
    counts: list[int]
    try:
        if (redis := redis_client()) is None:
            for window in windows:
                cache.add(window.name, start, window.lifetime)
            counts = [cache.incr(window.name, change) for window in windows]
        else:
            with redis.pipeline(transaction=False) as pipe:
                for window in windows:
                    pipe.set(window.name, start, ex=window.lifetime, nx=True)
                    pipe.incrby(window.name, change)
                counts = pipe.execute()[1::2]
    except (RedisError, OSError) as error:
        _report_failure(limit, error)
        return None
    breaker.succeeded()
    return counts


def _report_failure(limit: Limit, error: Exception) -> None:
    breaker.failed()
    logger.warning("limit %s is open, Redis is down: %s", limit.name, type(error).__name__)
