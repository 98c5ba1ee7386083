"""
How many wrong guesses an address and the site may take. Counted in the database, exact under parallel posts. The tries
of one code are counted in its own row (`services.prove`).

A reached limit never locks anybody out: codes get longer, and the link works. docs/reference/security.md has the
arithmetic of the limits.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import F

from core import clock

from .models import AddressGuesses, SiteGuesses
from .states import CodeTooShort, LinkOnly

WINDOW = timedelta(hours=24)  # rolling


class Required(NamedTuple):
    """The length that a code must have now."""

    length: int  # digits
    link_only: bool  # no code is long enough


def required(*, address: str | None = None) -> Required:
    """
    Return what a code of a canonical address must be like, after the wrong guesses so far. Without an address, only
    those of the whole site count.
    """
    at = clock.now()
    rows = AddressGuesses.objects.filter(address=address) if address and settings.LIMIT_GUESSES_ADDRESS else []
    return _required_after([guess for row in rows for guess in row.since(at - WINDOW)], at)


def count(*, address: str, length: int, at: datetime) -> None:
    """
    Count a guess at a code of `length` digits against its address. Needs a transaction.

    The address's row stays locked until the transaction ends, so its count is exact. The site's count is read without
    a lock: the guesses under way, at most one for each web thread, may exceed its limit. Raises CodeTooShort or
    LinkOnly, and counts nothing, if such a guess is not allowed.
    """
    row = AddressGuesses.objects.lock_or_create(address, at=at)
    recent = row.since(at - WINDOW)
    needed = _required_after(recent, at)
    if needed.link_only:
        raise LinkOnly
    if length < needed.length:
        raise CodeTooShort
    # One more than the highest threshold, because this guess may be undone.
    most = max((threshold for threshold, _ in settings.LIMIT_GUESSES_ADDRESS), default=0) + 1
    row.guesses, row.updated_at = [*recent, at.timestamp()][-most:], at
    row.save(update_fields=["guesses", "updated_at"])


def undo(*, address: str, at: datetime) -> None:
    """Remove the guess that was counted `at` this time, because it was right. Needs a transaction."""
    row = AddressGuesses.objects.lock(address)
    if row and at.timestamp() in row.guesses:
        row.guesses.remove(at.timestamp())
        row.save(update_fields=["guesses"])


def count_for_site(*, at: datetime) -> None:
    """Count a wrong guess for the site. Call it before anybody learns that the guess was wrong."""
    if not settings.LIMIT_GUESSES_SITE:
        return
    row = SiteGuesses.objects.filter(hour=clock.hour_of(at))
    if not row.update(guesses=F("guesses") + 1):
        SiteGuesses.objects.bulk_create([SiteGuesses(hour=clock.hour_of(at))], ignore_conflicts=True)
        row.update(guesses=F("guesses") + 1)


def forget(*, address: str) -> int:
    """Delete the wrong guesses at a canonical address; return how many counted until now. Needs a transaction."""
    row = AddressGuesses.objects.lock(address)
    if row is None:
        return 0
    row.delete()
    return len(row.since(clock.now() - WINDOW))


def _required_after(recent: list[float], at: datetime) -> Required:
    """The longest of the configured length and the lengths that reached limits ask for."""
    site = 0  # the wrong guesses of the last 24 hours, and of the hour in which these began
    if settings.LIMIT_GUESSES_SITE:
        hours = SiteGuesses.objects.filter(hour__gte=clock.hour_of(at) - WINDOW)
        site = sum(hours.values_list("guesses", flat=True))
    reached = [digits for threshold, digits in settings.LIMIT_GUESSES_ADDRESS if len(recent) >= threshold]
    reached += [digits for threshold, digits in settings.LIMIT_GUESSES_SITE if site >= threshold]
    lengths = [digits for digits in reached if digits is not None]
    return Required(length=max([settings.CAPTCHA_LENGTH, *lengths]), link_only=None in reached)
