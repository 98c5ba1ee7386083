"""Prove a mailbox: issue a code, renew it, prove it once, redeem the proof once."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Least

from core import clock

from . import codes, counts, guess_limits
from .models import CaptchaModel
from .states import CodeMismatch, HandleLost, State, TooManyAttempts, VerificationError, refuse, state_of, valid


class ResendTooSoon(VerificationError):
    """A mail of this request was asked for less than RESEND_COOLDOWN ago. `retry_after` is in seconds."""

    code = "resend_wait"

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


def issue(*, address: str, decoy: bool, handle: str | None = None) -> CaptchaModel:
    """
    Create the code of a new request for a canonical `address`. No mail of it exists yet.

    The handle is random unless one is given (see `codes.handle_for`). Raises IntegrityError for one that exists.
    """
    now = clock.now()
    sign_up = CaptchaModel.objects.create(
        handle=handle or secrets.token_urlsafe(18),  # 144 bits
        address=address,
        nonce=secrets.token_hex(16),
        key_id=codes.current_key_id(),
        length=guess_limits.code_length(address=address, at=now),
        decoy=decoy,
        created_at=now,
        requested_at=now,
    )
    counts.codes.add_after_commit("requested")
    return sign_up


def renew(*, sign_up: CaptchaModel, in_flight: bool) -> bool:
    """
    Make a locked request ready for another mail. True: a new code; False: the same code again, its life renewed
    once that mail is accepted. A code stays while it lives, or while a mail of it is `in_flight`, unless it became too
    short meanwhile.

    Raises HandleLost, or ResendTooSoon within the cooldown.
    """
    now = clock.now()
    state = state_of(sign_up)
    if state is State.LOST:
        raise HandleLost
    if wait := sign_up.resend_wait:
        raise ResendTooSoon(retry_after=wait)
    sign_up.requested_at = now
    dead = state is State.EXHAUSTED or (state is State.EXPIRED and not in_flight)
    return _save(sign_up, new_generation=dead)


def lengthen(*, sign_up: CaptchaModel) -> bool:
    """
    Give a locked request the longer code that CodeTooShort asked for; False where it has one by now.

    It is the same generation: the link in the mails that are out goes on working.
    """
    length = guess_limits.code_length(address=sign_up.address, at=clock.now())
    if sign_up.length >= length:
        return False
    sign_up.length, sign_up.attempts = length, 0
    sign_up.save(update_fields=["length", "attempts"])
    return True


def set_decoy(*, sign_up: CaptchaModel, decoy: bool) -> None:
    """A new generation may find that the address got an account meanwhile, or lost it."""
    CaptchaModel.objects.filter(pk=sign_up.pk).update(decoy=decoy)
    sign_up.decoy = decoy


def revive(*, sign_up: CaptchaModel) -> bool:
    """Make a locked request ready for a mail that an operator sends again: True with a new code, where the old died."""
    state = state_of(sign_up)
    if state is State.LOST:
        raise HandleLost
    dead = state in (State.EXHAUSTED, State.EXPIRED)
    return _save(sign_up, new_generation=dead)


def _save(sign_up: CaptchaModel, *, new_generation: bool) -> bool:
    """Save the row, with a code of the length that is asked for now; return whether the code is a new one."""
    if new_generation:
        sign_up.generation += 1
        sign_up.key_id, sign_up.attempts = codes.current_key_id(), 0
        sign_up.mailed_at, sign_up.first_accepted_at, sign_up.expires_at = None, None, None
        sign_up.length = guess_limits.code_length(address=sign_up.address, at=clock.now())
        counts.codes.add_after_commit("requested")
    longer = not new_generation and lengthen(sign_up=sign_up)
    sign_up.save()
    return new_generation or longer


def is_wanted(sign_up: CaptchaModel, generation: int) -> bool:
    """Whether a mail of this generation would still help: the code is the current one, unspent, and can yet live."""
    ends = (sign_up.first_accepted_at or clock.now()) + timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
    over = sign_up.created_at + timedelta(seconds=settings.HANDLE_LIFETIME)
    return sign_up.generation == generation and sign_up.redeemed_at is None and clock.now() < min(ends, over)


def begin_send(*, sign_ups: Iterable[CaptchaModel], at: datetime) -> set[int]:
    """
    Open the codes whose mail is about to be sent, unless one was accepted before; return the ids of those that may be
    sent now. The others are locked, as somebody asks for them again right now. Needs a transaction.
    """
    new = [each.pk for each in sign_ups if each.first_accepted_at is None]
    ready = {each.pk for each in sign_ups} - set(new)
    if new:
        rows = CaptchaModel.objects.filter(pk__in=new).select_for_update(skip_locked=True, no_key=True)
        locked = list(rows.values_list("pk", flat=True))
        CaptchaModel.objects.filter(pk__in=locked).update(mailed_at=at)
        ready.update(locked)
    return ready


def call_off_sends(*, mails: Iterable[tuple[int, int]]) -> None:
    """
    The mail server took none of these mails, (sign-up id, generation) pairs: nobody has read them, so their codes wait
    for the next send. Passes over rows that somebody asks for again right now. Needs a transaction.
    """
    for pk, generation in mails:
        unread = CaptchaModel.objects.filter(pk=pk, generation=generation, first_accepted_at=None)
        if unread.select_for_update(skip_locked=True, no_key=True).first():
            unread.update(mailed_at=None)


def accept(*, mails: Iterable[tuple[int, int]], at: datetime) -> None:
    """
    Start or renew the life of codes whose mail a mail server accepted: (sign-up id, generation) pairs.

    Life ends CAPTCHA_TTL after this acceptance, at most CAPTCHA_MAX_LIFETIME after the generation's first.
    """
    by_generation: dict[int, list[int]] = {}
    for pk, generation in sorted(
        set(mails)
    ):  # one order for all: settlements rarely deadlock, and who loses tries again
        by_generation.setdefault(generation, []).append(pk)
    ttl, cap = timedelta(seconds=settings.CAPTCHA_TTL), timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
    for generation, pks in sorted(by_generation.items()):
        mailed = CaptchaModel.objects.filter(generation=generation, pk__in=pks)
        first = mailed.filter(first_accepted_at=None).update(first_accepted_at=at, expires_at=at + ttl)
        counts.codes.add_after_commit("accepted", number=first)
        if first < len(pks):
            again = mailed.filter(first_accepted_at__lt=at)
            again.update(expires_at=Least(at + ttl, F("first_accepted_at") + cap))


def holds_proof(sign_up: CaptchaModel, *, link_proof: str | None) -> bool:
    """
    Whether who shows this link proof needs no code: it came with the mail's link, or with a code typed before.

    The handle alone is never enough. A stranger who asked for this mail has it too, and would otherwise finish what
    the owner of the mailbox began. A proof outlives the code; before there is one, the link lives as long as the code.
    """
    state = state_of(sign_up)
    if state is State.LOST or sign_up.decoy or not link_proof:
        return False
    if state is State.EXPIRED and not sign_up.proven_at:
        return False
    return codes.same(codes.link_proof_of(sign_up) or "-", link_proof)


def prove(*, sign_up: CaptchaModel | None, address: str, code: str, link_proof: str | None = None) -> str:
    """
    Turn the right code, or the mail's link, into a proof that this request's mailbox is the visitor's.

    Return the link proof, which stands for the code from now on; it is for the visitor's own browser. A try is
    counted, and committed, before it is compared: no crash, rollback or parallel post gets one for nothing. The right
    code gives its count back. Raises HandleLost, CodeMismatch, TooManyAttempts, CodeExpired, CodeTooShort or LinkOnly,
    by the state of the handle and its address alone.
    """
    if sign_up is None:
        raise HandleLost
    if sign_up.address != address or not holds_proof(sign_up, link_proof=link_proof):
        _prove_by_code(sign_up, address, code)
    elif not sign_up.proven_at:
        _consume(sign_up, by=CaptchaModel.ProvenBy.LINK)
    return codes.link_proof_of(sign_up) or ""


def _prove_by_code(sign_up: CaptchaModel, address: str, code: str) -> None:
    refuse(state_of(sign_up), address_fits=sign_up.address == address)
    counted = _count(sign_up)
    if counted is None:  # a parallel request changed the row: answer by its new state
        known = (sign_up.generation, sign_up.length)
        sign_up.refresh_from_db()
        refuse(state_of(sign_up), address_fits=True)
        if known == (sign_up.generation, sign_up.length):
            raise TooManyAttempts  # others held all tries, and have given one back since
        raise CodeMismatch
    if not codes.same(codes.code_of(sign_up) or "-", code) or sign_up.decoy:
        guess_limits.tally(at=counted.at)
        counts.wrong.add()
        sign_up.attempts = counted.attempts
        raise CodeMismatch(attempts_left=settings.CAPTCHA_MAX_ATTEMPTS - sign_up.attempts)
    _consume(sign_up, by=CaptchaModel.ProvenBy.CODE, counted=counted)


def redeem(*, sign_up: CaptchaModel) -> bool:
    """Spend the proof; False when somebody spent it first. To be called in the transaction that uses it."""
    proven = CaptchaModel.objects.filter(pk=sign_up.pk, proven_at__isnull=False, redeemed_at=None)
    redeemed = proven.update(redeemed_at=clock.now())
    counts.codes.add_after_commit("registered", number=redeemed)
    return bool(redeemed)


def void(*, handle: str) -> None:
    """The owner of the mailbox disowns this request: it is spent, without an account, for whoever holds it."""
    CaptchaModel.objects.filter(handle=handle, redeemed_at=None).update(redeemed_at=clock.now())


class _Counted(NamedTuple):
    """A guess that was counted: when, which it is of its code, and what undoes it at its address."""

    at: datetime
    attempts: int
    guess: float


def _count(sign_up: CaptchaModel) -> _Counted | None:
    """Count one guess at this code and its address, committed on its own; None where no try is left."""
    with transaction.atomic(durable=True):
        now = clock.now()
        guess = guess_limits.count_guess(address=sign_up.address, length=sign_up.length, at=now)
        this = CaptchaModel.objects.filter(pk=sign_up.pk, generation=sign_up.generation, length=sign_up.length)
        left = this.filter(valid(at=now), attempts__lt=settings.CAPTCHA_MAX_ATTEMPTS, redeemed_at=None)
        if left.update(attempts=F("attempts") + 1):
            return _Counted(now, this.values_list("attempts", flat=True).get(), guess)
        transaction.set_rollback(True)
    return None


@transaction.atomic
def _consume(sign_up: CaptchaModel, *, by: str, counted: _Counted | None = None) -> None:
    """
    Record the proof, once, and undo a counted guess: of the code of this length, as the tries of a longer one began
    anew. A parallel post that proved first is as good.
    """
    now, this = clock.now(), CaptchaModel.objects.filter(pk=sign_up.pk, generation=sign_up.generation)
    if counted:
        guess_limits.undo_guess(address=sign_up.address, guess=counted.guess)
        this.filter(length=sign_up.length).update(attempts=F("attempts") - 1)
    if this.filter(proven_at=None).update(proven_at=now, proven_by=by):
        counts.codes.add_after_commit("proven")
        if sign_up.first_accepted_at:
            counts.proven_after.observe((now - sign_up.first_accepted_at).total_seconds())
    sign_up.proven_at = sign_up.proven_at or now
