"""
How many wrong guesses: budgets that the database keeps, exact under parallel posts.

N = 10^L codes of L digits. An address takes 9 wrong guesses at 4 digits in rolling 24 hours, over all its codes,
handles and networks, then 91 at 8, then none: a stranger proves it with a chance of at most 9/1e4 + 91/1e8 = 9.01e-4 a
day. Over the whole site, 100 wrong guesses at 4 digits, 900 at 6 and at most 239,000 at 8 (2,000 mails an hour, 5 tries
each) make 0.0133 expected hijacks a day. A reached tier never locks anybody out: codes get longer, and links go on.
"""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from core import clock, statements

from .models import AddressBudget, CaptchaModel, GuessTally
from .states import CodeTooShort, LinkOnly

WINDOW = timedelta(hours=24)  # rolling
GUESSES = """
    (SELECT guesses FROM verification_addressbudget WHERE address = %s),
    (SELECT SUM(guesses) FROM verification_guesstally WHERE hour >= %s)
"""
DEMAND = "SELECT" + GUESSES
LENGTHEN = "UPDATE verification_captchamodel SET length = %s WHERE id = %s"
CHARGE = """
    INSERT INTO verification_addressbudget AS known (address, guesses, updated_at) VALUES (%s, %s, %s)
    ON CONFLICT (address) DO UPDATE SET guesses = {appended}, updated_at = excluded.updated_at
    RETURNING guesses, (SELECT SUM(guesses) FROM verification_guesstally WHERE hour >= %s)
"""
APPENDED = {
    "postgresql": "known.guesses || excluded.guesses",
    "sqlite": "json_insert(known.guesses, '$[#]', json_extract(excluded.guesses, '$[0]'))",
}
RETURN = "UPDATE verification_addressbudget SET guesses = %s WHERE address = %s AND guesses = %s"
TALLY = """
    INSERT INTO verification_guesstally AS known (hour, shard, guesses) VALUES (%s, %s, 1)
    ON CONFLICT (hour, shard) DO UPDATE SET guesses = known.guesses + 1
"""
SHARDS = 8  # rows that share the count of an hour, so that parallel guesses seldom wait for each other


class Demand(NamedTuple):
    """What codes must be now."""

    length: int  # digits
    link_only: bool  # no code proves any more


def demand(*, address: str, at: datetime) -> Demand:
    """What the codes of a canonical address must be now."""
    if not (settings.LIMIT_GUESSES_ADDRESS or settings.LIMIT_GUESSES_SITE):
        return _demand([], 0)
    return _demand_of(*statements.one(DEMAND, address, _hour(at) - WINDOW), at=at)


def insert(captcha: CaptchaModel) -> None:
    """
    Insert the row of a new request, with a code as long as it must be now. What that is comes back with the row, and
    nearly always it is what it was inserted with.
    """
    captcha.length, at = settings.CAPTCHA_LENGTH, captcha.created_at
    asked = statements.insert(captcha, captcha.address, _hour(at) - WINDOW, asked=GUESSES)
    length = _demand_of(*asked, at=at).length
    if length != captcha.length:
        captcha.length = length
        statements.change(LENGTHEN, length, captcha.pk)


def code_length(*, address: str, at: datetime) -> int:
    """Digits of a new code for a canonical address."""
    return demand(address=address, at=at).length


def charge_guess(*, address: str, length: int, at: datetime) -> list[float]:
    """
    Count a guess at a code of `length` digits against its address, in the caller's transaction (`tally`: for the site).
    Return the moments that count now, this one the last of them.

    The address's row is held until that ends, so its count is exact. The site's is read without a lock: it may be
    overshot by the guesses under way at that moment, at most one for each web thread. Raises CodeTooShort or LinkOnly
    where no such guess is to be had any more.
    """
    mine = int(at.timestamp() * 1e3) / 1e3  # SQLite keeps no more digits
    charge = CHARGE.format(appended=APPENDED[connection.vendor])
    known, site = statements.one(charge, address, _text([mine]), at, _hour(at) - WINDOW)
    guesses = json.loads(known)
    asked = _demand(_recent(guesses[:-1], at), site or 0)
    if asked.link_only:
        raise LinkOnly
    if length < asked.length:
        raise CodeTooShort
    most = max((threshold for threshold, _ in settings.LIMIT_GUESSES_ADDRESS), default=1)  # no rule looks further
    charged = _recent(guesses, at)[-most:]
    if charged != guesses:
        statements.change(RETURN, _text(charged), address, known)
    return charged


def returning(*, address: str, charged: list[float]) -> tuple[str, str, str, str]:
    """The statement for `return_guess`, with its values. It changes a row where nobody guessed meanwhile."""
    return RETURN, _text(charged[:-1]), address, _text(charged)


def return_guess(*, address: str, charged: list[float]) -> None:
    """Take back the guess that was charged last when `charged` were all: it was right. Needs a transaction."""
    if statements.change(*returning(address=address, charged=charged)):
        return
    mine = charged[-1]
    budget = AddressBudget.objects.select_for_update().filter(address=address).first()
    if budget and mine in budget.guesses:
        budget.guesses.remove(mine)
        budget.save(update_fields=["guesses"])


def forget(*, address: str) -> int:
    """Forget the wrong guesses at a canonical address; return how many counted until now. Needs a transaction."""
    budget = AddressBudget.objects.select_for_update().filter(address=address).first()
    if budget is None:
        return 0
    budget.delete()
    return len(_recent(budget.guesses, clock.now()))


def tally(*, at: datetime) -> None:
    """Count a wrong guess for the site, before anybody is told that it was wrong."""
    if settings.LIMIT_GUESSES_SITE:
        shard = random.randrange(SHARDS)  # noqa: S311 - spreads load
        statements.change(TALLY, _hour(at), shard)


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


def _demand_of(guesses: str | None, site: int | None, *, at: datetime) -> Demand:
    """The same, of what GUESSES answers."""
    return _demand(_recent(json.loads(guesses) if guesses else [], at), site or 0)


def _of_site(at: datetime) -> int:
    """Wrong guesses of the last 24 hours, and of the hour in which these began: 25 hours' rows at the most."""
    if not settings.LIMIT_GUESSES_SITE:
        return 0
    return GuessTally.objects.filter(hour__gte=_hour(at) - WINDOW).aggregate(total=Sum("guesses"))["total"] or 0


def _text(guesses: list[float]) -> str:
    """As SQLite writes it too."""
    return json.dumps(guesses, separators=(",", ":"))


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
