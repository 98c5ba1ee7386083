"""A clock of the tests in the place of the database's, as the outbox asks SQLite for it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField, Expression, Value

from core import clock

Clock = Callable[[], datetime]


def _domains() -> datetime:
    return clock.now()  # whichever that is by then


def of_the_outbox(now: Clock = _domains) -> dict[str, Any]:
    """What stands for the database's clock, by the name that it takes the place of."""

    def expression() -> Value:
        return Value(now(), DateTimeField())

    return {
        "worker.outbox.Now": expression,
        "worker.outbox.NOW": _Now(now),
        "worker.models.Now": expression,
        "worker.sweeper.Now": expression,
    }


class _Now(Expression):
    """As Now(); what it compiles to is remembered for its moment alone."""

    def __init__(self, now: Clock) -> None:
        super().__init__(output_field=DateTimeField())
        self._now = now

    @property
    def identity(self) -> tuple[Any, ...]:
        return (_Now, self._now())

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        return Value(self._now(), DateTimeField()).as_sql(compiler, connection)
