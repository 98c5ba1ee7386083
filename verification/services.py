"""Prove a mailbox: issue a code, renew it, prove it once, redeem the proof once."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Least

from core import clock

from . import codes, counts, keys, limits
from .models import CaptchaModel
from .states import AlreadyRedeemed, CodeMismatch, HandleLost, State, VerificationError, refuse, state_of


class ResendTooSoon(VerificationError):
    """A mail of this request was asked for less than RESEND_COOLDOWN ago. `retry_after` is in seconds."""

    code = "resend_wait"

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


def issue(*, address: str, decoy: bool, handle: str | None = None) -> CaptchaModel:
    """
    Create the code of a new request for a canonical `address`. No mail of it exists yet.

    The handle is random unless one is given (see `keys.handle_for`). Raises IntegrityError for one that exists.
    """
    now = clock.now()
    counts.codes.add_after_commit("requested")
    return CaptchaModel.objects.create(
        handle=handle or secrets.token_urlsafe(18),  # 144 bits
        address=address,
        nonce=secrets.token_hex(16),
        key_id=keys.current_key_id(),
        length=limits.code_length(address=address, at=now),
        decoy=decoy,
        created_at=now,
        requested_at=now,
    )


def find(*, handles: Iterable[str]) -> list[CaptchaModel]:
    """Return the requests behind these handles, in their order; those that are lost are left out."""
    wanted = list(handles)
    rows = {row.handle: row for row in CaptchaModel.objects.filter(handle__in=wanted)} if wanted else {}
    now = clock.now()
    return [rows[handle] for handle in wanted if state_of(rows.get(handle), at=now) is not State.LOST]


def latest(*, address: str) -> CaptchaModel | None:
    """Return the newest request of a canonical address that isn't over."""
    row = CaptchaModel.objects.filter(address=address).order_by("-pk").first()
    return None if state_of(row, at=clock.now()) is State.LOST else row


def get(*, handle: str) -> CaptchaModel:
    """Return the request behind a handle. Raises HandleLost, or AlreadyRedeemed where it made its account."""
    captcha = CaptchaModel.objects.filter(handle=handle).first()
    if captcha is None or state_of(captcha, at=clock.now()) is State.LOST:
        raise AlreadyRedeemed if captcha and captcha.redeemed_at else HandleLost
    return captcha


def lock(*, captcha: CaptchaModel) -> CaptchaModel | None:
    """Return the row as it is now, held until the caller's transaction ends; None when it is gone."""
    return CaptchaModel.objects.select_for_update(no_key=True).filter(pk=captcha.pk).first()


