"""Find deliveries that no bell was heard for. It needs the database alone, so it works while the broker is gone."""

import contextlib
import logging
import threading

from django.db import DatabaseError, InterfaceError, connection

from . import bell, heartbeat, outbox, sender, smtp

logger = logging.getLogger(__name__)

INTERVAL = 2.0  # seconds
LIMIT = 500  # bells a sweep


def sweep() -> int:
    """
    Ring again for due deliveries that were forgotten; where the bell is broken, send them. Return how many there were.

    Nothing is rung for while the mail server is known to be broken: it would only be put back.
    """
    if smtp.breaker.is_open():
        return 0
    waiting = outbox.unheard(limit=LIMIT)
    if waiting and not bell.ring(waiting):
        while sender.deliver():
            heartbeat.beat()
    return len(waiting)


class Sweeper(threading.Thread):
    """Sweeps beside a worker until told to stop. Any number of them, in any number of processes, is safe."""

    def __init__(self) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._stop_now = threading.Event()

    def run(self) -> None:
        while not self._stop_now.wait(INTERVAL):
            try:
                sweep()
                heartbeat.beat()
            except DatabaseError as error:
                logger.warning("the sweep has to wait for the database: %s", type(error).__name__)
            except Exception:
                logger.exception("the sweep failed")
            finally:
                connection.close()
        with contextlib.suppress(DatabaseError, InterfaceError):
            heartbeat.stop()
        connection.close()

    def stop(self) -> None:
        """End after the sweep under way, at most about 10 s later."""
        self._stop_now.set()
        self.join(timeout=10)
