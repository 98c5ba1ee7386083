"""Delete what nobody needs any more, in small transactions. It knows accounts, codes and mails, and what binds them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from core import clock
from verification.models import CaptchaModel
from worker.models import Delivery, Mute

from .models import User

BATCH = 500  # rows in one transaction
State = Delivery.State

Rows = QuerySet[Any]


def purge(*, dry_run: bool = False) -> Iterator[tuple[str, int]]:
    """
    Delete, kind by kind, and yield (kind, rows): settled deliveries, old codes, never-activated users, mutes that
    are over.

    With `dry_run` only count. Any number of purges at once is safe: each passes over the rows that another holds.
    """
    for kind, rows in (("deliveries", _deliveries), ("codes", _codes), ("users", _users), ("mutes", _mutes)):
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
    """Mails that are sent, refused or given up, of old."""
    settled = Delivery.objects.exclude(state__in=[State.PENDING, State.SENDING])
    return settled.filter(created_at__lt=_before(settings.PURGE_DELIVERIES_AFTER))


def _codes() -> Rows:
    """Codes of old, but for those whose mail still waits."""
    old = CaptchaModel.objects.filter(created_at__lt=_before(settings.PURGE_CODES_AFTER))
    return old.exclude(Exists(_waiting().filter(captcha=OuterRef("pk"))))


def _users() -> Rows:
    """Accounts that were never active, are in nobody's hands, and have neither a live code nor a waiting mail."""
    live = CaptchaModel.objects.filter(
        address=OuterRef("email"), redeemed_at=None, created_at__gte=_before(settings.HANDLE_LIFETIME)
    )
    old = User.objects.pending().filter(created_at__lt=_before(settings.PURGE_USERS_AFTER), last_login=None)
    return old.exclude(Exists(live)).exclude(Exists(_waiting().filter(recipient=OuterRef("email"))))


def _mutes() -> Rows:
    return Mute.objects.filter(until__lt=clock.now())


def _waiting() -> QuerySet[Delivery]:
    return Delivery.objects.filter(state__in=[State.PENDING, State.SENDING])


def _before(seconds: int) -> datetime:
    return clock.now() - timedelta(seconds=seconds)
