"""The outbox: post a mail in the caller's transaction, claim it under a lease, settle it by what SMTP said."""

import random
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from email.utils import make_msgid, parseaddr
from functools import cache, partial

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Greatest, Now

from core import clock, email_addresses
from verification import services as verification
from verification.models import CaptchaModel

from . import counts, mail_limits, notify, suppression
from .mail_limits import MailLimit
from .models import Delivery, DeliveryQuerySet
from .smtp import Outcome, Reply

State = Delivery.State

TAKE_BACK = 1_000  # leases that are over, in one statement
LEASE = 60  # seconds; longer than one send, shorter than the broker's visibility timeout
GIVE_UP = timedelta(hours=2)
BACKOFF = (20, 70, 180, 330, 480)  # seconds after the 1st … 5th failure: greylisting opens after 1 to 5 minutes
BACKOFF_LATER = 600
HASTENED = 2  # deferred mails that each accepted one brings forward
SOON = timedelta(seconds=5)  # what is tried so soon by itself needs no help
HASTEN_AGAIN = 60  # seconds between two early tries of the same mail, at the least
OWN_TROUBLE = "while building"  # what the last reply of a mail that can't be built ends with
LOOK_AGAIN = 10.0  # seconds without a look for them after there were none
SERVICE_PAUSE = 10  # seconds; the breaker before the mail server decides when one of all is tried

Result = tuple[Delivery, Reply]


def post(
    *,
    kind: str,
    recipient: str,
    language: str,
    sign_up: CaptchaModel | None = None,
    user_id: int | None = None,
    network: str | None = None,
) -> Delivery:
    """
    Write one mail into the outbox, in the caller's transaction; its bell rings after the commit.

    `network` is the fingerprint of who asked for it; None for a mail that nobody asked for, outside all limits.
    """
    delivery = Delivery(
        kind=kind,
        recipient=recipient,
        language=language,
        sign_up=sign_up,
        generation=sign_up.generation if sign_up else 0,
        user_id=user_id,
        mailbox="" if network is None else email_addresses.mailbox(recipient),
        network=network or "",
        created_at=clock.now(),
        next_attempt_at=Now(),
        published_at=Now(),
        message_id=new_message_id(),
    )
    delivery.save(force_insert=True)
    notify_after_commit(delivery.pk)
    return delivery


def new_message_id() -> str:
    """A Message-ID at the sender's domain."""
    return make_msgid(domain=_domain(settings.DEFAULT_FROM_EMAIL))


@cache
def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2]


def hold(*, sign_up: CaptchaModel) -> list[Delivery]:
    """Lock and return the unsettled deliveries of a sign-up request, so that no worker begins one before the commit."""
    waiting = Delivery.objects.filter(sign_up=sign_up, state__in=[State.PENDING, State.SENDING])
    return list(waiting.select_for_update(no_key=True).order_by("pk"))


def supersede(*, deliveries: Sequence[Delivery]) -> None:
    """Take held mails of a dead code out of the outbox."""
    Delivery.objects.filter(pk__in=[each.pk for each in deliveries], state=State.PENDING).supersede()


def send_sooner(*, delivery: Delivery, language: str) -> None:
    """
    Somebody asked again for a mail that waits: ring for it once more instead of sending it twice. One that waits for
    its time goes on waiting.
    """
    Delivery.objects.filter(pk=delivery.pk).update(language=language)
    notify_after_commit(delivery.pk)


def claim(*, limit: int) -> list[Delivery]:
    """
    Lease up to `limit` due mails to the caller for LEASE seconds, by the database's clock, as the workers' own may
    disagree. Nobody else sends these until the lease ends; whoever settles must show its token.

    Mails about accounts are claimed apart, and first: how long they take tells nobody's neighbour who has an account,
    and a password reset waits for no backlog. What the mail limits don't allow now is put off.
    """
    at = clock.now()
    with transaction.atomic():
        return _claim(mail_limits.RESETS, limit, at) or _claim(mail_limits.SIGN_UPS, limit, at)


