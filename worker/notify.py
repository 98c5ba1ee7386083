"""
Tell the workers that deliveries wait. It may fail: the rows are the truth, and the sweeper finds them.

One bell is for all that waits, whoever rang: while one is on its way nobody rings another. So a thousand sign-ups in a
moment cost the broker a few messages, and a backlog none.
"""

import logging
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from core import ratelimit
from core.circuit_breaker import CircuitBreaker

from . import counts

logger = logging.getLogger(__name__)

SILENCE = 5.0  # seconds without publishing after a failure
EXPIRES = 360  # seconds a message may wait: three visibility timeouts; the sweeper rings again
RINGING = "doorcode:bell"  # in the cache while a bell is on its way, for
ON_ITS_WAY = 1  # seconds at the most: should it get lost, the next one is rung then


breaker = CircuitBreaker(first=SILENCE, longest=SILENCE)


def notify_workers(delivery_id: int) -> bool:
    """
    Have the workers look for deliveries, this one among them. False where the broker didn't take the message.

    Never raises, and blocks at most about 0.5 s once (the transport's socket timeout), then not for SILENCE seconds.
    """
    if not breaker.allow():
        counts.publish_failures.add()
        return False
    try:
        if _is_ringing():
            if breaker.is_half_open:
                breaker.cancelled()
            return True
        current_app.send_task("worker.tasks.deliver", args=[delivery_id], expires=EXPIRES)
    except Exception as error:
        breaker.failed()
        acknowledge()  # nobody will
        counts.publish_failures.add()
        logger.warning("the broker took no message: %s; deliveries wait for the sweeper", type(error).__name__)
        return False
    breaker.succeeded()
    return True


def acknowledge() -> None:
    """A worker heard the bell and is about to look: what is posted from now on needs another."""
    if not ratelimit.breaker.is_open:
        try:
            cache.delete(RINGING)
        except (RedisError, OSError):
            ratelimit.breaker.failed()  # it ends by itself


def _is_ringing() -> bool:
    """
    Whether a bell is on its way; if not, one is from now on. Where nobody can know, none is. Raises RedisError or
    OSError where the cache is away, and the broker with it, as they are one server: it is waited for but once.
    """
    if _cache_is_mine_alone():
        return False
    try:
        if ratelimit.breaker.is_open:
            raise ConnectionError("Redis was away a moment ago")
        return not cache.add(RINGING, 1, ON_ITS_WAY)
    except (RedisError, OSError) as error:
        if not ratelimit.breaker.is_open:
            ratelimit.breaker.failed()
        if settings.CELERY_BROKER_URL == settings.REDIS_URL:
            raise error from None
        return False


def _cache_is_mine_alone() -> bool:
    """Whether workers elsewhere can't say that they heard: a cache in memory, and a broker that isn't."""
    return settings.REDIS_URL.startswith("memory") and not settings.CELERY_BROKER_URL.startswith("memory")


def queue_length() -> int:
    """Bells in the broker's queue that no worker has taken. Raises where the broker can't be reached."""
    with current_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
        try:
            channel: Any = connection.default_channel
            queue = channel.queue_declare(current_app.conf.task_default_queue, passive=True)
        except connection.channel_errors:  # an empty list of Redis does not exist
            return 0
        return int(queue.message_count)
