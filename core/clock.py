"""
The one clock of domain code, so that a test can freeze it. It follows the database's, so that a time that one machine
writes means the same on another whose own clock is wrong.
"""

import math
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

QUERY_AGAIN = 10.0  # seconds between two queries of the database's time
CLOSE = timedelta(seconds=1)  # a smaller difference is ignored: NTP keeps clocks closer, a query may take as long

_ahead = timedelta(0)  # how far the database's clock is ahead of this machine's
_queried_at = float("-inf")
_querying = threading.Lock()


def now() -> datetime:
    """The present time by the database's clock, aware, in UTC."""
    return timezone.now() + _ahead


def follow_database(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """
    Compare this machine's clock with the database's, at most once in QUERY_AGAIN seconds: a receiver of Django's signal
    for a new connection, which comes before the first query. SQLite has no clock of its own.
    """
    global _queried_at  # noqa: PLW0603
    if connection.vendor == "sqlite" or connection.alias != DEFAULT_DB_ALIAS:
        return
    with _querying:  # wait for the query of another thread
        if time.monotonic() - _queried_at < QUERY_AGAIN:
            return
        _queried_at = time.monotonic()
        before = timezone.now()
        with connection.cursor() as cursor:
            cursor.execute("SELECT CLOCK_TIMESTAMP()")
            [theirs] = cursor.fetchone()
        follow(theirs, before=before, after=timezone.now())


def follow(theirs: datetime, *, before: datetime, after: datetime) -> None:
    """Set the clock by the database's time, `theirs`. This machine's times are those `before` and `after` the query."""
    global _ahead  # noqa: PLW0603
    least, most = theirs - after - CLOSE, theirs - before + CLOSE
    fits = (each for each in (_ahead, timedelta(0)) if least <= each <= most)
    _ahead = next(fits, (least + most) / 2)


def uptime() -> float:
    """Seconds since the machine was booted, suspended time included; `time.monotonic` leaves it out on Linux."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def seconds_until(at: datetime) -> int:
    """Return the seconds from now to a time, rounded up; 0 for a time in the past."""
    return max(0, math.ceil((at - now()).total_seconds()))


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the full hour that contains a time."""
    return at.replace(minute=0, second=0, microsecond=0)


def minutes(seconds: float) -> int:
    """Return seconds as the minutes that pages and mails show: rounded up."""
    return math.ceil(seconds / 60)


def hours(seconds: float) -> int:
    """Return a wait of more than two hours as the hours that texts show, rounded up; 0 for one shown in minutes."""
    return math.ceil(seconds / 3_600) if seconds > 7_200 else 0


def whole_seconds(at: datetime) -> str:
    """
    Return a time for the JSON of a response, in whole seconds: `2026-11-27T08:00:00Z`. Finer times would show what
    else a worker did at that time.
    """
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
