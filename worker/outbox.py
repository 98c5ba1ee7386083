"""The outbox: post a mail in the caller's transaction, claim it under a lease, settle it by the server's answer."""

import random
import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Greatest, Now

from core import clock, email_addresses
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import HandleLost

from . import mail_limits, metrics, notify, resets, suppression
from .classification import Cause, Outcome, Reply
from .mail_limits import MailLimit
from .models import ACCOUNT_KINDS, PAST_LIMITS, UNANSWERED, UNDELIVERED, UNSETTLED, Delivery, new_message_id

State = Delivery.State

RECLAIM = 1_000  # leases that are over, in one statement
LEASE = 15  # seconds; a live process renews it, and a killed one holds its mails up no longer
GIVE_UP = timedelta(hours=2)  # after its first try, no other begins
# Seconds after the 1st … 5th failure, and after each later one: greylisting opens after 1 to 5 minutes.
BACKOFF = (20, 70, 180, 330, 480, 600)
# Seconds after a final dot without an answer, and after another one. Each time the mail may have arrived, so that it is
# sent three times at most.
SILENCE, SILENCE_AGAIN = 60, 3_600
# Seconds until a mail is due again that met a fault of the service. The circuit breaker decides when one is tried.
SERVICE_PAUSE = 10
EARLY = 2  # deferred mails that are tried early for each accepted one
EARLY_AGAIN = 60  # seconds between two early tries of the same mail, at the least
DUE_SOON = timedelta(seconds=5)  # a mail that is due within it is not tried early
LOOK_AGAIN = 10.0  # seconds without another query for deferred mails after there were none
CANT_BE_BUILT = "while building"  # ends the last reply of a mail whose template is broken

Result = tuple[Delivery, Reply]


def post(
    *,
    kind: str,
    recipient: str,
    language: str,
    network: str | None,
    sign_up: CaptchaModel | None = None,
    user_id: int | None = None,
) -> Delivery:
    """
    Write one mail into the outbox, in the caller's transaction; workers are notified after the commit.

    `network` is the pseudonym of the network that asked for it; None for a mail outside all limits.
    """
    delivery = Delivery.objects.create(
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
        message_id=new_message_id(language),
    )
    notify_after_commit(delivery.pk)
    return delivery


def notify_after_commit(delivery_id: int) -> None:
    # robust: an error after COMMIT must not become the visitor's 500; the row is there, the sweeper will find it.
    transaction.on_commit(lambda: notify.notify_workers(delivery_id), robust=True)


def lock_unsettled(*, sign_up: CaptchaModel) -> list[Delivery]:
    """Lock and return the unsettled deliveries of a sign-up request, so that no worker begins one before the commit."""
    unsettled = Delivery.objects.filter(sign_up=sign_up, state__in=UNSETTLED)
    return list(unsettled.select_for_update(no_key=True).order_by("pk"))


def is_in_flight(delivery: Delivery) -> bool:
    """Whether a mail may be on its way: it is leased, and not for the SILENCE_AGAIN seconds after a second silence."""
    ends = delivery.lease_until
    return ends is not None and ends - clock.now() < timedelta(seconds=2 * SILENCE)  # twice: clocks may differ


def seconds_until_try(delivery: Delivery) -> int:
    """Seconds until a mail in the outbox is tried; 0 if it is due, or may be on its way."""
    return 0 if is_in_flight(delivery) else clock.seconds_until(delivery.lease_until or delivery.next_attempt_at)


def supersede(*, deliveries: Sequence[Delivery]) -> None:
    """
    Take locked mails of a replaced code out of the outbox, except those that a worker holds. A mail to whose final
    dot the server did not reply is taken out too: no worker holds it, and it would count as waiting for up to an hour.
    """
    unheld = Q(state=State.PENDING) | Q(state=State.SENDING, lease_token="")
    Delivery.objects.filter(unheld, pk__in=[each.pk for each in deliveries]).supersede()


def keep_waiting(*, delivery: Delivery, language: str) -> None:
    """Let a mail wait in another language, and notify the workers of it again. It is due no earlier than it was."""
    Delivery.objects.filter(pk=delivery.pk).update(language=language)
    notify_after_commit(delivery.pk)


