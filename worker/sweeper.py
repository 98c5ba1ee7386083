"""
Find due mails that no message announces: those that are tried again, and those whose message was lost. Needs the
database alone, so it works without a broker.
"""

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta

from django.db import Error, connection
from django.db.models.functions import Now

from core import clock
from core.observability.logs import errors_logged

from . import mail_limits, mailers, notify, outbox, sending
from .models import Delivery, Heartbeat
from .smtp import DEADLINE

logger = logging.getLogger(__name__)

INTERVAL = 2.0  # seconds
NO_WORKER = timedelta(seconds=10)  # due for so long although workers were notified: none seems to listen
BEAT = 5.0  # seconds between two heartbeats
AWAY = 5.0  # seconds without an answer of the database after which live workers may have lost leases
GRACE = 7.0  # seconds that they get, once it is back, to renew leases and to record outcomes

_name = f"{socket.gethostname()[:80]}:{os.getpid()}"
_last_beat = float("-inf")
# By clock.uptime, when the database last answered. Before that a process does not know for how long it was away.
_answered_at = float("-inf")


def sweep() -> int:
    """
    Reclaim the mails of workers that are gone, and notify the workers of due mails; if none listens, send some.
    Return how many were sent: while there are any, more may wait. Does nothing while no mail server can be used.
    """
    if all(mailer.breaker.is_open for mailer in mailers.every()):
        return 0
    _reclaim()
    longest = mail_limits.claimable().longest_due()
    if longest is None:
        return 0
    delivery_id, age = longest
    is_notified = notify.notify_workers(delivery_id)
    return 0 if is_notified and age < NO_WORKER else sending.deliver()


def _reclaim() -> None:
    """
    Reclaim the mails of workers that are gone. While the database is away, or this process is frozen, the leases of
    live workers end too. They get GRACE seconds first, else the mails that they are sending would be sent twice.
    """
    global _answered_at  # noqa: PLW0603
    if Delivery.objects.lease_expired().exists():
        if clock.uptime() - _answered_at > AWAY:
            time.sleep(GRACE)
        outbox.reclaim()
    _answered_at = clock.uptime()


def beat() -> None:
    """Save this process's heartbeat; at most once in BEAT seconds."""
    global _last_beat  # noqa: PLW0603
    if time.monotonic() - _last_beat < BEAT:
        return
    columns = {"mail_server_broken": mailers.every()[0].is_broken, "broker_broken": notify.breaker.is_open}
    Heartbeat.objects.update_or_create(name=_name, defaults={"beat_at": Now(), **columns})
    Heartbeat.objects.filter(beat_at__lt=Now() - Heartbeat.FORGOTTEN).delete()
    _last_beat = time.monotonic()


def stop_beating() -> None:
    """Delete this process's heartbeat on clean shutdown, if the database is there."""
    with suppress(Error):
        Heartbeat.objects.filter(name=_name).delete()


class Sweeper(threading.Thread):
    """Sweeps beside a worker until told to stop. Any number of them, in any number of processes, is safe."""

    def __init__(self) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._stop_now = threading.Event()

    def run(self) -> None:
        pause = INTERVAL
        while not self._stop_now.wait(pause):
            pause = INTERVAL
            with errors_logged(logger, "the sweep failed"):
                pause = 0 if sweep() else INTERVAL
                beat()
        stop_beating()
        connection.close()

    def stop(self) -> None:
        """End after the sweep under way: it may be sending, and a mail that is cut off might be repeated."""
        self._stop_now.set()
        self.join(timeout=sending.HOLD + DEADLINE)
