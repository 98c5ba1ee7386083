"""
How many mails: budgets of a mailbox and of the site. They delay mails, at the claim, and never change an answer.

A mail that must wait keeps its place in the outbox with a later time. What counts is a mail's first claim: a retry of
the same mail is free, and so is one that never leaves.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

from django.conf import settings
from django.db import connection

from core import statements

from .models import Delivery

MINUTE = timedelta(minutes=1)  # what a row of the site's tally counts
RECENT = """
    SELECT {{columns}} FROM worker_delivery WHERE admitted_at > %s AND mailbox IN ({mailboxes}) ORDER BY admitted_at
"""
SENT = "SELECT SUM(mails) FROM worker_mailtally WHERE minute > %s"
ADD = """
    INSERT INTO worker_mailtally AS known (minute, mails) VALUES (%s, %s)
    ON CONFLICT (minute) DO UPDATE SET mails = known.mails + excluded.mails
"""
LOCK = "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key"

Sent = list[tuple[str, datetime]]  # the (network, moment) of a mailbox's mails, oldest first


def admit(*, deliveries: Sequence[Delivery], at: datetime) -> dict[int, datetime]:
    """
    Mark those that the budgets allow as admitted `at`; return until when the others must wait, by their ids.

    To be called in the transaction that claims them, which must save `admitted_at`. Exact: claims that meet at a
    mailbox, or at the last mails of the site's hour, wait for each other's commits.
    """
    asking = sorted((each for each in deliveries if each.mailbox and not each.admitted_at), key=lambda each: each.pk)
    waits = _ask_mailboxes(asking, at) if asking and settings.LIMIT_MAILS_MAILBOX else {}
    passed = [each for each in asking if each.pk not in waits]
    waits |= _ask_site(passed, at) if passed and settings.LIMIT_MAILS_SITE else {}
    for delivery in asking:
        if delivery.pk not in waits:
            delivery.admitted_at = at
    return waits


def _ask_mailboxes(asking: Sequence[Delivery], at: datetime) -> dict[int, datetime]:
    _lock({each.mailbox for each in asking})
    longest = timedelta(seconds=max(seconds for _, seconds in settings.LIMIT_MAILS_MAILBOX))
    sent: dict[str, Sent] = {each.mailbox: [] for each in asking}
    recent = RECENT.format(mailboxes=statements.places(sent))
    for each in statements.rows(Delivery, recent, at - longest, *sent, only=("mailbox", "network", "admitted_at")):
        sent[each.mailbox].append((each.network, each.admitted_at or at))
    waits = {}
    for delivery in asking:
        until = _free_at(sent[delivery.mailbox], delivery.network, at)
        if until > at:
            waits[delivery.pk] = until
        else:
            sent[delivery.mailbox].append((delivery.network, at))
    return waits


def _free_at(sent: Sent, network: str, at: datetime) -> datetime:
    """
    When a mailbox takes another mail that this network asked for.

    The last mail of the longest window is kept for a network that none was sent for: who fills a mailbox from one
    place must not keep its owner from signing up.
    """
    rates = sorted(settings.LIMIT_MAILS_MAILBOX, key=lambda rate: rate[1])
    known = any(asked == network for asked, _ in sent)
    free = at
    for count, seconds in rates:
        reserved = 1 if known and count > 1 and seconds == rates[-1][1] else 0
        window = timedelta(seconds=seconds)
        inside = [moment for _, moment in sent if moment > at - window]
        if len(inside) >= count - reserved:
            free = max(free, inside[-(count - reserved)] + window)
    return free


def site_room(*, at: datetime) -> int | None:
    """Mails that the site may send now; None where nothing limits them. While it is 0 a claim need not look at them."""
    rooms = []
    for count, seconds in settings.LIMIT_MAILS_SITE:
        begin = at - timedelta(seconds=seconds) - MINUTE
        (total,) = statements.one(SENT, begin)
        rooms.append(max(0, count - (total or 0)))
    return min(rooms, default=None)


def _ask_site(asking: Sequence[Delivery], at: datetime) -> dict[int, datetime]:
    """Touch the row first: it is held from then on, so that no two claims take the same place."""
    minute = at.replace(second=0, microsecond=0)
    statements.change(ADD, minute, 0)
    room = site_room(at=at)
    surplus = 0 if room is None else max(0, len(asking) - room)
    statements.change(ADD, minute, len(asking) - surplus)
    return {each.pk: at + MINUTE for each in asking[len(asking) - surplus :]}


def _lock(mailboxes: set[str]) -> None:
    """Hold these mailboxes until the transaction ends. On SQLite the transaction itself is the lock."""
    if connection.vendor == "postgresql":
        keys = sorted(int.from_bytes(blake2b(each.encode(), digest_size=8).digest(), signed=True) for each in mailboxes)
        statements.ask(LOCK, keys)  # one order for all: no two claims wait for each other in a circle
