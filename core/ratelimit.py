"""
The outer layer of limits: how often a network, an account or a browser may do something. django-ratelimit counts.

It counts in fixed windows, so a burst across a window's edge may reach twice a rate; budgets that must be exact are
in the database (verification/limits.py, worker/budgets.py). With Redis away this layer opens: nobody is refused for
our trouble, it is logged and counted, and those budgets still hold.
"""

import logging
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django_ratelimit import core as django_ratelimit
from redis.exceptions import RedisError

from . import metrics
from .breaker import Breaker, Leave

logger = logging.getLogger(__name__)

SILENCE = 5.0  # seconds without asking Redis after a failure: a frozen one costs its time-out once

breaker = Breaker(first=SILENCE, longest=SILENCE)


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


def charge(limit: Limit, *, key: str) -> None:
    """Count one for `key`. Raises RateLimited where that is one too many for any of the limit's rates."""
    waits = [_count(limit, rate, key) for rate in limit.rates]
    if any(waits):
        metrics.limits_tripped.labels(limit.name).inc()
        logger.warning("limit %s reached", limit.name)
        raise RateLimited(limit, max(waits))


def refund(limit: Limit, *, key: str) -> None:
    """Take one back that was charged a moment ago: it turned out harmless."""
    for rate in limit.rates:
        if breaker.ask() is Leave.WAIT:
            return
        try:
            cache.decr(_cache_key(limit, rate, key))
            breaker.ok()
        except ValueError:  # its window is over
            breaker.ok()
        except (RedisError, OSError) as error:
            _away(limit, error)


def forget(limit: Limit, *, key: str) -> bool:
    """Forget what was counted for `key` in the present windows; False where Redis is away."""
    try:
        cache.delete_many([_cache_key(limit, rate, key) for rate in limit.rates])
    except (RedisError, OSError) as error:
        _away(limit, error)
        return False
    return True


def _count(limit: Limit, rate: tuple[int, int], key: str) -> int:
    """Count one; return the seconds to wait, 0 where it may pass."""
    if breaker.ask() is Leave.WAIT:
        metrics.limits_open.labels(limit.name).inc()
        return 0
    try:
        usage = django_ratelimit.get_usage(
            None, group=limit.name, key=lambda group, request: key, rate=rate, increment=True
        )
    except (RedisError, OSError) as error:
        _away(limit, error)
        return 0
    breaker.ok()
    return max(1, usage["time_left"]) if usage and usage["should_limit"] else 0


def _cache_key(limit: Limit, rate: tuple[int, int], key: str) -> str:
    """Where django-ratelimit keeps this count; it has no call that takes one back."""
    window = django_ratelimit._get_window(key, rate[1])
    name: str = django_ratelimit._make_cache_key(limit.name, window, rate, key, django_ratelimit.ALL)
    return name


def _away(limit: Limit, error: Exception) -> None:
    breaker.failed()
    metrics.limits_open.labels(limit.name).inc()
    logger.warning("limit %s is open, Redis is away: %s", limit.name, type(error).__name__)
