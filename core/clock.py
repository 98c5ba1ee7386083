"""The one clock of domain code, so that a test can freeze it. Only leases use the database's clock."""

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The present time, aware, in UTC."""
    return timezone.now()


def whole_seconds(time: datetime) -> str:
    """A time for strangers, in whole seconds: a finer one would show what else was done at that time."""
    return time.replace(microsecond=0).isoformat()
