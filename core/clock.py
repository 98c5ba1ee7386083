"""The one clock of domain code, so that a test can freeze it. Leases alone use the database's clock."""

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return timezone.now()


def told(at: datetime) -> str:
    """A time as strangers may learn it, in whole seconds: finer, it would tell what else was done at that time."""
    return at.replace(microsecond=0).isoformat()
