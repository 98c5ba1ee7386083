"""Give mails that failed for good another life: the operator mended what was wrong."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models.functions import Now

from core import clock
from verification import services as verification
from verification.states import HandleLost

from . import outbox
from .models import Delivery

State = Delivery.State


def requeue(*, delivery_ids: Iterable[int]) -> int:
    """
    Send failed and expired deliveries again, with all their tries; return how many could be.

    A code that died meanwhile is replaced by a new generation. One whose sign-up is over, or was sent again since, is
    left alone.
    """
    return sum(_requeue(delivery_id) for delivery_id in delivery_ids)


@transaction.atomic
def _requeue(delivery_id: int) -> bool:
    row = Delivery.objects.select_related("captcha").filter(pk=delivery_id).first()
    if row is None or row.state not in (State.FAILED, State.EXPIRED):
        return False
    renewed = False
    if row.captcha:
        captcha = verification.lock(captcha=row.captcha)
        if captcha is None or captcha.proven_at or outbox.hold(captcha=captcha):
            return False
        try:
            renewed = verification.revive(captcha=captcha)
        except HandleLost:
            return False
        row.generation = captcha.generation
    elif row.kind in (Delivery.Kind.CODE, Delivery.Kind.REGISTERED):
        return False
    if renewed:
        row.message_id = outbox.new_message_id()  # another mail: who keeps the old Message-ID would drop it
    freed = Delivery.objects.filter(pk=row.pk, state__in=[State.FAILED, State.EXPIRED]).update(
        state=State.PENDING,
        attempts=0,
        created_at=clock.now(),
        next_attempt_at=Now(),
        published_at=Now(),
        generation=row.generation,
        message_id=row.message_id,
    )
    if freed:
        outbox.ring_after_commit(row.pk)
    return bool(freed)
