"""Send what is due: claim, build, hand over, settle."""

import logging
import time

from . import mail, outbox, smtp
from .models import Delivery
from .smtp import Outcome, Reply

logger = logging.getLogger(__name__)

BATCH = 50  # mails in one claim, at the most
RESERVE = 35.0  # seconds of lease that a send may need: none begins with less


def deliver(*, first: int | None = None) -> int:
    """Send the delivery `first` and what else is due, up to BATCH, under one lease; return how many were claimed."""
    started = time.monotonic()
    claimed = outbox.claim(first=first, limit=BATCH)
    for position, delivery in enumerate(claimed):
        if outbox.LEASE - (time.monotonic() - started) < RESERVE:
            outbox.release(deliveries=claimed[position:])
            break
        _send(delivery)
    return len(claimed)


def _send(delivery: Delivery) -> None:
    reply = _hand_over(delivery)
    logger.info("delivery %s (%s): %s: %s", delivery.pk, delivery.kind, reply.outcome.value, reply.text)
    if reply.outcome is Outcome.UNKNOWN:
        return  # it may be on its way: nobody repeats it before the lease ends
    if not outbox.settle(delivery=delivery, reply=reply):
        logger.warning("delivery %s was settled by another worker: its lease had ended", delivery.pk)


def _hand_over(delivery: Delivery) -> Reply:
    try:
        message = mail.build(delivery)
    except mail.Unbuildable as error:
        return Reply(Outcome.REFUSED, str(error))
    except Exception as error:  # a broken template must neither stop the batch nor lose the mail
        logger.exception("delivery %s can't be built", delivery.pk)
        return Reply(Outcome.UNAVAILABLE, f"{type(error).__name__} while building")
    return smtp.send(sender=mail.sender(), recipient=delivery.recipient, message=message)