def claim(*, limit: int) -> list[Delivery]:
    """
    Lease up to `limit` due mails to the caller for LEASE seconds, by the database's clock, because the workers' own may
    disagree. Nobody else sends these until the lease ends, which `renew` extends. Settling one needs its token.

    Mails about accounts are claimed apart, and first. So the time that they take doesn't tell the reader of another
    mail who has an account, and a password reset waits for no backlog. Mails over a mailbox's limit are put off, those
    over the site's stay due.
    """
    about_accounts = mail_limits.ACCOUNT_MAILS
    is_any_due = Delivery.objects.due().filter(about_accounts.mails).exists()  # seldom, and an empty claim costs more
    mine = _claim(about_accounts, limit, clock.now()) if is_any_due else []
    return mine or _claim(mail_limits.SIGN_UP_MAILS, limit, clock.now())


@transaction.atomic  # one each: locks of mailboxes for both would be taken in no common order
def _claim(group: MailLimit, limit: int, at: datetime) -> list[Delivery]:
    rows = mail_limits.due_within(group, at=at).select_related("sign_up").lock_newest_and_oldest(limit)
    if len(rows) == limit or (rows and group is mail_limits.ACCOUNT_MAILS):
        notify_after_commit(rows[-1].pk)  # there may be more, for another thread, whatever the id
    mine = mail_limits.admit(mail_limits.drop_useless(rows), group, at=at)
    ready = verification.begin_send(sign_ups=[row.sign_up for row in mine if row.sign_up], at=at)
    mine = [row for row in mine if row.sign_up_id is None or row.sign_up_id in ready]
    if mine:
        _lease(mine, secrets.token_hex(16), at)
        mail_limits.count(mine, group, at=at)  # no others: those will be admitted again
    return mine


def _lease(mine: Sequence[Delivery], token: str, at: datetime) -> None:
    admitted_now = [row.pk for row in mine if row.admitted_at == at]  # `mail_limits.admit` has set it
    # The first try of a mail may have been undone by `release`; earlier versions of Doorcode did not record its time.
    untried = [row.pk for row in mine if not (row.attempts and row.first_tried_at)]
    Delivery.objects.filter(pk__in=[row.pk for row in mine]).update(
        state=State.SENDING,
        attempts=F("attempts") + 1,
        admitted_at=Case(When(pk__in=admitted_now, then=Value(at)), default=F("admitted_at")),
        first_tried_at=Case(When(pk__in=untried, then=Value(at)), default=F("first_tried_at")),
        lease_token=token,
        lease_until=Now() + timedelta(seconds=LEASE),
    )
    for row in mine:
        row.first_tried_at = at if row.pk in untried else row.first_tried_at
        row.state, row.attempts, row.lease_token = State.SENDING, row.attempts + 1, token


@transaction.atomic
def renew(*, deliveries: Sequence[Delivery]) -> int:
    """Extend the leases of claimed deliveries, except of settled ones; return how many were extended."""
    mine = Delivery.objects.leased(*deliveries).lock_available()  # a row that is locked is being settled
    later = Now() + timedelta(seconds=LEASE)
    return Delivery.objects.filter(pk__in=list(mine.values_list("pk", flat=True))).update(lease_until=later)


def settle(*, results: Sequence[Result]) -> list[Delivery]:
    """
    Record the outcomes of claimed deliveries, all or nothing. Return those whose lease had passed to another worker:
    that one settles them.

    An acceptance starts the code's lifetime in the same transaction, even for a mail whose lease was lost: it is out.
    """
    accepted = [result for result in results if result[1].outcome is Outcome.ACCEPTED]
    others = [result for result in results if result[1].outcome is not Outcome.ACCEPTED]
    with transaction.atomic():
        mails = [(each.sign_up_id, each.generation) for each, _ in accepted if each.sign_up_id]
        verification.accept(mails=mails, at=clock.now())
        fenced = _record_acceptances(accepted)
        others.sort(key=lambda result: result[0].pk)  # in the order in which an account's mails are deleted with it
        fenced += [delivery for delivery, reply in others if not _record_failure(delivery, reply)]
        unsent = [each for each, reply in others if reply.outcome is not Outcome.UNKNOWN and each not in fenced]
        _call_off(unsent)
        there = set(Delivery.objects.filter(pk__in=[each.pk for each in fenced]).values_list("pk", flat=True))
    return [each for each in fenced if each.pk in there]  # else it was deleted with its account


def _call_off(unsent: Sequence[Delivery]) -> None:
    """Close the codes of mails that no mail server took, unless another mail with the same code may be out."""
    requests = [each.sign_up for each in unsent if each.sign_up]
    others = Delivery.objects.filter(sign_up__in=requests, state=State.SENDING)
    in_flight = set(others.values_list("sign_up_id", "generation"))
    verification.call_off_sends(sign_ups=[each for each in requests if (each.pk, each.generation) not in in_flight])


