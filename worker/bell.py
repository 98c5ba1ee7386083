"""Tell the workers that a delivery waits. It may fail: the row is the truth, and the sweeper finds it."""

import logging
import threading
import time
from collections.abc import Iterable

from celery import current_app

logger = logging.getLogger(__name__)

SILENCE = 5.0  # seconds without publishing after a failure
EXPIRES = 360  # seconds a message may wait: three visibility timeouts; the sweeper rings again


class _Breaker:
    """Closed: publish. Open: don't, for SILENCE seconds, so that a dead broker costs one caller and not each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_until = 0.0
        self.failures = 0

    def is_open(self) -> bool:
        return time.monotonic() < self._open_until

    def trip(self) -> None:
        with self._lock:
            self.failures += 1
            self._open_until = time.monotonic() + SILENCE

    def reset(self) -> None:
        self._open_until = 0.0


breaker = _Breaker()


def ring(delivery_ids: Iterable[int]) -> bool:
    """
    Publish one message for each delivery, its id and nothing else. False where the broker didn't take them.

    Never raises, and blocks at most about 0.5 s once (the transport's socket timeout), then not for SILENCE seconds.
    """
    if breaker.is_open():
        return False
    try:
        for delivery_id in delivery_ids:
            current_app.send_task("worker.tasks.deliver", args=[delivery_id], expires=EXPIRES)
    except Exception as error:
        breaker.trip()
        logger.warning("the broker took no message: %s; deliveries wait for the sweeper", type(error).__name__)
        return False
    return True


def probe() -> None:
    """Raise where the broker can't be reached (readiness)."""
    with current_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=1)
