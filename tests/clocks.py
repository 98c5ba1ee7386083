"""A clock of the tests in the place of the database's, as the outbox and its health checks ask SQLite for it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField, Value

from core import clock

Clock = Callable[[], datetime]


def _domains() -> datetime:
    return clock.now()  # whichever that is by then


def of_the_outbox(now: Clock = _domains) -> dict[str, Any]:
    """The replacement of the database's clock, by the name that it replaces."""

    def expression() -> Value:
        return Value(now(), DateTimeField())

    return {
        "worker.outbox.Now": expression,
        "worker.models.Now": expression,
        "worker.sweeper.Now": expression,
        "worker.health.Now": expression,
    }
