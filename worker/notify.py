"""
Notify the workers that deliveries wait. It may fail: the rows are the truth, and the sweeper finds them. While one
message is on its way no other is sent, so a thousand sign-ups at once cost the broker a few messages.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from core.circuit_breaker import CircuitBreaker
from core.observability.counters import Counter
from core.ratelimit import breaker as redis_breaker
from core.ratelimit import redis_client, shares_server

logger = logging.getLogger(__name__)

PAUSE = 5.0  # seconds without publishing after a failure
# Seconds after which a worker discards a message. It goes by its own clock, which may be minutes ahead: with a shorter
# time it would discard all messages, and its mails would wait 10 s for its sweeper, which sends them in one thread.
EXPIRES = 3_600
# The key while a message is on its way, as Django's cache named it, which earlier releases used.
ON_ITS_WAY = ":1:doorcode:notified"
LOST_AFTER = 1  # seconds until that key expires: if the message was lost, the next caller sends another

breaker = CircuitBreaker(first=PAUSE, longest=PAUSE)
publish_failures = Counter("doorcode_publish_failures", "Messages that could not be published: the broker is down")


def notify_workers(delivery_id: int) -> bool:
    """
    Have the workers look for deliveries, this one among them. False if the broker didn't take the message. Never
    raises, and blocks at most about 0.5 s once (the transport's socket timeout), then not for PAUSE seconds.
    """
    from .tasks import deliver  # here, as it imports this module

    if not breaker.allow():
        publish_failures.add()
        return False
    try:
        if not _begin_to_notify():
            breaker.cancelled()
            return True
        deliver.apply_async(args=(delivery_id,), expires=EXPIRES)
    except Exception as error:
        breaker.failed()
        message_taken()  # no worker will
        publish_failures.add()
        logger.warning("the broker took no message: %s; deliveries wait for the sweeper", type(error).__name__)
        return False
    breaker.succeeded()
    return True


def message_taken() -> None:
    """A worker got the message and is about to look: mails that are posted from now on need another."""
    if not redis_breaker.is_open:
        try:
            (redis_client() or cache).delete(ON_ITS_WAY)
        except (RedisError, OSError):
            redis_breaker.failed()  # the key expires by itself


def _begin_to_notify() -> bool:
    """
    Mark that a message is on its way; False if one is already. True if Redis can't tell. Raises ConnectionError if it
    is down and the broker is the same server: its time-out would follow.
    """
    if current_app.conf.task_always_eager:
        return True  # nothing is on its way: the task runs here and now
    if settings.REDIS_URL.startswith("memory") and not settings.CELERY_BROKER_URL.startswith("memory"):
        return True  # workers in other processes can't delete the key
    if not redis_breaker.is_open:
        try:
            if (redis := redis_client()) is None:
                return cache.add(ON_ITS_WAY, 1, LOST_AFTER)
            return bool(redis.set(ON_ITS_WAY, 1, nx=True, ex=LOST_AFTER))
        except (RedisError, OSError):
            redis_breaker.failed()
    if shares_server(settings.CELERY_BROKER_URL):
        raise ConnectionError("Redis does not answer")
    return True


@contextmanager
def broker_connection() -> Generator[Any]:
    """An open connection to the broker, after at most two tries. Raises if it can't be reached."""
    with current_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
        yield connection


def queue_length() -> int:
    """Messages in the broker's queue that no worker has taken. Raises if the broker can't be reached."""
    with broker_connection() as connection:
        try:
            channel: Any = connection.default_channel
            queue = channel.queue_declare(current_app.conf.task_default_queue, passive=True)
        except connection.channel_errors:  # an empty list of Redis does not exist
            return 0
        return int(queue.message_count)
