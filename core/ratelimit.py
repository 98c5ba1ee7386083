"""
The outer layer of limits: how often a network, an account or a browser may do something, counted in Redis.

It counts in fixed windows, so a burst across a window's edge may reach twice a rate. Limits that must be exact are in
the database (verification/guess_limits.py, worker/mail_limits.py). Fails open when Redis is down: requests pass, which
is logged and counted, and the limits in the database still hold.
"""

import logging
import time
from dataclasses import dataclass
from typing import NamedTuple, cast

from django.conf import settings
from django.core.cache import caches
from redis.exceptions import RedisError

from core.observability.counters import Counter
from core.observability.redaction import pseudonym

from .circuit_breaker import CircuitBreaker
from .rate_counters import LocalCounters, RedisCounters

logger = logging.getLogger(__name__)

MARGIN = 5  # seconds that a count outlives its window: machines' clocks differ
SILENCE = 5.0  # seconds without asking Redis after a failure: a frozen one costs its time-out once

breaker = CircuitBreaker(first=SILENCE, longest=SILENCE)

tripped = Counter("doorcode_limits_tripped", "Requests that a limit refused", ["limit"])
opened = Counter("doorcode_limits_open", "Requests that a limit let pass because Redis was away", ["limit"])


@dataclass(frozen=True)
class Limit:
    """A limit by the name that logs and metrics give it; its rates, (count, seconds), are in the setting."""

    name: str
    setting: str

    @property
    def rates(self) -> list[tuple[int, int]]:
        rates: list[tuple[int, int]] = getattr(settings, self.setting)
        return rates


class RateLimited(Exception):
    """A limit is reached. `retry_after` is in seconds, at least 1."""

    code = "rate_limited"

    def __init__(self, limit: Limit, retry_after: int) -> None:
        super().__init__(limit.name, retry_after)
        self.limit, self.retry_after = limit, retry_after


def hit(limit: Limit, *, key: str) -> None:
    """Count one for `key`. Raises RateLimited where that is one too many for any of the limit's rates."""
    wait = _count(limit, key)
    if wait:
        tripped.add(limit.name)
        logger.warning("limit %s reached", limit.name)
        raise RateLimited(limit, wait)


def undo(limit: Limit, *, key: str) -> None:
    """Take one back that was charged a moment ago: it turned out harmless."""
    if not limit.rates or not breaker.allow():
        return
    try:
        counters().uncount({each.name: each.life for each in _windows(limit, key)})
        breaker.succeeded()
    except (RedisError, OSError) as error:
        _away(limit, error)


def forget(limit: Limit, *, key: str) -> bool:
    """Forget what was counted for `key` in the present windows; False where Redis is away."""
    try:
        counters().delete_many([each.name for each in _windows(limit, key)])
    except (RedisError, OSError) as error:
        _away(limit, error)
        return False
    return True


def _count(limit: Limit, key: str) -> int:
    """Count one, by one round trip; return the seconds to wait, 0 where it may pass."""
    if not limit.rates:
        return 0
    if not breaker.allow():
        opened.add(limit.name)
        return 0
    windows = _windows(limit, key)
    try:
        counts = counters().count({each.name: each.life for each in windows})
    except (RedisError, OSError) as error:
        _away(limit, error)
        return 0
    breaker.succeeded()
    over = [each.ends for each, count in zip(windows, counts, strict=True) if count > each.most]
    return max(1, max(over) - int(time.time())) if over else 0


class _Window(NamedTuple):
    """A rate's window that is open now: its count's name and life in seconds, when it ends, and the most it takes."""

    name: str
    life: int
    ends: int
    most: int


def _windows(limit: Limit, key: str) -> list[_Window]:
    """
    Return the present window of each rate. Windows of different keys end at different times, so that those who wait do
    not all come back in the same second. Redis learns no address and no name: a keyed hash stands for the key.
    """
    hashed = pseudonym(f"limit.{limit.name}", key)
    now, windows = int(time.time()), []
    for most, seconds in limit.rates:
        ends = now + seconds - (now + int(hashed, 16)) % seconds
        name = f"limit:{limit.name}:{hashed}:{seconds}:{ends}"
        windows.append(_Window(name, seconds + MARGIN, ends, most))
    return windows


def counters() -> RedisCounters | LocalCounters:
    """The cache that counts, and marks."""
    return cast("RedisCounters | LocalCounters", caches["default"])


def _away(limit: Limit, error: Exception) -> None:
    breaker.failed()
    opened.add(limit.name)
    logger.warning("limit %s is open, Redis is away: %s", limit.name, type(error).__name__)
