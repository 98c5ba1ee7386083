"""The outbox: post a mail in the caller's transaction, claim it under a lease, settle it by what SMTP said."""

import random
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import make_msgid, parseaddr
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from core import clock
from verification import services as verification
from verification.models import CaptchaModel

from . import bell
from .models import Delivery
from .smtp import Outcome, Reply

State = Delivery.State

LEASE = 60  # seconds; longer than one send, shorter than the broker's visibility timeout
RING_AGAIN = 60  # seconds after which a bell that nobody answered is rung again
GIVE_UP = timedelta(hours=2)
BACKOFF = (20, 70, 180, 330, 480)  # seconds after the 1st … 5th failure: greylisting opens after 1 to 5 minutes
BACKOFF_LATER = 600


def post(
    *, kind: str, recipient: str, language: str, captcha: CaptchaModel | None = None, user_id: int | None = None
) -> Delivery:
    """Write one mail into the outbox, in the caller's transaction; its bell rings after the commit."""
    now = clock.now()
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    delivery = Delivery.objects.create(
        kind=kind,
        recipient=recipient,
        language=language,
        captcha=captcha,
        generation=captcha.generation if captcha else 0,
        user_id=user_id,
        created_at=now,
        next_attempt_at=Now(),
        published_at=now,
        message_id=make_msgid(domain=domain),
    )
    _ring_after_commit(delivery.pk)
    return delivery


def hold(*, captcha: CaptchaModel) -> list[Delivery]:
    """Lock and return the unsettled deliveries of a captcha, so that no worker begins one before the commit."""
    waiting = Delivery.objects.filter(captcha=captcha, state__in=[State.PENDING, State.SENDING])
    return list(waiting.select_for_update(no_key=True).order_by("pk"))


def supersede(*, deliveries: Sequence[Delivery]) -> None:
    """Take held mails of a dead code out of the outbox."""
    waiting = Delivery.objects.filter(pk__in=[each.pk for each in deliveries], state=State.PENDING)
    waiting.update(state=State.EXPIRED, last_reply="superseded")


def hasten(*, delivery: Delivery, language: str) -> None:
    """Somebody asked again for a mail that waits: ring for it once more instead of sending it twice."""
    Delivery.objects.filter(pk=delivery.pk).update(published_at=clock.now(), language=language)
    _ring_after_commit(delivery.pk)


def latest(*, captcha: CaptchaModel) -> Delivery | None:
    """The newest mail about a captcha."""
    return Delivery.objects.filter(captcha=captcha).order_by("-pk").first()


def is_sending(*, captcha: CaptchaModel) -> bool:
    """Whether a mail about a captcha is being handed over, or was and its outcome is not on record yet."""
    return Delivery.objects.filter(captcha=captcha, state=State.SENDING).exists()


def visible_state(delivery: Delivery | None) -> str:
    """Return what a visitor may know of a mail: queued, sending, sent, delayed or failed."""
    if delivery is None or delivery.state in (State.FAILED, State.EXPIRED):
        return "failed"
    if delivery.state == State.SENT:
        return "sent"
    if delivery.attempts > (1 if delivery.state == State.SENDING else 0):
        return "delayed"
    return "sending" if delivery.state == State.SENDING else "queued"