def resend_wait(captcha: CaptchaModel) -> int:
    """Seconds until another mail of this request may be asked for, rounded up; 0 when it may be now."""
    wait = captcha.requested_at + timedelta(seconds=settings.RESEND_COOLDOWN) - clock.now()
    return max(0, -int(-wait.total_seconds() // 1))


def current_state(captcha: CaptchaModel) -> State:
    """The state of a request now."""
    return state_of(captcha, at=clock.now())


def takes_link_only(captcha: CaptchaModel) -> bool:
    """Whether no code proves this request any more, but its mail's link does."""
    now = clock.now()
    if state_of(captcha, at=now) in (State.LOST, State.EXPIRED):
        return False
    return limits.demand(address=captcha.address, at=now).link_only


def seconds_left(captcha: CaptchaModel) -> int:
    """Seconds that the code works yet, rounded up; of one whose mail was not accepted yet, those it will have."""
    now = clock.now()
    ends = captcha.expires_at or now + timedelta(seconds=settings.CAPTCHA_TTL)
    return max(0, -int(-(ends - now).total_seconds() // 1))


def minutes_left(captcha: CaptchaModel) -> int:
    """The same in minutes, rounded up."""
    return -(-seconds_left(captcha) // 60)


def renew(*, captcha: CaptchaModel, in_flight: bool) -> bool:
    """
    Make a locked request ready for another mail. True: a new code; False: the same code again, its life renewed
    once that mail is accepted. A code stays while it lives, or while a mail of it is `in_flight`, unless it became too
    short meanwhile.

    Raises HandleLost, or ResendTooSoon within the cooldown.
    """
    now = clock.now()
    state = state_of(captcha, at=now)
    if state is State.LOST:
        raise HandleLost
    if wait := resend_wait(captcha):
        raise ResendTooSoon(retry_after=wait)
    captcha.requested_at = now
    dead = state is State.EXHAUSTED or (state is State.EXPIRED and not in_flight)
    return _save(captcha, new_generation=dead)


def lengthen(*, captcha: CaptchaModel) -> bool:
    """
    Give a locked request the longer code that CodeTooShort asked for; False where it has one by now.

    It is the same generation: the link in the mails that are out goes on working.
    """
    length = limits.code_length(address=captcha.address, at=clock.now())
    if captcha.length >= length:
        return False
    captcha.length, captcha.attempts = length, 0
    captcha.save(update_fields=["length", "attempts"])
    return True


def set_decoy(*, captcha: CaptchaModel, decoy: bool) -> None:
    """A new generation may find that the address got an account meanwhile, or lost it."""
    CaptchaModel.objects.filter(pk=captcha.pk).update(decoy=decoy)
    captcha.decoy = decoy


def revive(*, captcha: CaptchaModel) -> bool:
    """Make a locked request ready for a mail that an operator sends again: True with a new code, where the old died."""
    state = state_of(captcha, at=clock.now())
    if state is State.LOST:
        raise HandleLost
    dead = state in (State.EXHAUSTED, State.EXPIRED)
    return _save(captcha, new_generation=dead)


def _save(captcha: CaptchaModel, *, new_generation: bool) -> bool:
    """Save the row, with a code of the length that is asked for now; return whether the code is a new one."""
    if new_generation:
        captcha.generation += 1
        captcha.key_id, captcha.attempts = keys.current_key_id(), 0
        captcha.first_accepted_at, captcha.expires_at = None, None
        captcha.length = limits.code_length(address=captcha.address, at=clock.now())
        counts.codes.add_after_commit("requested")
    longer = not new_generation and lengthen(captcha=captcha)
    captcha.save()
    return new_generation or longer


def is_wanted(captcha: CaptchaModel, generation: int) -> bool:
    """Whether a mail of this generation would still help: the code is the current one, unspent, and can yet live."""
    ends = (captcha.first_accepted_at or clock.now()) + timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
    over = captcha.created_at + timedelta(seconds=settings.HANDLE_LIFETIME)
    return captcha.generation == generation and captcha.redeemed_at is None and clock.now() < min(ends, over)


def accept(*, mails: Iterable[tuple[int, int]], at: datetime) -> None:
    """
    Start or renew the life of codes whose mail a mail server accepted: (captcha id, generation) pairs.

    Life ends CAPTCHA_TTL after this acceptance, at most CAPTCHA_MAX_LIFETIME after the generation's first.
    """
    wanted = sorted(set(mails))  # one order for all, so that settlements rarely deadlock; who loses tries again
    if not wanted:
        return
    ttl, cap = timedelta(seconds=settings.CAPTCHA_TTL), timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
    by_generation: dict[int, list[int]] = {}
    for pk, generation in wanted:
        by_generation.setdefault(generation, []).append(pk)
    these = (Q(generation=generation, pk__in=pks) for generation, pks in by_generation.items())
    rows = CaptchaModel.objects.filter(reduce(or_, these))
    first = rows.filter(first_accepted_at=None).update(first_accepted_at=at, expires_at=at + ttl)
    counts.codes.add_after_commit("accepted", number=first)
    if first < len(wanted):
        rows.filter(first_accepted_at__lt=at).update(expires_at=Least(at + ttl, F("first_accepted_at") + cap))


def holds_proof(captcha: CaptchaModel, *, link_proof: str | None) -> bool:
    """
    Whether who shows this link proof needs no code: it came with the mail's link, or with a code typed before.

    The handle alone is never enough. A stranger who asked for this mail has it too, and would otherwise finish what
    the owner of the mailbox began. A proof outlives the code; before there is one, the link lives as long as the code.
    """
    state = state_of(captcha, at=clock.now())
    if state is State.LOST or captcha.decoy or not link_proof:
        return False
    if state is State.EXPIRED and not captcha.proven_at:
        return False
    return codes.same(keys.link_proof_of(captcha) or "-", link_proof)


def prove(*, captcha: CaptchaModel | None, address: str, code: str, link_proof: str | None = None) -> str:
    """
    Turn the right code, or the mail's link, into a proof that this request's mailbox is the visitor's.

    Return the link proof, which stands for the code from now on; it is for the visitor's own browser. A try is
    counted, and committed, before it is compared: no crash, rollback or parallel post gets one for nothing. The right
    code gives its count back. Raises HandleLost, CodeMismatch, TooManyAttempts, CodeExpired, CodeTooShort or LinkOnly,
    by the state of the handle and its address alone.
    """
    if captcha is None:
        raise HandleLost
    if captcha.address != address or not holds_proof(captcha, link_proof=link_proof):
        _prove_by_code(captcha, address, code)
    elif not captcha.proven_at:
        _consume(captcha, by=CaptchaModel.ProvenBy.LINK)
    return keys.link_proof_of(captcha) or ""


def _prove_by_code(captcha: CaptchaModel, address: str, code: str) -> None:
    refuse(state_of(captcha, at=clock.now()), address_fits=captcha.address == address)
    counted = _count(captcha)
    if counted is None:  # a parallel request changed the row: answer by its new state
        captcha.refresh_from_db()
        refuse(state_of(captcha, at=clock.now()), address_fits=True)
        raise CodeMismatch
    if not codes.same(keys.code_of(captcha) or "-", code) or captcha.decoy:
        counts.wrong.add()
        captcha.refresh_from_db(fields=["attempts"])
        raise CodeMismatch(attempts_left=max(0, settings.CAPTCHA_MAX_ATTEMPTS - captcha.attempts))
    _consume(captcha, by=CaptchaModel.ProvenBy.CODE, counted=counted)


def redeem(*, captcha: CaptchaModel) -> bool:
    """Spend the proof; False when somebody spent it first. To be called in the transaction that uses it."""
    proven = CaptchaModel.objects.filter(pk=captcha.pk, proven_at__isnull=False, redeemed_at=None)
    redeemed = bool(proven.update(redeemed_at=clock.now()))
    counts.codes.add_after_commit("registered", number=redeemed)
    return redeemed


def void(*, handle: str) -> None:
    """The owner of the mailbox disowns this request: it is spent, without an account, for whoever holds it."""
    CaptchaModel.objects.filter(handle=handle, redeemed_at=None).update(redeemed_at=clock.now())


class _Counted(NamedTuple):
    """A try: when, and what counted for its address with it."""

    at: datetime
    guesses: list[float]


def _count(captcha: CaptchaModel) -> _Counted | None:
    """Count one try of this code, its address and the site, committed on its own; None where no try is left."""
    with transaction.atomic(durable=True):
        now = clock.now()
        guesses = limits.charge_guess(address=captcha.address, length=captcha.length, at=now)
        live = CaptchaModel.objects.filter(
            pk=captcha.pk,
            generation=captcha.generation,
            length=captcha.length,
            attempts__lt=settings.CAPTCHA_MAX_ATTEMPTS,
            redeemed_at=None,
            expires_at__gt=now,
        )
        if live.update(attempts=F("attempts") + 1):
            limits.tally(1, at=now)
            return _Counted(now, guesses)
        transaction.set_rollback(True)
    return None


def _consume(captcha: CaptchaModel, *, by: str, counted: _Counted | None = None) -> None:
    """Record the proof, once, and give a counted try back. A parallel post that proved first is as good."""
    now = clock.now()
    row = CaptchaModel.objects.filter(pk=captcha.pk, generation=captcha.generation)
    given_back: dict[str, Any] = {"attempts": F("attempts") - 1} if counted else {}
    with transaction.atomic():
        if counted:
            limits.return_guess(address=captcha.address, charged=counted.guesses)
        first = row.filter(proven_at=None).update(proven_at=now, proven_by=by, **given_back)
        if not first and given_back:
            row.update(**given_back)
        if counted:
            limits.tally(-1, at=counted.at)
    if first:
        counts.codes.add("proven")
        if captcha.first_accepted_at:
            counts.proven_after.observe((now - captcha.first_accepted_at).total_seconds())
    captcha.proven_at = captcha.proven_at or now
