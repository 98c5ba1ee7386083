"""Tell the workers that a delivery waits. It may fail: the row is the truth, and the sweeper finds it."""

import logging
from collections.abc import Iterable
from typing import Any

from celery import current_app

from core.breaker import Breaker, Leave

from . import counts

logger = logging.getLogger(__name__)

SILENCE = 5.0  # seconds without publishing after a failure
EXPIRES = 360  # seconds a message may wait: three visibility timeouts; the sweeper rings again


breaker = Breaker(first=SILENCE, longest=SILENCE)


def ring(delivery_ids: Iterable[int]) -> bool:
    """
    Publish one message for each delivery, its id and nothing else. False where the broker didn't take them.

    Never raises, and blocks at most about 0.5 s once (the transport's socket timeout), then not for SILENCE seconds.
    """
    if breaker.ask() is Leave.WAIT:
        counts.unrung.add()
        return False
    try:
        for delivery_id in delivery_ids:
            current_app.send_task("worker.tasks.deliver", args=[delivery_id], expires=EXPIRES)
    except Exception as error:
        breaker.failed()
        counts.unrung.add()
        logger.warning("the broker took no message: %s; deliveries wait for the sweeper", type(error).__name__)
        return False
    breaker.ok()
    return True


def probe() -> None:
    """Raise where the broker can't be reached (readiness)."""
    with current_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)


def waiting() -> int:
    """Bells in the broker's queue that no worker has taken. Raises where the broker can't be reached."""
    with current_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
        try:
            channel: Any = connection.default_channel
            queue = channel.queue_declare(current_app.conf.task_default_queue, passive=True)
        except connection.channel_errors:  # an empty list of Redis does not exist
            return 0
        return int(queue.message_count)
