"""
Which deliveries are due. A claim of them is written out (docs/decisions/0065), and goes along an index, the newest and
the oldest first (0067).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now

from core import clock, statements
from verification import lookup

from . import budgets
from .models import UNCHARGED, Delivery

# A backlog comes faster than the planner learns of it: for a handful of rows it would collect and sort all that wait.
ALONG_THE_INDEX = "SET LOCAL enable_bitmapscan = off"
TAKE = """
    SELECT {{columns}} FROM worker_delivery
    WHERE state = 'pending' AND next_attempt_at <= {now} AND {which} AND {others} ORDER BY next_attempt_at {order}
    LIMIT %s {lock}
"""
LEASE = """
    UPDATE worker_delivery
    SET state = 'sending', attempts = attempts + 1, admitted_at = COALESCE(admitted_at, %s), lease_token = %s,
        lease_until = {later}
    WHERE id IN ({ids})
"""
NEEDS_NO_PLACE = "(mailbox = '' OR admitted_at IS NOT NULL)"  # models.UNCHARGED as SQL
# The database's own clock: the workers' may disagree.
NOW = {"postgresql": "STATEMENT_TIMESTAMP()", "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"}
LATER = {
    "postgresql": "STATEMENT_TIMESTAMP() + make_interval(secs => %s)",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', %s || ' seconds')",
}
LOCK = {"postgresql": "FOR NO KEY UPDATE SKIP LOCKED", "sqlite": ""}  # SQLite's transaction is the lock


def take(*, limit: int, uncharged: bool) -> list[Delivery]:
    """
    Lock and return up to `limit` due deliveries with their requests, half of them the newest and half the oldest, and
    pass over what others hold. `uncharged`: only those that need no place in the site's budget. Needs a transaction.
    """
    if connection.vendor == "postgresql":
        statements.change(ALONG_THE_INDEX)
    newest = (limit + 1) // 2
    rows = _along("DESC", newest, uncharged, [])
    if len(rows) == newest and limit > newest:
        rows += _along("ASC", limit - newest, uncharged, [row.pk for row in rows])
    captchas = lookup.by_id(ids=[row.captcha_id for row in rows if row.captcha_id])
    for row in rows:
        row.captcha = captchas.get(row.captcha_id or 0)
    return rows


def _along(order: str, limit: int, uncharged: bool, taken: Sequence[int]) -> list[Delivery]:
    which = NEEDS_NO_PLACE if uncharged else "TRUE"
    others = f"id NOT IN ({statements.places(taken)})" if taken else "TRUE"
    vendor = connection.vendor
    select = TAKE.format(now=NOW[vendor], which=which, others=others, order=order, lock=LOCK[vendor])
    return statements.rows(Delivery, select, *taken, limit)


def lease(*, ids: Sequence[int], token: str, seconds: int, at: datetime) -> None:
    """Mark taken deliveries as one worker's for these seconds: another try, and admitted `at` if not before."""
    update = LEASE.format(later=LATER[connection.vendor], ids=statements.places(ids))
    statements.change(update, at, token, seconds, *ids)


def longest() -> tuple[int, timedelta] | None:
    """Return which delivery has been due for longest, of those that may be sent now, and for how long."""
    waited = ExpressionWrapper(Now() - F("next_attempt_at"), output_field=DurationField())
    return _due().order_by("next_attempt_at").values_list("pk", waited).first()


def count() -> int:
    """How many deliveries could be sent now."""
    return _due().count()


def _due() -> QuerySet[Delivery]:
    pending = Q(state=Delivery.State.PENDING, next_attempt_at__lte=Now())
    uncharged = budgets.site_room(at=clock.now()) == 0
    return Delivery.objects.filter(pending & UNCHARGED if uncharged else pending)