def claim(*, first: int | None = None, limit: int = 1) -> list[Delivery]:
    """
    Take up to `limit` due deliveries, `first` among them if it is due, under one lease of LEASE seconds.

    In one transaction, passing over what others hold, by the database's clock: the workers' own may disagree. Nobody
    else sends these until the lease ends; whoever settles must show its token.
    """
    with transaction.atomic():
        free = _due().select_for_update(skip_locked=True, of=("self",), no_key=True).select_related("captcha", "user")
        rows = list(free.filter(pk=first)) if first is not None else []
        if len(rows) < limit and (rows or first is None):
            rows += free.exclude(pk__in=[row.pk for row in rows]).order_by("next_attempt_at")[: limit - len(rows)]
        stale = [row.pk for row in rows if row.captcha and row.captcha.generation != row.generation]
        mine = [row for row in rows if row.pk not in stale]
        if stale:
            Delivery.objects.filter(pk__in=stale).update(state=State.EXPIRED, last_reply="superseded")
        token = secrets.token_hex(16)
        Delivery.objects.filter(pk__in=[row.pk for row in mine]).update(
            state=State.SENDING,
            attempts=F("attempts") + 1,
            lease_token=token,
            lease_until=Now() + timedelta(seconds=LEASE),
        )
    for row in mine:
        row.state, row.attempts, row.lease_token = State.SENDING, row.attempts + 1, token
    return mine


def settle(*, delivery: Delivery, reply: Reply) -> bool:
    """
    Record what became of a claimed delivery. False: the lease had passed to another, which settles it.

    An acceptance starts the code's life in the same transaction, even for one whose lease was lost: the mail is out.
    """
    now = clock.now()
    with transaction.atomic():
        if reply.outcome is Outcome.ACCEPTED and delivery.captcha_id:
            verification.accept(mails=[(delivery.captcha_id, delivery.generation)], at=now)
        claimed = Delivery.objects.filter(pk=delivery.pk, state=State.SENDING, lease_token=delivery.lease_token)
        return bool(claimed.update(**_settled(delivery, reply, now)))


def release(*, deliveries: Sequence[Delivery]) -> None:
    """Give claimed deliveries back unsent: their attempt is not counted."""
    for delivery in deliveries:
        mine = Delivery.objects.filter(pk=delivery.pk, state=State.SENDING, lease_token=delivery.lease_token)
        mine.update(state=State.PENDING, attempts=F("attempts") - 1, lease_token="", lease_until=None)


def unheard(*, limit: int) -> list[int]:
    """Return due deliveries whose bell was rung over RING_AGAIN seconds ago or never; mark them as rung now."""
    now = clock.now()
    quiet = Q(published_at=None) | Q(published_at__lte=now - timedelta(seconds=RING_AGAIN))
    with transaction.atomic():
        due = _due().filter(quiet).select_for_update(skip_locked=True, no_key=True)
        ids = [row.pk for row in due.order_by("next_attempt_at").only("pk")[:limit]]
        Delivery.objects.filter(pk__in=ids).update(published_at=now)
    return ids


def _due() -> QuerySet[Delivery]:
    """What may be sent now: due by its own time, or left behind by somebody whose lease is over."""
    return Delivery.objects.filter(
        Q(state=State.PENDING, next_attempt_at__lte=Now()) | Q(state=State.SENDING, lease_until__lte=Now())
    )


def _settled(delivery: Delivery, reply: Reply, now: datetime) -> dict[str, object]:
    """The columns that record a reply."""
    common = {"last_reply": reply.text[:255], "lease_token": "", "lease_until": None}
    if reply.outcome is Outcome.ACCEPTED:
        return {**common, "state": State.SENT, "sent_at": now}
    if reply.outcome is Outcome.REFUSED or now - delivery.created_at >= GIVE_UP:
        return {**common, "state": State.FAILED}
    failures = delivery.attempts - 1
    pause = BACKOFF[failures] if failures < len(BACKOFF) else BACKOFF_LATER
    later = Now() + timedelta(seconds=pause * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load, guards nothing
    return {**common, "state": State.PENDING, "next_attempt_at": later, "published_at": None}


def _ring_after_commit(delivery_id: int) -> None:
    # robust: an error after COMMIT must not become the visitor's 500; the row is there, the sweeper will find it.
    transaction.on_commit(partial(_ring, delivery_id), robust=True)


def _ring(delivery_id: int) -> None:
    if not bell.ring([delivery_id]):
        Delivery.objects.filter(pk=delivery_id).update(published_at=None)  # the sweeper need not wait RING_AGAIN
