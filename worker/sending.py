"""The loop of one batch: claim due mails, build each, hand it to the email backend, settle."""

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from django.db import Error, connection

from core import clock
from core.observability.logs import errors_logged

from . import mailers, messages, metrics, outbox
from .classification import Outcome, Reply
from .mailers import Mailer
from .models import Delivery
from .outbox import Result

logger = logging.getLogger(__name__)

BATCH = 50  # mails in one claim at most
BATCH_TIME = 1.0  # seconds in which the mails of one claim should be sent
# Seconds after a claim in which sends begin; the rest is released. The mail server is slower than when the claim was
# made: free threads should share the rest.
HOLD = 5.0
RENEWAL = 5.0  # seconds between renewals of a lease; a third of it, so that one failure loses none
# Seconds for which a lease is renewed. A batch takes less, even if its answers wait for the database, unless its thread
# hangs.
LONGEST = 180.0
RECORD = 60.0  # seconds for which answers wait for a database that is down
# Answers are recorded once a process has GROUP of them, or after GROUP_TIME seconds: a crash repeats hardly more mails.
GROUP = 5
GROUP_TIME = 1.0
REMEMBERED = 100  # durations of the last sends
RETRY = 0.5  # seconds between tries to record outcomes while the database is down


class _Pace:
    """How long sends take in this process. Threads share it without a lock: a lost measurement does no harm."""

    def __init__(self) -> None:
        self.seconds = BATCH_TIME  # the mean, recent sends weighing more; one mail to begin with
        self._last = deque([0.02], maxlen=REMEMBERED)  # seconds; the first is a guess, until sends are measured

    def note(self, seconds: float) -> None:
        self.seconds += (seconds - self.seconds) / 10
        self._last.append(seconds)

    def batch(self) -> int:
        """Mails that one claim should take: a slow mail server is better used by many threads at once."""
        return max(1, min(BATCH, int(BATCH_TIME / max(self.seconds, 1e-6))))

    def recent_send(self) -> float:
        """Seconds that one of the last sends took."""
        return random.choice(list(self._last))  # noqa: S311 - imitates a spread of times


_pace = _Pace()
_answers: deque[Result] = deque()  # of all threads, until they are recorded
_recording = threading.Lock()
_held: dict[str, tuple[Sequence[Delivery], float]] = {}  # by a lease's token: its mails, and until when it is renewed
_renewer: threading.Thread | None = None
os.register_at_fork(after_in_child=_held.clear)  # they are the parent's


def deliver() -> int:
    """
    Send due mails, up to BATCH, under one lease; return how many were claimed.

    Claims nothing while the circuit breakers of all mail servers are open. After a pause one mail tests the server.
    """
    mailer = mailers.choose()
    if mailer is None:
        return 0
    is_trial = mailer.breaker.is_half_open
    claimed_at = clock.uptime()
    claimed = outbox.claim(limit=1 if is_trial else _pace.batch())
    with lease_held(claimed):
        accepted = _send_all(claimed, mailer, leased_at=claimed_at)
    if mailer is not mailers.every()[0]:
        metrics.by_fallback.add(number=accepted)
    if is_trial:  # if nothing was handed over, the next mail finds out
        mailer.breaker.cancelled()
    # Not after a mail about an account: the reader of a deferred mail would see that another address has an account.
    if not any(each.is_about_account for each in claimed):
        outbox.retry_deferred_sooner(accepted=accepted)
    return len(claimed)


@contextmanager
def lease_held(claimed: Sequence[Delivery]) -> Generator[None]:
    """
    Renew the lease of claimed mails, which is one for all of them, until they are settled or released. So it can be
    short, and a killed process soon frees its mails.
    """
    global _renewer  # noqa: PLW0603
    if not claimed:
        yield
        return
    if not (_renewer and _renewer.is_alive()):  # a forked child has none
        _renewer = renewer = threading.Thread(target=_renew_leases, name="leases", daemon=True)
        renewer.start()  # before they are held: the machine may allow no more threads
    token = claimed[0].lease_token
    _held[token] = claimed, time.monotonic() + LONGEST
    try:
        yield
    finally:
        del _held[token]


def _renew_leases() -> None:
    while _renewer is threading.current_thread():  # claims at the same time start one each
        time.sleep(RENEWAL)
        with errors_logged(logger, "leases can't be renewed"):
            now = time.monotonic()
            if held := [each for claimed, until in list(_held.values()) if now < until for each in claimed]:
                outbox.renew(deliveries=held)


