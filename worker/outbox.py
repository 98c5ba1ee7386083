"""The outbox: post a mail in the caller's transaction, claim it under a lease, settle it by what SMTP said."""

import random
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import make_msgid, parseaddr
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Now

from core import addresses, clock
from verification import services as verification
from verification.models import CaptchaModel

from . import bell, budgets, counts
from .models import UNCHARGED, Delivery
from .smtp import Outcome, Reply

State = Delivery.State

LEASE = 60  # seconds; longer than one send, shorter than the broker's visibility timeout
RING_AGAIN = 60  # seconds after which a bell that nobody answered is rung again
GIVE_UP = timedelta(hours=2)
BACKOFF = (20, 70, 180, 330, 480)  # seconds after the 1st … 5th failure: greylisting opens after 1 to 5 minutes
BACKOFF_LATER = 600
SERVICE_PAUSE = 10  # seconds; the breaker before the mail server decides when one of all is tried

Result = tuple[Delivery, Reply]


def post(
    *,
    kind: str,
    recipient: str,
    language: str,
    captcha: CaptchaModel | None = None,
    user_id: int | None = None,
    network: str | None = None,
) -> Delivery:
    """
    Write one mail into the outbox, in the caller's transaction; its bell rings after the commit.

    `network` is the fingerprint of who asked for it; None for a mail that nobody asked for, outside all budgets.
    """
    delivery = Delivery.objects.create(
        kind=kind,
        recipient=recipient,
        language=language,
        captcha=captcha,
        generation=captcha.generation if captcha else 0,
        user_id=user_id,
        mailbox="" if network is None else addresses.mailbox(recipient),
        network=network or "",
        created_at=clock.now(),
        next_attempt_at=Now(),
        published_at=Now(),
        message_id=new_message_id(),
    )
    ring_after_commit(delivery.pk)
    return delivery


def new_message_id() -> str:
    """A Message-ID at the sender's domain."""
    return make_msgid(domain=parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2])


def hold(*, captcha: CaptchaModel) -> list[Delivery]:
    """Lock and return the unsettled deliveries of a captcha, so that no worker begins one before the commit."""
    waiting = Delivery.objects.filter(captcha=captcha, state__in=[State.PENDING, State.SENDING])
    return list(waiting.select_for_update(no_key=True).order_by("pk"))


def supersede(*, deliveries: Sequence[Delivery]) -> None:
    """Take held mails of a dead code out of the outbox."""
    waiting = Delivery.objects.filter(pk__in=[each.pk for each in deliveries], state=State.PENDING)
    waiting.update(state=State.EXPIRED, last_reply="superseded")


def hasten(*, delivery: Delivery, language: str) -> None:
    """
    Somebody asked again for a mail that waits: ring for it once more instead of sending it twice. One that waits for
    its time goes on waiting; a bell would find nothing, and keep the sweeper away.
    """
    row = Delivery.objects.filter(pk=delivery.pk)
    row.update(language=language)
    if row.filter(state=State.PENDING, next_attempt_at__lte=Now()).update(published_at=Now()):
        ring_after_commit(delivery.pk)


def claim(*, first: int | None = None, limit: int = 1) -> list[Delivery]:
    """
    Take up to `limit` due deliveries, `first` among them if it is due, under one lease of LEASE seconds.

    In one transaction, passing over what others hold, by the database's clock: the workers' own may disagree. Nobody
    else sends these until the lease ends; whoever settles must show its token. What the budgets don't allow yet is put
    off.
    """
    now = clock.now()
    with transaction.atomic():
        room = budgets.site_room(at=now)
        limit = limit if room is None else min(limit, room or limit)
        free = (
            _due(uncharged=room == 0)
            .select_for_update(skip_locked=True, of=("self",), no_key=True)
            .select_related("captcha", "user")
        )
        rows = list(free.filter(pk=first)) if first is not None else []
        if len(rows) < limit and (rows or first is None):
            rows += free.exclude(pk__in=[row.pk for row in rows]).order_by("next_attempt_at")[: limit - len(rows)]
        stale = [row.pk for row in rows if row.captcha and not verification.is_wanted(row.captcha, row.generation)]
        if stale:
            Delivery.objects.filter(pk__in=stale).update(state=State.EXPIRED, last_reply="superseded")
        mine = [row for row in rows if row.pk not in stale]
        waits = budgets.admit(deliveries=mine, at=now)
        if waits:
            _put_off([row for row in mine if row.pk in waits], waits)
            mine = [row for row in mine if row.pk not in waits]
        token = secrets.token_hex(16)
        Delivery.objects.filter(pk__in=[row.pk for row in mine]).update(
            state=State.SENDING,
            admitted_at=Coalesce(F("admitted_at"), Value(now)),
            attempts=F("attempts") + 1,
            lease_token=token,
            lease_until=Now() + timedelta(seconds=LEASE),
        )
    counts.reclaimed.add(number=sum(row.state == State.SENDING for row in mine))
    for row in mine:
        row.state, row.attempts, row.lease_token = State.SENDING, row.attempts + 1, token
    return mine


