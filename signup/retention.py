"""Delete what nobody needs any more, in small transactions. It knows accounts, codes and mails, and what binds them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from knox.models import AuthToken

from core import clock
from verification.models import AddressGuesses, CaptchaModel, SiteGuesses
from worker.mail_limits import RESETS, SIGN_UPS
from worker.models import Delivery, SiteMails, Suppression

from .models import User

BATCH = 500  # rows in one transaction
UNLIMITED = 86_400  # seconds in which one mail with a longer code goes past the mail limit
COUNTED = 2 * 86_400  # seconds; guesses count for 24 hours
State = Delivery.State

Rows = QuerySet[Any]


def purge(*, dry_run: bool = False) -> Iterator[tuple[str, int]]:
    """
    Delete, kind by kind, and yield (kind, rows): settled deliveries, old codes, never-activated users, mutes and API
    tokens that are over, and counts that no budget looks at any more.

    With `dry_run` only count. Any number of purges at once is safe: each passes over the rows that another holds.
    """
    for kind, rows in _KINDS.items():
        yield kind, rows().count() if dry_run else _delete(rows)


def _delete(rows: Callable[[], Rows]) -> int:
    deleted = 0
    while True:
        with transaction.atomic():
            # Held from here on: what a row must be to go is true of it until it is gone.
            batch = list(rows().select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:BATCH])
            rows().model._default_manager.filter(pk__in=batch).delete()
        deleted += len(batch)
        if len(batch) < BATCH:
            return deleted


def _deliveries() -> Rows:
    """Mails that are sent, refused or given up, of old; but none that a mail limit still counts."""
    settled = Delivery.objects.exclude(state__in=[State.PENDING, State.SENDING])
    rates = [rate for limit in (SIGN_UPS, RESETS) for rate in (*limit.mailbox_rates, *limit.site_rates)]
    counted = max([UNLIMITED, *(seconds for _, seconds in rates)])
    old = settled.filter(created_at__lt=_before(max(settings.PURGE_DELIVERIES_AFTER, counted)))
    return old.exclude(admitted_at__gte=_before(counted))


def _codes() -> Rows:
    """Codes of old, but for those whose mail still waits."""
    old = CaptchaModel.objects.filter(created_at__lt=_before(settings.PURGE_CODES_AFTER))
    return old.exclude(Exists(_waiting().filter(sign_up=OuterRef("pk"))))


def _users() -> Rows:
    """Accounts that were never active, are in nobody's hands, and have neither a live code nor a waiting mail."""
    live = CaptchaModel.objects.filter(
        address=OuterRef("email"), redeemed_at=None, created_at__gte=_before(settings.HANDLE_LIFETIME)
    )
    old = User.objects.pending().filter(created_at__lt=_before(settings.PURGE_USERS_AFTER), last_login=None)
    return old.exclude(Exists(live)).exclude(Exists(_waiting().filter(recipient=OuterRef("email"))))


def _mutes() -> Rows:
    return Suppression.objects.filter(until__lt=clock.now())


def _tokens() -> Rows:
    rows: Rows = AuthToken.objects.filter(expiry__lt=clock.now())
    return rows


def _budgets() -> Rows:
    """Addresses without a guess in the window."""
    return AddressGuesses.objects.filter(updated_at__lt=_before(COUNTED))


def _guess_tallies() -> Rows:
    return SiteGuesses.objects.filter(hour__lt=_before(COUNTED))


def _mail_tallies() -> Rows:
    longest = max((seconds for _, seconds in settings.LIMIT_MAILS_SITE), default=0)
    return SiteMails.objects.filter(minute__lt=_before(max(COUNTED, 2 * longest)))


_KINDS: dict[str, Callable[[], Rows]] = {
    "deliveries": _deliveries,
    "codes": _codes,
    "users": _users,
    "mutes": _mutes,
    "tokens": _tokens,
    "guess budgets": _budgets,
    "guess tallies": _guess_tallies,
    "mail tallies": _mail_tallies,
}


def _waiting() -> QuerySet[Delivery]:
    return Delivery.objects.filter(state__in=[State.PENDING, State.SENDING])


def _before(seconds: int) -> datetime:
    return clock.now() - timedelta(seconds=seconds)
