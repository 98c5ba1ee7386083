"""The part of a worker that takes messages from the broker."""

import time
from typing import Any

from celery.worker import consumer

PAUSE = 2.0  # seconds


class Consumer(consumer.Consumer):
    """
    Celery's, without the questions to other workers (mingle), those about them (gossip), and the news that it lives
    (heartbeat): they are about revoked tasks and elections, or for monitors that read Celery's events, and nothing here
    uses them. With celery 5.7 a broker that goes away while a worker asks ends the worker with "Unrecoverable error";
    while a worker tells that it is online, it retries without a word in the log, and does not stop on SIGTERM.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        without = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
        super().__init__(*args, **{**options, **without})
        self._lost_at = float("-inf")

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """A Redis that is full, or a replica, refuses at once. Celery would try again at once, and log each try."""
        super().on_connection_error_before_connected(exc)
        time.sleep(PAUSE)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """So does a broker that lets us in and permits too little; a first loss is mended at once."""
        super().on_connection_error_after_connected(exc)
        if time.monotonic() - self._lost_at < 2 * PAUSE:
            time.sleep(PAUSE)
        self._lost_at = time.monotonic()