def _put_off(rows: Sequence[Delivery], until: Mapping[int, datetime]) -> None:
    for row in rows:
        row.next_attempt_at, row.published_at = until[row.pk], None
    Delivery.objects.bulk_update(rows, ["next_attempt_at", "published_at"])


def settle(*, results: Sequence[Result]) -> list[Delivery]:
    """
    Record what became of claimed deliveries, all or nothing. Return those whose lease had passed to another: their
    new holder settles them.

    An acceptance starts the code's life in the same transaction, even for one whose lease was lost: the mail is out.
    """
    accepted = [delivery for delivery, reply in results if reply.outcome is Outcome.ACCEPTED]
    with transaction.atomic():
        verification.accept(
            mails=[(each.captcha_id, each.generation) for each in accepted if each.captcha_id], at=clock.now()
        )
        return [delivery for delivery, reply in results if not _mine(delivery).update(**_settled(delivery, reply))]


def release(*, deliveries: Sequence[Delivery]) -> None:
    """Give claimed deliveries back unsent: their attempt is not counted, and the sweeper finds them at once."""
    for delivery in deliveries:
        _mine(delivery).update(
            state=State.PENDING, attempts=F("attempts") - 1, lease_token="", lease_until=None, published_at=None
        )


def leave(*, delivery: Delivery, reply: Reply) -> None:
    """
    Record a silence after the final dot. The mail may be on its way: nobody repeats it before its lease ends, and
    each time the lease is as long as the pause after a failure. After GIVE_UP it ends.
    """
    if _is_old(delivery):
        _mine(delivery).update(state=State.FAILED, last_reply=reply.text[:255], lease_token="", lease_until=None)
    else:
        lease = timedelta(seconds=max(LEASE, _pause(delivery, reply)))
        _mine(delivery).update(last_reply=reply.text[:255], lease_until=Now() + lease)


def unring(*, delivery_id: int) -> None:
    """The bell was heard and can't be answered now: the sweeper shall ring again as soon as it can."""
    Delivery.objects.filter(pk=delivery_id, state=State.PENDING).update(published_at=None)


def unheard(*, limit: int) -> list[int]:
    """Return due deliveries whose bell was rung over RING_AGAIN seconds ago or never; mark them as rung now."""
    quiet = Q(published_at=None) | Q(published_at__lte=Now() - timedelta(seconds=RING_AGAIN))
    with transaction.atomic():
        due = (
            _due(uncharged=budgets.site_room(at=clock.now()) == 0)
            .filter(quiet)
            .select_for_update(skip_locked=True, no_key=True)
        )
        ids = [row.pk for row in due.order_by("next_attempt_at").only("pk")[:limit]]
        if ids:
            Delivery.objects.filter(pk__in=ids).update(published_at=Now())
    return ids


def _due(*, uncharged: bool) -> QuerySet[Delivery]:
    """
    What may be sent now: due by its own time, or left behind by somebody whose lease is over. `uncharged`: only what
    needs no place in the site's budget, as that is used up.
    """
    pending = Q(state=State.PENDING, next_attempt_at__lte=Now())
    return Delivery.objects.filter(
        (pending & UNCHARGED if uncharged else pending) | Q(state=State.SENDING, lease_until__lte=Now())
    )


def _mine(delivery: Delivery) -> QuerySet[Delivery]:
    """The row, if the lease under which it was claimed still holds."""
    return Delivery.objects.filter(pk=delivery.pk, state=State.SENDING, lease_token=delivery.lease_token)


def _settled(delivery: Delivery, reply: Reply) -> dict[str, object]:
    """The columns that record a reply."""
    common = {"last_reply": reply.text[:255], "lease_token": "", "lease_until": None}
    if reply.outcome is Outcome.ACCEPTED:
        return {**common, "state": State.SENT, "sent_at": clock.now()}
    if reply.outcome is Outcome.DROPPED:
        return {**common, "state": State.EXPIRED}
    if reply.outcome is Outcome.REFUSED or _is_old(delivery):
        return {**common, "state": State.FAILED}
    later = Now() + timedelta(seconds=_pause(delivery, reply) * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load
    return {**common, "state": State.PENDING, "next_attempt_at": later, "published_at": None}


def _is_old(delivery: Delivery) -> bool:
    """Whether it has been tried for long enough; what the budgets made it wait is not held against it."""
    return clock.now() - (delivery.admitted_at or delivery.created_at) >= GIVE_UP


def _pause(delivery: Delivery, reply: Reply) -> int:
    """Seconds until the next try: by the failures of this mail, but soon where the service itself was at fault."""
    if reply.outcome is Outcome.UNAVAILABLE:
        return SERVICE_PAUSE
    failures = delivery.attempts - 1
    return BACKOFF[failures] if failures < len(BACKOFF) else BACKOFF_LATER


def ring_after_commit(delivery_id: int) -> None:
    """Ring for a delivery once the caller's transaction is committed."""
    # robust: an error after COMMIT must not become the visitor's 500; the row is there, the sweeper will find it.
    transaction.on_commit(partial(_ring, delivery_id), robust=True)


def _ring(delivery_id: int) -> None:
    if not bell.ring([delivery_id]):
        Delivery.objects.filter(pk=delivery_id).update(published_at=None)  # the sweeper need not wait RING_AGAIN
