"""Delete rows that nobody needs any more, in small transactions."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from knox.models import AuthToken

from core import clock
from core.observability.counters import Counter
from verification import guess_limits
from verification.models import AddressGuesses, CaptchaModel, SiteGuesses
from worker import suppression
from worker.mail_limits import ACCOUNT_MAILS, SIGN_UP_MAILS
from worker.models import UNSETTLED, Delivery, SiteMails, Suppression

from .models import User

logger = logging.getLogger(__name__)

BATCH = 500  # rows in one transaction
DAY = 86_400  # seconds; `Delivery.objects.beside_limit` reads the mails of the last day

purges = Counter("doorcode_purges", "Purges that deleted all that is outdated")


def purge(*, dry_run: bool = False) -> Iterator[tuple[str, int]]:
    """
    Delete, kind by kind, and yield (kind, rows); with `dry_run` only count. Any number of purges may run at once: each
    skips the rows that another has locked. Raises the DatabaseError of a kind that can't be deleted after all others,
    and OperationalError at once if the database is down.
    """
    connection.ensure_connection()
    failed: DatabaseError | None = None
    for kind, rows in outdated().items():
        try:
            number = rows.count() if dry_run else _delete(rows)
        except DatabaseError as error:
            logger.warning("%s can't be purged: %s", kind, type(error).__name__)
            failed = error
        else:
            yield kind, number
    if failed:
        raise failed
    if not dry_run:
        purges.add()


def outdated() -> dict[str, QuerySet[Any]]:
    # Mail limits count the rows of mails, so these stay for as long.
    rates = [rate for limit in (SIGN_UP_MAILS, ACCOUNT_MAILS) for rate in (*limit.mailbox_rates, *limit.site_rates)]
    counted = max([DAY, *(seconds for _, seconds in rates)])
    old_mails = Delivery.objects.filter(created_at__lt=_ago(max(settings.PURGE_DELIVERIES_AFTER, counted)))
    old_codes = CaptchaModel.objects.filter(created_at__lt=_ago(settings.PURGE_CODES_AFTER))
    old_users = User.objects.pending().filter(created_at__lt=_ago(settings.PURGE_USERS_AFTER), last_login=None)
    # Not Exists(…) | Exists(…): PostgreSQL uses indexes only for separate conditions.
    abandoned = old_users.exclude(Exists(CaptchaModel.objects.live().filter(address=OuterRef("email"))))
    # How often an address bounced is kept for longer than its suppression: the next time is longer.
    is_forgotten = Q(times=0) | Q(until__lt=_ago(suppression.FORGOTTEN_DAYS * DAY))
    return {
        "deliveries": old_mails.exclude(state__in=UNSETTLED).exclude(admitted_at__gte=_ago(counted)),
        "codes": _without_waiting_mail(old_codes, sign_up=OuterRef("pk")),
        "users": _without_waiting_mail(abandoned, recipient=OuterRef("email")),
        "suppressions": Suppression.objects.filter(is_forgotten, until__lt=clock.now()),
        "tokens": AuthToken.objects.filter(expiry__lt=clock.now()),
        "sessions": Session.objects.filter(expire_date__lt=clock.now()),
        "address guesses": AddressGuesses.objects.filter(updated_at__lt=clock.now() - 2 * guess_limits.WINDOW),
        "site guesses": SiteGuesses.objects.filter(hour__lt=clock.now() - 2 * guess_limits.WINDOW),
        "site mails": SiteMails.objects.filter(minute__lt=_ago(2 * counted)),
    }


def _without_waiting_mail(rows: QuerySet[Any], **about: OuterRef) -> QuerySet[Any]:
    """Each state is a condition of its own, as each has an index: else a batch would read all mails that are kept."""
    for state in UNSETTLED:
        rows = rows.exclude(Exists(Delivery.objects.filter(state=state, **about)))
    return rows


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while True:
        with transaction.atomic():
            # The conditions are checked again after the lock: before it, another row may have begun to refer to one.
            batch = list(rows.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:BATCH])
            _total, by_model = rows.filter(pk__in=batch).delete()
        deleted += by_model.get(rows.model._meta.label, 0)
        if len(batch) < BATCH:
            return deleted


def _ago(seconds: int) -> datetime:
    return clock.now() - timedelta(seconds=seconds)
