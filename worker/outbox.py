"""The outbox: post a mail in the caller's transaction, claim it under a lease, settle it by what SMTP said."""

import random
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import make_msgid, parseaddr
from functools import cache, partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from core import addresses, clock, statements
from verification import services as verification
from verification.models import CaptchaModel

from . import bell, budgets, counts, due
from .models import Delivery
from .smtp import Outcome, Reply

State = Delivery.State
NOW = Now()  # the database's clock; one object, as what it compiles to is remembered by it

TAKE_BACK = 1_000  # leases that are over, in one statement
LEASE = 60  # seconds; longer than one send, shorter than the broker's visibility timeout
GIVE_UP = timedelta(hours=2)
BACKOFF = (20, 70, 180, 330, 480)  # seconds after the 1st … 5th failure: greylisting opens after 1 to 5 minutes
BACKOFF_LATER = 600
SERVICE_PAUSE = 10  # seconds; the breaker before the mail server decides when one of all is tried

Result = tuple[Delivery, Reply]

SETTLE = """
    UPDATE worker_delivery
    SET state = 'sent', sent_at = %s, lease_token = '', lease_until = NULL, last_reply = CASE id {replies} END
    WHERE id IN ({ids}) AND state = 'sending' AND lease_token = %s
"""


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
    delivery = Delivery(
        kind=kind,
        recipient=recipient,
        language=language,
        captcha=captcha,
        generation=captcha.generation if captcha else 0,
        user_id=user_id,
        mailbox="" if network is None else addresses.mailbox(recipient),
        network=network or "",
        created_at=clock.now(),
        next_attempt_at=NOW,
        published_at=NOW,
        message_id=new_message_id(),
    )
    statements.insert(delivery)
    ring_after_commit(delivery.pk)
    return delivery


def new_message_id() -> str:
    """A Message-ID at the sender's domain."""
    return make_msgid(domain=_domain(settings.DEFAULT_FROM_EMAIL))


@cache
def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2]


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
    its time goes on waiting.
    """
    Delivery.objects.filter(pk=delivery.pk).update(language=language)
    ring_after_commit(delivery.pk)


def claim(*, limit: int) -> list[Delivery]:
    """
    Take up to `limit` due deliveries under one lease of LEASE seconds: half of them the newest, so that who asks now
    does not wait for a backlog, half the oldest, so that nobody waits for ever.

    In one transaction, passing over what others hold, by the database's clock: the workers' own may disagree. Nobody
    else sends these until the lease ends; whoever settles must show its token. What the budgets don't allow yet is put
    off.
    """
    now = clock.now()
    with transaction.atomic():
        room = budgets.site_room(at=now)
        limit = limit if room is None else min(limit, room or limit)
        rows = due.take(limit=limit, uncharged=room == 0)
        if len(rows) == limit:
            ring_after_commit(rows[-1].pk)  # there may be more: another thread shall look
        stale = [row.pk for row in rows if row.captcha and not verification.is_wanted(row.captcha, row.generation)]
        if stale:
            Delivery.objects.filter(pk__in=stale).update(state=State.EXPIRED, last_reply="superseded")
        mine = [row for row in rows if row.pk not in stale]
        waits = budgets.admit(deliveries=mine, at=now)
        if waits:
            _put_off([row for row in mine if row.pk in waits], waits)
            mine = [row for row in mine if row.pk not in waits]
        token = secrets.token_hex(16)
        if mine:
            due.lease(ids=[row.pk for row in mine], token=token, seconds=LEASE, at=now)
    for row in mine:
        row.state, row.attempts, row.lease_token = State.SENDING, row.attempts + 1, token
    return mine


def _put_off(rows: Sequence[Delivery], until: Mapping[int, datetime]) -> None:
    for row in rows:
        row.next_attempt_at = until[row.pk]
    Delivery.objects.bulk_update(rows, ["next_attempt_at"])


def settle(*, results: Sequence[Result]) -> list[Delivery]:
    """
    Record what became of claimed deliveries, all or nothing. Return those whose lease had passed to another: their
    new holder settles them.

    An acceptance starts the code's life in the same transaction, even for one whose lease was lost: the mail is out.
    """
    accepted = [result for result in results if result[1].outcome is Outcome.ACCEPTED]
    codes = [(each.captcha_id, each.generation) for each, _ in accepted if each.captcha_id]
    with transaction.atomic():
        verification.accept(mails=codes, at=clock.now())
        fenced = _settle_accepted(accepted)
        for delivery, reply in results:
            if reply.outcome is not Outcome.ACCEPTED and not _mine(delivery).update(**_settled(delivery, reply)):
                fenced.append(delivery)
    return fenced


def _settle_accepted(results: Sequence[Result]) -> list[Delivery]:
    """
    Record acceptances under one lease in one go, as they are nearly all there is; return those whose lease had passed
    on. Written out: Django takes as long to compose it as a mail to be sent.
    """
    if not results:
        return []
    now, token = clock.now(), results[0][0].lease_token
    ids = [delivery.pk for delivery, _ in results]
    replies = [part for delivery, reply in results for part in (delivery.pk, reply.text[:255])]
    settle = SETTLE.format(replies="WHEN %s THEN %s " * len(ids), ids=statements.places(ids))
    if statements.change(settle, now, *replies, *ids, token) == len(results):
        return []
    held = Delivery.objects.filter(pk__in=ids, sent_at=now, state=State.SENT)
    mine = set(held.values_list("pk", flat=True))
    return [delivery for delivery, _ in results if delivery.pk not in mine]


def release(*, deliveries: Sequence[Delivery]) -> None:
    """Give claimed deliveries back unsent: their attempt is not counted, and the sweeper finds them at once."""
    for delivery in deliveries:
        _mine(delivery).update(state=State.PENDING, attempts=F("attempts") - 1, lease_token="", lease_until=None)


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
    transaction.on_commit(partial(bell.ring, delivery_id), robust=True)
