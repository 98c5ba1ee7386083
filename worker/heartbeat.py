"""Each worker process says now and then that it lives, in the database: that is where all others can see it."""

import os
import socket
import time
from datetime import timedelta

from django.db.models.functions import Now

from . import notify, smtp
from .models import Heartbeat

INTERVAL = 5.0  # seconds between two beats
ALIVE = timedelta(seconds=90)  # a sweep sends a batch by itself where the broker is away, and that may take a minute
FORGOTTEN = timedelta(days=1)

_name = f"{socket.gethostname()[:80]}:{os.getpid()}"
_last = float("-inf")


def beat() -> None:
    """Say that this process's sweeper is at work; INTERVAL seconds after the last time at the earliest."""
    global _last  # noqa: PLW0603
    if time.monotonic() - _last < INTERVAL:
        return
    Heartbeat.objects.update_or_create(
        name=_name,
        defaults={
            "beat_at": Now(),
            "mail_server_broken": smtp.is_broken(),
            "broker_broken": notify.breaker.is_open,
        },
    )
    Heartbeat.objects.filter(beat_at__lt=Now() - FORGOTTEN).delete()
    _last = time.monotonic()


def stop() -> None:
    """This process ends as it should: nobody shall miss it."""
    Heartbeat.objects.filter(name=_name).delete()
