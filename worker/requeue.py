"""Give mails that failed for good another life: the operator mended what was wrong."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models.functions import Now

from core import clock
from verification import services as verification
from verification.models import CaptchaModel
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
    row = Delivery.objects.select_related("sign_up").filter(pk=delivery_id).first()
    if row is None or row.state not in (State.FAILED, State.EXPIRED):
        return False
    is_about_code = row.kind in (Delivery.Kind.CODE, Delivery.Kind.REGISTERED)
    if is_about_code and not (row.sign_up and _revive(row, row.sign_up)):
        return False
    freed = Delivery.objects.filter(pk=row.pk, state__in=[State.FAILED, State.EXPIRED]).update(
        state=State.PENDING,
        attempts=0,
        created_at=clock.now(),
        admitted_at=Now(),
        next_attempt_at=Now(),
        published_at=Now(),
        generation=row.generation,
        message_id=row.message_id,
    )
    if freed:
        outbox.notify_after_commit(row.pk)
    return bool(freed)


def _revive(row: Delivery, sign_up: CaptchaModel) -> bool:
    """Make the code of a mail live again, and the mail its own; False where nobody waits for it."""
    locked = CaptchaModel.objects.lock(sign_up)
    newer = Delivery.objects.filter(sign_up=sign_up, state=State.SENT, pk__gt=row.pk)
    if locked is None or locked.proven_at or outbox.hold(sign_up=locked) or newer.exists():
        return False
    try:
        verification.renew(sign_up=locked, decoy=locked.decoy, in_flight=False, by_visitor=False)
    except HandleLost:
        return False
    if row.generation != locked.generation:
        row.generation = locked.generation
        row.message_id = outbox.new_message_id()  # another mail: who keeps the old Message-ID would drop it
    return True