def _claim(group: MailLimit, limit: int, at: datetime) -> list[Delivery]:
    due = mail_limits.admissible(Delivery.objects.due().filter(mail_limits.of_kind(group)), group, at=at)
    rows = _take(due.select_related("sign_up"), limit)
    suppression.mark(rows, at=at)
    if len(rows) == limit or (rows and group is mail_limits.RESETS):
        notify_after_commit(rows[-1].pk)  # there may be more, for another thread
    superseded = [row.pk for row in rows if not row.is_wanted]
    if superseded:
        Delivery.objects.filter(pk__in=superseded).supersede()
    mine = mail_limits.admit([row for row in rows if row.pk not in superseded], group, at=at)
    ready = verification.begin_send(sign_ups=[row.sign_up for row in mine if row.sign_up], at=at)
    mine = [row for row in mine if row.sign_up_id is None or row.sign_up_id in ready]
    if mine:
        _lease(mine, secrets.token_hex(16), at)
    return mine


def _take(due: DeliveryQuerySet, limit: int) -> list[Delivery]:
    """
    Lock and return up to `limit` mails: half of them the newest, so that a visitor does not wait behind a backlog, half
    the oldest, so that no mail waits forever.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # A backlog comes faster than the planner learns of it: for a handful of rows it would collect and sort all.
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    locked, half = due.lock(), (limit + 1) // 2
    rows = list(locked.order_by("-next_attempt_at")[:half])
    if len(rows) == half < limit:
        others = locked.exclude(pk__in=[row.pk for row in rows])
        rows += others.order_by("next_attempt_at")[: limit - half]
    return rows


def _lease(mine: Sequence[Delivery], token: str, at: datetime) -> None:
    new = [row.pk for row in mine if row.admitted_at == at]
    lease = {
        "state": State.SENDING,
        "attempts": F("attempts") + 1,
        "lease_token": token,
        "lease_until": Now() + timedelta(seconds=LEASE),
    }
    Delivery.objects.filter(pk__in=new).update(admitted_at=at, **lease)
    if len(new) < len(mine):
        Delivery.objects.filter(pk__in=[row.pk for row in mine]).exclude(pk__in=new).update(**lease)
    for row in mine:
        row.state, row.attempts, row.lease_token = State.SENDING, row.attempts + 1, token


def settle(*, results: Sequence[Result]) -> list[Delivery]:
    """
    Record what became of claimed deliveries, all or nothing. Return those whose lease had passed to another: their
    new holder settles them.

    An acceptance starts the code's life in the same transaction, even for one whose lease was lost: the mail is out.
    """
    accepted = [result for result in results if result[1].outcome is Outcome.ACCEPTED]
    with transaction.atomic():
        verification.accept(mails=_codes(delivery for delivery, _ in accepted), at=clock.now())
        fenced = _settle_accepted(accepted)
        others = [result for result in results if result[1].outcome is not Outcome.ACCEPTED]
        recorded = [delivery for delivery, reply in others if _record(delivery, reply)]
        verification.call_off_sends(mails=_codes(recorded))
    return fenced + [delivery for delivery, _ in others if delivery not in recorded]


def _codes(deliveries: Iterable[Delivery]) -> list[tuple[int, int]]:
    """The (sign-up id, generation) pairs that these mails are about."""
    return [(each.sign_up_id, each.generation) for each in deliveries if each.sign_up_id]


def _settle_accepted(results: Sequence[Result]) -> list[Delivery]:
    """Record acceptances under one lease in one statement; return those whose lease had passed on."""
    if not results:
        return []
    now, ids = clock.now(), [delivery.pk for delivery, _ in results]
    replies = [When(pk=delivery.pk, then=Value(reply.text[:255])) for delivery, reply in results]
    mine = Delivery.objects.filter(pk__in=ids, state=State.SENDING, lease_token=results[0][0].lease_token)
    accepted = mine.update(state=State.SENT, sent_at=now, lease_token="", lease_until=None, last_reply=Case(*replies))
    if accepted == len(results):
        return []
    held = set(Delivery.objects.filter(pk__in=ids, sent_at=now, state=State.SENT).values_list("pk", flat=True))
    return [delivery for delivery, _ in results if delivery.pk not in held]


def release(*, deliveries: Sequence[Delivery]) -> None:
    """Give claimed deliveries back unsent: their attempt is not counted, and the sweeper finds them at once."""
    unsent = {"state": State.PENDING, "attempts": F("attempts") - 1, "lease_token": "", "lease_until": None}
    with transaction.atomic():
        mine = [delivery for delivery in deliveries if _mine(delivery).update(**unsent)]
        verification.call_off_sends(mails=_codes(mine))


def leave(*, delivery: Delivery, reply: Reply) -> None:
    """
    Record a silence after the final dot. The mail may be on its way: nobody repeats it before its lease ends, and
    each time the lease is as long as the pause after a failure. After GIVE_UP it ends.
    """
    if _is_old(delivery):
        if _mine(delivery).update(state=State.FAILED, last_reply=reply.text[:255], lease_token="", lease_until=None):
            counts.failed.add_after_commit("given_up")
    else:
        lease = timedelta(seconds=max(LEASE, _pause(delivery, reply)))
        _mine(delivery).update(last_reply=reply.text[:255], lease_until=Now() + lease)


_next_look = float("-inf")


def retry_deferred_sooner(*, accepted: int) -> None:
    """
    The mail server took so many mails: bring forward those that it deferred, whose time comes next, HASTENED for each.

    After an outage twice as many leave each time, at the pace at which the server takes them. One that still defers
    them, as greylisting does, sees at most HASTENED early tries for each mail that it takes.
    """
    global _next_look  # noqa: PLW0603
    if not accepted or time.monotonic() < _next_look:
        return
    with transaction.atomic():
        later = {"next_attempt_at__gt": Now() + SOON, "published_at__lt": Now() - timedelta(seconds=HASTEN_AGAIN)}
        deferred = Delivery.objects.deferred().exempt().filter(**later).exclude(last_reply__endswith=OWN_TROUBLE)
        rows = deferred.lock().order_by("next_attempt_at")[: accepted * HASTENED]
        ids = list(rows.values_list("pk", flat=True))
        if ids:
            # An early try that fails must not make the next wait longer, so it is not counted.
            attempts = Greatest(F("attempts") - 1, 1)
            Delivery.objects.filter(pk__in=ids).update(attempts=attempts, next_attempt_at=Now(), published_at=Now())
            notify_after_commit(ids[0])
        else:
            _next_look = time.monotonic() + LOOK_AGAIN


def take_back() -> int:
    """Free the deliveries whose lease is over: whoever held them is gone. Return how many there were."""
    with transaction.atomic():
        over = Delivery.objects.filter(state=State.SENDING, lease_until__lte=Now())
        ids = list(over.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)[:TAKE_BACK])
        if ids:
            Delivery.objects.filter(pk__in=ids).update(state=State.PENDING, next_attempt_at=Now(), lease_token="")
    counts.reclaimed.add(number=len(ids))
    return len(ids)


def _mine(delivery: Delivery) -> QuerySet[Delivery]:
    """The row, if the lease under which it was claimed still holds."""
    return Delivery.objects.filter(pk=delivery.pk, state=State.SENDING, lease_token=delivery.lease_token)


def _record(delivery: Delivery, reply: Reply) -> bool:
    """Record a reply other than an acceptance; return whether the lease still held."""
    columns = _settled(delivery, reply)
    is_mine = bool(_mine(delivery).update(**columns))
    if is_mine and columns.get("state") == State.FAILED:
        counts.failed.add_after_commit("refused" if reply.outcome is Outcome.REFUSED else "given_up")
    return is_mine


def _settled(delivery: Delivery, reply: Reply) -> dict[str, object]:
    """The columns that record a reply other than an acceptance."""
    common = {"last_reply": reply.text[:255], "lease_token": "", "lease_until": None}
    if reply.outcome is Outcome.DROPPED:
        return {**common, "state": State.EXPIRED}
    if reply.outcome is Outcome.REFUSED or _is_old(delivery):
        return {**common, "state": State.FAILED}
    later = Now() + timedelta(seconds=_pause(delivery, reply) * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load
    return {**common, "state": State.PENDING, "next_attempt_at": later}


def _is_old(delivery: Delivery) -> bool:
    """Whether it has been tried for long enough; what the mail limits made it wait is not held against it."""
    return clock.now() - (delivery.admitted_at or delivery.created_at) >= GIVE_UP


def _pause(delivery: Delivery, reply: Reply) -> int:
    """Seconds until the next try: by the failures of this mail, but soon where the service itself was at fault."""
    if reply.outcome in (Outcome.UNAVAILABLE, Outcome.THROTTLED):
        return SERVICE_PAUSE
    failures = delivery.attempts - 1
    return BACKOFF[failures] if failures < len(BACKOFF) else BACKOFF_LATER


def notify_after_commit(delivery_id: int) -> None:
    """Ring for a delivery once the caller's transaction is committed."""
    # robust: an error after COMMIT must not become the visitor's 500; the row is there, the sweeper will find it.
    transaction.on_commit(partial(notify.notify_workers, delivery_id), robust=True)