def _record_acceptances(results: Sequence[Result]) -> list[Delivery]:
    """
    Record acceptances in one statement; return those whose lease was lost. One statement a mail takes a third longer
    for 5 mails and twice as long for 16, and the threads of a process record in turn.
    """
    if not results:
        return []
    now, claimed = clock.now(), [delivery for delivery, _ in results]
    replies = [When(pk=delivery.pk, then=Value(reply.text[:255])) for delivery, reply in results]
    ids_there = [When(pk=each.pk, then=Value(reply.provider_id[:255])) for each, reply in results if reply.provider_id]
    answers = {"last_reply": Case(*replies), "provider_id": Case(*ids_there, default=Value(""))}
    mine = Delivery.objects.leased(*claimed)
    if mine.end_lease(State.SENT, sent_at=now, cause="", **answers) == len(claimed):
        return []
    recorded = Delivery.objects.filter(pk__in=[each.pk for each in claimed], sent_at=now, state=State.SENT)
    held = set(recorded.values_list("pk", flat=True))
    return [each for each in claimed if each.pk not in held]


def _record_failure(delivery: Delivery, reply: Reply) -> bool:
    """Give a mail up, or have it tried again; return whether the lease still held."""
    mine = Delivery.objects.leased(delivery)
    pause = _pause(delivery, reply)
    answer = {"last_reply": reply.text[:255], "cause": reply.cause or ""}
    if reply.outcome is Outcome.DROPPED:
        return bool(mine.end_lease(State.EXPIRED, **answer))
    # Counted from the first try: before it, a mail limit made the mail wait, no worker ran, or the server was down.
    tried_for = clock.now() + timedelta(seconds=pause) - (delivery.first_tried_at or delivery.created_at)
    is_old = tried_for >= GIVE_UP
    if reply.outcome is Outcome.REFUSED or is_old:
        failed = mine.end_lease(State.FAILED, **answer)
        why = "refused" if reply.outcome is Outcome.REFUSED else "given_up"
        metrics.failed.add_after_commit(why, number=failed)
        return bool(failed)
    if reply.outcome is Outcome.UNKNOWN:  # it may have been accepted: the sweeper makes it due when its lease ends
        answer["last_reply"] = f"{UNANSWERED} {reply.text}"[:255]
        # A lease without a token belongs to no worker, so its end is not counted as the loss of one.
        return bool(mine.update(**answer, lease_token="", lease_until=Now() + timedelta(seconds=pause)))
    # The sweeper finds it when it is due.
    later = Now() + timedelta(seconds=pause * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load
    return bool(mine.end_lease(State.PENDING, **answer, next_attempt_at=later))


def _pause(delivery: Delivery, reply: Reply) -> int:
    """Seconds until the next try: by the failures of this mail, but soon if the service itself was at fault."""
    if reply.is_for_any_mail:
        return SERVICE_PAUSE
    if reply.outcome is Outcome.UNKNOWN:
        # At the first try of a mail that was sent again, the last reply is from before that.
        is_again = delivery.attempts > 1 and delivery.last_reply.startswith(UNANSWERED)
        return SILENCE_AGAIN if is_again else SILENCE
    return BACKOFF[min(delivery.attempts, len(BACKOFF)) - 1]


def release(*, deliveries: Sequence[Delivery]) -> None:
    """Give claimed deliveries back unsent: their attempt is not counted, and they are due at once."""
    unsent = {"attempts": F("attempts") - 1}
    with transaction.atomic():
        by_id = sorted(deliveries, key=lambda each: each.pk)  # as in `settle`
        mine = [each for each in by_id if Delivery.objects.leased(each).end_lease(State.PENDING, **unsent)]
        _call_off(mine)


def reclaim() -> int:
    """
    Free the deliveries whose lease is over: their worker is gone, or the mail server fell silent and they have waited.
    Return how many there were.
    """
    with transaction.atomic():
        tokens = dict(Delivery.objects.lease_expired().lock_available().values_list("pk", "lease_token")[:RECLAIM])
        if tokens:
            Delivery.objects.filter(pk__in=tokens).end_lease(State.PENDING, next_attempt_at=Now())
    metrics.reclaimed.add(number=sum(map(bool, tokens.values())))
    return len(tokens)


_next_look = float("-inf")


def retry_deferred_sooner(*, accepted: int) -> None:
    """
    Try deferred mails early, because the mail server accepts mails: EARLY for each accepted one, those due next.

    After an outage twice as many leave each time, at the pace at which the server takes them. A server that still
    defers, as for greylisting, sees at most EARLY such tries for each mail that it accepts.
    """
    global _next_look  # noqa: PLW0603
    if not accepted or time.monotonic() < _next_look:
        return
    with transaction.atomic():
        # PAST_LIMITS: a muted or suppressed mail was never admitted, and is not tried early.
        deferred = Delivery.objects.deferred().filter(PAST_LIMITS).exclude(last_reply__endswith=CANT_BE_BUILT)
        deferred = deferred.exclude(cause=Cause.RATE, last_reply__startswith="5")  # another try prolongs such a ban
        deferred = deferred.alias(rests_since=Coalesce("tried_early_at", "created_at")).filter(
            next_attempt_at__gt=Now() + DUE_SOON, rests_since__lt=Now() - timedelta(seconds=EARLY_AGAIN)
        )
        ids = list(
            deferred.lock_available().order_by("next_attempt_at").values_list("pk", flat=True)[: accepted * EARLY]
        )
        if ids:
            # An early try that fails must not make the next wait longer, so it is not counted.
            attempts = Greatest(F("attempts") - 1, 1)
            Delivery.objects.filter(pk__in=ids).update(attempts=attempts, next_attempt_at=Now(), tried_early_at=Now())
            notify_after_commit(ids[0])
        else:
            _next_look = time.monotonic() + LOOK_AGAIN


@transaction.atomic
def requeue(*, delivery_id: int) -> bool:
    """
    Send a failed, expired or bounced delivery again, with all its tries; False if it can't be.

    A code that expired is replaced by a new generation. A mail whose sign-up is over, whose owner got another one
    since, or whose address is suppressed, is left alone.
    """
    ended = Delivery.objects.filter(pk=delivery_id, state__in=UNDELIVERED)
    row = ended.select_related("sign_up").first()
    if row is None:
        return False
    if row.state == State.BOUNCED:
        row.message_id = new_message_id(row.language)  # a late report is about the mail that bounced
    still_helps = _is_awaited(row) if row.is_about_account else _revive(row)
    freed = still_helps and ended.update(
        state=State.PENDING,
        attempts=0,
        # The mail about a new password says when that was.
        created_at=row.created_at if row.kind == Delivery.Kind.PASSWORD_CHANGED else clock.now(),
        admitted_at=Now(),
        next_attempt_at=Now(),
        tried_early_at=None,
        cause="",
        provider_id="",
        sent_at=None,
        generation=row.generation,
        message_id=row.message_id,
    )
    if freed:
        notify_after_commit(row.pk)
    return bool(freed)


def _is_awaited(row: Delivery) -> bool:
    """Whether a mail about an account still helps. A reset doesn't after a day, or if another one waits or has left."""
    if row.kind == Delivery.Kind.PASSWORD_CHANGED:
        return True
    if row.created_at < clock.now() - timedelta(seconds=settings.HANDLE_LIFETIME):  # as long as for a sign-up
        return False
    resets.find_accounts([row])
    others = Delivery.objects.filter(recipient=row.recipient, kind__in=ACCOUNT_KINDS).exclude(pk=row.pk)
    instead = others.filter(Q(kind=row.kind, state__in=UNSETTLED) | Q(state=State.SENT, pk__gt=row.pk))
    return not (row.is_for_nobody or instead.exists())


def _revive(row: Delivery) -> bool:
    """Make the code of a mail valid again, and the mail its own; False if nobody waits for it."""
    if row.sign_up is None or suppression.holds(address=row.recipient):  # it would be dropped
        return False
    locked = CaptchaModel.objects.lock(row.sign_up)
    newer = Delivery.objects.filter(recipient=row.recipient, state=State.SENT, pk__gt=row.pk)
    is_sent_again = newer.exclude(kind__in=ACCOUNT_KINDS).exists()  # perhaps from another browser
    if is_sent_again or locked is None or locked.proven_at or lock_unsettled(sign_up=locked):
        return False
    try:
        verification.renew(sign_up=locked, decoy=locked.decoy, in_flight=False, by_visitor=False)
    except HandleLost:
        return False
    if row.generation != locked.generation:
        row.generation = locked.generation
        row.message_id = new_message_id(row.language)  # a mailbox that has the old one would drop this mail
    return True
