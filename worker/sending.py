"""Send what is due: claim, build, hand over, settle."""

import logging
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from django.db import DatabaseError, InterfaceError, connection

from core import clock

from . import counts, messages, outbox, smtp
from .models import ACCOUNT_KINDS, Delivery
from .outbox import Result
from .smtp import Outcome, Reply

logger = logging.getLogger(__name__)

BATCH = 50  # mails in one claim, at the most, and about
BATCH_TIME = 0.25  # seconds that it takes to send them
RESERVE = 35.0  # seconds of lease that a send may need: none begins with less
GROUP = 10  # sign-up mails, or
GROUP_TIME = 1.0  # seconds, after which outcomes are recorded: no crash repeats more than these
REMEMBERED = 100  # durations of the last sends
RETRY = 0.5  # seconds between tries to record them while the database is away


class _Pace:
    """How long sends take now, in this process; what is lost between two threads is no harm."""

    def __init__(self) -> None:
        self.seconds = 0.02  # the mean, recent sends weighing more
        self._last = deque([self.seconds], maxlen=REMEMBERED)

    def note(self, seconds: float) -> None:
        self.seconds += (seconds - self.seconds) / 10
        self._last.append(seconds)

    def batch(self) -> int:
        """Mails that one claim should take: a slow mail server is better asked by many threads at once."""
        return max(1, min(BATCH, int(BATCH_TIME / max(self.seconds, 1e-6))))

    def like_another(self) -> float:
        """Seconds that one of the last sends took."""
        return random.choice(list(self._last))  # noqa: S311 - imitates a spread of times


_pace = _Pace()


def deliver() -> int:
    """
    Send what is due, up to BATCH, under one lease; return how many were claimed.

    Nothing is claimed while the mail server is known to be broken; after a pause one mail finds out.
    """
    if not smtp.can_send():
        return 0
    if not smtp.breaker.allow():
        return 0
    is_probe = smtp.breaker.is_half_open
    lease_ends = time.monotonic() + outbox.LEASE
    claimed = outbox.claim(limit=1 if is_probe else _pace.batch())
    tried = _send_all(claimed, lease_ends)
    if is_probe and not tried:
        smtp.breaker.cancelled()
    outbox.retry_deferred_sooner(accepted=tried.count(Outcome.ACCEPTED))
    return len(claimed)


def _send_all(claimed: list[Delivery], lease_ends: float) -> list[Outcome]:
    """Return what came of those that were tried."""
    results: list[Result] = []
    tried: list[Outcome] = []
    group_ends = time.monotonic() + GROUP_TIME
    rest: list[Delivery] = []
    try:
        for position, delivery in enumerate(claimed):
            broken = position > 0 and smtp.breaker.is_open  # the first may be the probe of an open breaker
            if broken or lease_ends - time.monotonic() < RESERVE:
                rest = claimed[position:]
                break
            reply = _hand_over(delivery, before=claimed[position + 1 :])
            if reply.outcome is Outcome.BUSY:
                counts.count_try(delivery, reply)
                rest = claimed[position:]
                break
            results.append((delivery, reply))
            tried.append(reply.outcome)
            # No mail about an account waits for a neighbour's to be recorded: it would tell how long that took.
            alone = delivery.kind in ACCOUNT_KINDS
            if alone or len(results) >= GROUP or time.monotonic() >= group_ends:
                _record(results, lease_ends)
                results, group_ends = [], time.monotonic() + GROUP_TIME
    finally:  # whatever happened, these mails are out
        _record(results, lease_ends)
    outbox.release(deliveries=rest)
    return tried


def _hand_over(delivery: Delivery, *, before: Sequence[Delivery]) -> Reply:
    if delivery.is_for_nobody:
        if not all(each.is_for_nobody for each in before):
            time.sleep(_pace.like_another())  # or how soon the next is sent would tell that there is no account
        return Reply(Outcome.DROPPED, "the address has no account")
    begun = time.monotonic()
    reply = _send(delivery)
    _pace.note(time.monotonic() - begun)
    return reply


def _send(delivery: Delivery) -> Reply:
    try:
        message = messages.build(delivery)
        content = message.message().as_bytes(linesep="\r\n")
    except messages.Unbuildable as error:
        return Reply(Outcome.DROPPED, str(error))
    except Exception as error:  # a broken template must neither stop the batch nor lose the mail
        logger.exception("delivery %s can't be built", delivery.pk)
        return Reply(Outcome.DEFERRED, f"{type(error).__name__} {outbox.OWN_TROUBLE}")
    if not delivery.is_muted:
        return smtp.send(sender=message.from_email, recipient=delivery.recipient, message=content)
    # Whoever asked for this mail sees it fare as any other: late while the mail server is down, "sent" when it is back.
    reply = smtp.send(sender=message.from_email, recipient=delivery.recipient, message=None)
    return replace(reply, text="muted") if reply.outcome is Outcome.ACCEPTED else reply


def _record(results: list[Result], lease_ends: float) -> None:
    """Record outcomes; while the database is away, try again until the lease ends: these mails are out."""
    while results:
        try:
            _settle(results)
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            if time.monotonic() + RETRY > lease_ends:
                raise
            logger.warning("outcomes wait for the database: %s", type(error).__name__)
            time.sleep(RETRY)
        else:
            return


def _settle(results: list[Result]) -> None:
    known = [result for result in results if result[1].outcome is not Outcome.UNKNOWN]
    fenced = outbox.settle(results=known) if known else []
    for delivery, reply in results:
        logger.info("delivery %s (%s): %s: %s", delivery.pk, delivery.kind, reply.outcome.value, reply.text)
        if reply.outcome is Outcome.UNKNOWN:
            outbox.leave(delivery=delivery, reply=reply)
        counts.count_try(delivery, reply)
        if reply.outcome is Outcome.ACCEPTED:
            counts.accepted_after.observe((clock.now() - delivery.created_at).total_seconds())
    counts.fenced.add(number=len(fenced))
    for delivery in fenced:
        logger.warning("delivery %s was settled by another worker: its lease had ended", delivery.pk)
