"""The part of a worker that takes messages from the broker."""

import faulthandler
import signal
import time
from contextlib import suppress
from typing import Any

from celery.worker import consumer

PAUSE = 2.0  # seconds


class Consumer(consumer.Consumer):
    """
    Celery's consumer without mingle, gossip and heartbeat, which are for revoked tasks, elections and monitors of
    Celery's events: nothing here uses them. With celery 5.7 they fail when the broker goes away. During mingle the
    worker ends with "Unrecoverable error"; when it announces itself, it retries without logging and ignores SIGTERM.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        without = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
        super().__init__(*args, **{**options, **without})
        self._lost_at = float("-inf")

    def start(self) -> None:
        """On SIGUSR1 log where each thread is; Celery's own handler also logs its variables, such as a mail's code."""
        with suppress(RuntimeError, OSError):  # stderr may be closed, or no file, as in some tests of a project
            faulthandler.register(signal.SIGUSR1)
        super().start()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Pause: a Redis that is full, or a replica, refuses at once; Celery would retry at once, and log each try."""
        super().on_connection_error_before_connected(exc)
        time.sleep(PAUSE)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Pause from the second loss on: a broker whose user has too few rights closes each connection at once."""
        super().on_connection_error_after_connected(exc)
        if time.monotonic() - self._lost_at < 2 * PAUSE:
            time.sleep(PAUSE)
        self._lost_at = time.monotonic()