def _send_all(claimed: list[Delivery], mailer: Mailer, *, leased_at: float) -> int:
    """Send mails in turn, and give back those that can't be tried now; return how many were accepted."""
    until, group_ends = time.monotonic() + HOLD, time.monotonic() + GROUP_TIME
    accepted, rest = 0, claimed
    try:
        while rest and time.monotonic() < until:
            if mailer.breaker.is_open and rest is not claimed:  # the first mail may be the trial of a half-open breaker
                break
            if clock.uptime() - leased_at > outbox.LEASE - RENEWAL:
                leased_at = clock.uptime()
                if not _are_ours(rest):
                    break
            delivery, *later = rest
            reply = _try(delivery, mailer, later=later)
            if reply.outcome is Outcome.BUSY or _leaves_by_another(reply, mailer):
                metrics.count_try(delivery, reply)
                break
            rest = later
            _answers.append((delivery, reply))
            accepted += reply.outcome is Outcome.ACCEPTED
            # A mail about an account is recorded before the next is sent: else the reader of that one could measure
            # how long it took.
            if delivery.is_about_account or len(_answers) >= GROUP or time.monotonic() >= group_ends:
                _record(wait=delivery.is_about_account)
                group_ends = time.monotonic() + GROUP_TIME
    finally:  # also after an unexpected error: these mails are out
        _record(wait=True)
    if rest:
        outbox.release(deliveries=rest)
    return accepted


def _are_ours(rest: Sequence[Delivery]) -> bool:
    """
    Whether the lease of claimed mails still holds; if so, it is renewed. This process may have been frozen, or its
    machine suspended, for longer than the lease: then another worker sends them.
    """
    try:
        return outbox.renew(deliveries=rest) == len(rest)
    except Error:
        return False


def _try(delivery: Delivery, mailer: Mailer, *, later: Sequence[Delivery]) -> Reply:
    """Send a mail, or only take the time of a send; `later` are the mails of the batch that follow."""
    if delivery.is_suppressed:
        return Reply(Outcome.DROPPED, Delivery.Reason.SUPPRESSED)
    if delivery.is_for_nobody:
        mailer.leave_open()
        if not all(each.is_for_nobody for each in later):
            time.sleep(_pace.recent_send())  # else the time until the next mail would show that there is no account
        return Reply(Outcome.DROPPED, "the address has no account")
    begun = time.monotonic()
    reply = _build_and_send(delivery, mailer)
    _pace.note(time.monotonic() - begun)
    return reply


def _leaves_by_another(reply: Reply, mailer: Mailer) -> bool:
    """Whether a mail is due again at once: its mail server turned out to be unusable, and the other one is not."""
    is_unusable = mailer.breaker.is_open and not mailer.breaker.is_half_open  # else it may refuse this sender alone
    return reply.is_for_any_mail and is_unusable and mailers.can_take_over()


def _build_and_send(delivery: Delivery, mailer: Mailer) -> Reply:
    try:
        message = messages.build(delivery)
        # A stranger who asked for a muted mail sees the same states as of any other: delayed while the mail server is
        # down, and then sent. So the server is asked whether it takes the recipient. If it can't be asked, the time of
        # a send passes; and while the circuit breaker is half-open, nobody knows whether it works.
        if delivery.is_muted and not mailer.can_probe:
            if mailer.breaker.is_half_open:
                return Reply(Outcome.UNAVAILABLE, "not asked")
            time.sleep(_pace.recent_send())
            return Reply(Outcome.ACCEPTED, Delivery.Reason.MUTED)
        reply = mailer.submit(message, probe=delivery.is_muted)
    except messages.Unbuildable as error:
        return Reply(Outcome.DROPPED, str(error))
    except Exception as error:  # a broken template must neither stop the batch nor lose the mail
        # Without its text: Django's error about a name that is missing quotes all others, the code among them.
        told = RuntimeError(" ".join([type(error).__name__, *getattr(error, "__notes__", [])]))
        logger.exception("delivery %s can't be built", delivery.pk, exc_info=told.with_traceback(error.__traceback__))
        return Reply(Outcome.DEFERRED, f"{type(error).__name__} {outbox.CANT_BE_BUILT}")
    is_muted = delivery.is_muted and reply.outcome is Outcome.ACCEPTED
    return replace(reply, text=Delivery.Reason.MUTED) if is_muted else reply


def _record(*, wait: bool) -> None:
    """
    Record the answers that all threads have got, in one transaction. While another thread does that, this one goes on
    sending; with `wait` its own answers are on record when this returns.
    """
    while True:
        if not _recording.acquire(blocking=wait):
            return  # another thread is recording, and looks for a further group afterwards
        try:
            _settle([_answers.popleft() for _ in range(len(_answers))])
        finally:
            _recording.release()
        if len(_answers) < GROUP:
            return


def _settle(results: list[Result]) -> None:
    """Record outcomes; while the database is down, try again for RECORD seconds: these mails are out."""
    if not results:
        return
    until = time.monotonic() + RECORD
    while True:
        try:
            fenced = outbox.settle(results=results)
            break
        except Error as error:
            connection.close()
            if time.monotonic() + RETRY > until:
                raise
            logger.warning("outcomes wait for the database: %s", type(error).__name__)
            time.sleep(RETRY)
    for delivery, reply in results:
        logger.info("delivery %s (%s): %s: %s", delivery.pk, delivery.kind, reply.outcome.value, reply.text)
        metrics.count_try(delivery, reply)
    metrics.fenced.add(number=len(fenced))
    for delivery in fenced:
        logger.warning("delivery %s was settled by another worker: its lease had ended", delivery.pk)
