"""
How many wrong guesses: budgets that the database keeps, exact under parallel posts.

N = 10^L codes of L digits. An address takes 9 wrong guesses at 4 digits in rolling 24 hours, over all its codes,
handles and networks, then 91 at 8, then none: a stranger proves it with a chance of at most 9/1e4 + 91/1e8 = 9.01e-4 a
day. Over the whole site, 100 wrong guesses at 4 digits, 900 at 6 and at most 239,000 at 8 (2,000 mails an hour, 5 tries
each) make 0.0133 expected hijacks a day. A reached tier never locks anybody out: codes get longer, and links go on.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import F, Sum

from core import clock

from .models import AddressGuesses, SiteGuesses
from .states import CodeTooShort, LinkOnly

WINDOW = timedelta(hours=24)  # rolling
SHARDS = 8  # rows that share the count of an hour, so that parallel guesses seldom wait for each other


class Demand(NamedTuple):
    """What codes must be now."""

    length: int  # digits
    link_only: bool  # no code proves any more


def demand(*, address: str, at: datetime) -> Demand:
    """What the codes of a canonical address must be now."""
    if not (settings.LIMIT_GUESSES_ADDRESS or settings.LIMIT_GUESSES_SITE):
        return _demand([], 0)
    guesses = AddressGuesses.objects.filter(address=address).values_list("guesses", flat=True).first()
    return _demand(_recent(guesses or [], at), _of_site(at))


def code_length(*, address: str, at: datetime) -> int:
    """Digits of a new code for a canonical address."""
    return demand(address=address, at=at).length


def count_guess(*, address: str, length: int, at: datetime) -> float:
    """
    Count a guess at a code of `length` digits against its address, in the caller's transaction (`tally`: for the site).
    Return what `undo_guess` needs.

    The address's row is locked until that ends, so its count is exact. The site's is read without a lock: it may be
    overshot by the guesses under way at that time, at most one for each web thread. Raises CodeTooShort or LinkOnly
    where no such guess is to be had any more.
    """
    budget, _ = AddressGuesses.objects.select_for_update().get_or_create(address=address)
    recent = _recent(budget.guesses, at)
    asked = _demand(recent, _of_site(at))
    if asked.link_only:
        raise LinkOnly
    if length < asked.length:
        raise CodeTooShort
    guess = at.timestamp()
    most = max((threshold for threshold, _ in settings.LIMIT_GUESSES_ADDRESS), default=1)  # no rule looks further
    budget.guesses, budget.updated_at = [*recent, guess][-most:], at
    budget.save(update_fields=["guesses", "updated_at"])
    return guess


def undo_guess(*, address: str, guess: float) -> None:
    """Take back a guess that was counted: it was right. Needs a transaction."""
    budget = AddressGuesses.objects.select_for_update().filter(address=address).first()
    if budget and guess in budget.guesses:
        budget.guesses.remove(guess)
        budget.save(update_fields=["guesses"])


def forget(*, address: str) -> int:
    """Forget the wrong guesses at a canonical address; return how many counted until now. Needs a transaction."""
    budget = AddressGuesses.objects.select_for_update().filter(address=address).first()
    if budget is None:
        return 0
    budget.delete()
    return len(_recent(budget.guesses, clock.now()))


def tally(*, at: datetime) -> None:
    """Count a wrong guess for the site, before anybody is told that it was wrong."""
    if not settings.LIMIT_GUESSES_SITE:
        return
    row = {"hour": _hour(at), "shard": random.randrange(SHARDS)}  # noqa: S311 - spreads load
    more = {"guesses": F("guesses") + 1}
    if not SiteGuesses.objects.filter(**row).update(**more):
        SiteGuesses.objects.bulk_create([SiteGuesses(**row)], ignore_conflicts=True)
        SiteGuesses.objects.filter(**row).update(**more)


def site_length(*, at: datetime) -> int:
    """Digits of a new code for an address without wrong guesses of its own."""
    return _demand([], _of_site(at)).length


def _recent(guesses: Sequence[float], at: datetime) -> list[float]:
    return [moment for moment in guesses if moment > (at - WINDOW).timestamp()]


def _demand(guesses: Sequence[float], site: int) -> Demand:
    """The highest of what the site's setting, the address's guesses and the site's guesses ask for."""
    reached = [digits for threshold, digits in settings.LIMIT_GUESSES_ADDRESS if len(guesses) >= threshold]
    reached += [digits for threshold, digits in settings.LIMIT_GUESSES_SITE if site >= threshold]
    lengths = [digits for digits in reached if digits is not None]
    return Demand(length=max([settings.CAPTCHA_LENGTH, *lengths]), link_only=None in reached)


def _of_site(at: datetime) -> int:
    """Wrong guesses of the last 24 hours, and of the hour in which these began: 25 hours' rows at the most."""
    if not settings.LIMIT_GUESSES_SITE:
        return 0
    return SiteGuesses.objects.filter(hour__gte=_hour(at) - WINDOW).aggregate(total=Sum("guesses"))["total"] or 0


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
