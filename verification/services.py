"""Prove a mailbox: issue a code, renew it, prove it once, redeem the proof once."""

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest, Least

from core import clock

from . import codes, guess_limits, metrics
from .models import CaptchaModel, max_lifetime
from .states import CodeMismatch, HandleLost, ResendTooSoon, State, require_open, resend_wait, state_of


def issue(*, address: str, decoy: bool, handle: str | None = None) -> CaptchaModel:
    """
    Create a sign-up request with a code for a canonical `address`. No mail of it exists yet.

    The handle is random unless one is given (see `codes.handle_for`). Raises IntegrityError for one that exists.
    """
    now = clock.now()
    sign_up = CaptchaModel.objects.create(
        handle=handle or secrets.token_urlsafe(18),  # 144 bits
        address=address,
        nonce=secrets.token_hex(16),
        key_id=codes.current_key_id(),
        length=guess_limits.required(address=address).length,
        decoy=decoy,
        created_at=now,
        requested_at=now,
    )
    metrics.codes.add_after_commit("requested")
    return sign_up


def renew(*, sign_up: CaptchaModel, decoy: bool, in_flight: bool, by_visitor: bool = True) -> bool:
    """
    Make a locked request ready for another mail. True: with a new code. False: with the same code, whose lifetime is
    renewed once that mail is accepted.

    A new generation replaces a code whose tries are used up, or which expired while no mail of it is `in_flight`.
    A code that became too short gets longer. `decoy` says whether the address has an account now: without one the
    request is no decoy any more; with one, only a new code makes it a decoy. Raises HandleLost, or ResendTooSoon for a
    visitor whom `states.resend_wait` makes wait.
    """
    state = state_of(sign_up)
    if state is State.LOST:
        raise HandleLost
    if by_visitor:
        if wait := resend_wait(sign_up):
            raise ResendTooSoon(retry_after=wait)
        sign_up.requested_at = clock.now()
    length = guess_limits.required(address=sign_up.address).length
    next_generation = state is State.EXHAUSTED or (state is State.EXPIRED and not in_flight)
    if next_generation:
        sign_up.generation += 1
        sign_up.key_id = codes.current_key_id()
        sign_up.mailed_at = sign_up.first_accepted_at = sign_up.expires_at = None
        metrics.codes.add_after_commit("requested")
    is_new = next_generation or sign_up.length < length
    if is_new:
        sign_up.length, sign_up.attempts = length, 0
    sign_up.decoy = decoy and (is_new or sign_up.decoy)
    sign_up.save()
    return is_new


def lengthen(*, sign_up: CaptchaModel) -> bool:
    """
    Give a locked request the longer code that CodeTooShort asked for; False if its code is long enough by now.

    It is the same generation, so the link in earlier mails still works.
    """
    length = guess_limits.required(address=sign_up.address).length
    if sign_up.length >= length:
        return False
    sign_up.length, sign_up.attempts = length, 0
    sign_up.save(update_fields=["length", "attempts"])
    return True


def is_wanted(sign_up: CaptchaModel, generation: int) -> bool:
    """Whether a mail of this generation would still help: the code is current and not redeemed, and can be valid."""
    capped = sign_up.first_accepted_at and sign_up.first_accepted_at + max_lifetime() <= clock.now()
    return sign_up.generation == generation and sign_up.is_live and not capped


def begin_send(*, sign_ups: Collection[CaptchaModel], at: datetime) -> set[int]:
    """
    Open the codes without an accepted mail: one is about to be sent. Return the ids of the requests whose mail may be
    sent now: the others are locked by a visitor's resend. Needs a transaction.
    """
    accepted = {each.pk for each in sign_ups if each.first_accepted_at}
    others = CaptchaModel.objects.filter(pk__in={each.pk for each in sign_ups} - accepted)
    locked = set(others.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
    CaptchaModel.objects.filter(pk__in=locked).update(mailed_at=at)
    for each in sign_ups:
        each.mailed_at = each.mailed_at or at  # of the earliest send that was not called off
    return accepted | locked


def call_off_sends(*, sign_ups: Iterable[CaptchaModel]) -> None:
    """
    Close codes whose mail was not taken by the mail server: nobody has read it, so they wait for the next send. The
    requests are as `begin_send` left them. A code stays open if another send with it began, before or since, and was
    not called off: that mail may have arrived. Skips rows that a visitor's resend has locked. Needs a transaction.
    """
    for each in sign_ups:
        # Any other send has set another time, and a new code has none.
        mine = CaptchaModel.objects.filter(pk=each.pk, first_accepted_at=None, mailed_at=each.mailed_at)
        if mine.select_for_update(skip_locked=True, no_key=True).first():
            mine.update(mailed_at=None)


def accept(*, mails: Iterable[tuple[int, int]], at: datetime) -> None:
    """
    Start or renew the lifetime of codes whose mail a mail server accepted: (sign-up id, generation) pairs.

    It ends CAPTCHA_TTL after this acceptance, at most CAPTCHA_MAX_LIFETIME after the generation's first.
    """
    by_generation: dict[int, list[int]] = defaultdict(list)
    for pk, generation in sorted(set(mails)):  # rows are locked in one order, so that settlements seldom deadlock
        by_generation[generation].append(pk)
    expires_at = at + timedelta(seconds=settings.CAPTCHA_TTL)
    for generation, pks in sorted(by_generation.items()):
        mailed = CaptchaModel.objects.filter(generation=generation, pk__in=pks)
        first = mailed.filter(first_accepted_at=None).update(first_accepted_at=at, expires_at=expires_at)
        metrics.codes.add_after_commit("accepted", number=first)
        if first < len(pks):
            again = mailed.filter(first_accepted_at__lt=at)
            again.update(expires_at=Least(expires_at, F("first_accepted_at") + max_lifetime()))


def holds_proof(sign_up: CaptchaModel, *, proof: str) -> bool:
    """
    Whether a visitor with this proof needs no code: they opened the mail's link, or typed the code before.

    The handle alone is never enough. A stranger who asked for this mail holds the handle too, and could finish the
    sign-up that the owner of the mailbox began. A proof outlives the code; an unused link expires with it. A new code
    does not end the link of a former one: a stranger who uses up the tries of each could keep the owner out for ever.
    """
    state = state_of(sign_up)
    if state is State.LOST or sign_up.decoy or not proof:
        return False
    if state is State.EXPIRED and not sign_up.proven_at:
        return False
    return codes.is_proof(sign_up, proof)


def prove(*, sign_up: CaptchaModel, address: str, code: str, proof: str = "") -> str:
    """
    Turn the right code, or the mail's link, into a proof that this request's mailbox is the visitor's.

    Return the proof, for the visitor's browser alone: it stands for the code from now on. Raises CodeMismatch for a
    wrong code; and, whatever the code is, HandleLost, CodeMismatch, TooManyAttempts or CodeExpired by the request's
    state and address, and CodeTooShort or LinkOnly by the wrong guesses at that address.
    """
    if sign_up.address == address and holds_proof(sign_up, proof=proof):
        if not sign_up.proven_at:
            _mark_proven(sign_up, by=CaptchaModel.ProvenBy.LINK)
        return codes.proof_of(sign_up) or ""
    require_open(sign_up, address=address)
    # Counted and committed before the comparison: no crash, rollback or parallel request gets a free guess.
    now = clock.now()
    _count_guess(sign_up, now)
    if not codes.same(codes.code_of(sign_up), code) or sign_up.decoy:
        guess_limits.count_for_site(at=now)
        metrics.wrong_guesses.add()
        raise CodeMismatch(attempts_left=settings.CAPTCHA_MAX_ATTEMPTS - sign_up.attempts)
    with transaction.atomic():
        guess_limits.undo(address=sign_up.address, at=now)
        _mark_proven(sign_up, by=CaptchaModel.ProvenBy.CODE)
        sign_up.attempts -= 1
    return codes.proof_of(sign_up) or ""


def _count_guess(sign_up: CaptchaModel, at: datetime) -> None:
    """
    Count a guess at this code and at its address, and commit both. Counts neither and raises in any state but OPEN, if
    `guess_limits.count` raises, and CodeMismatch if the code was replaced meanwhile.
    """
    typed_for = (sign_up.generation, sign_up.length)
    with transaction.atomic(durable=True):
        guess_limits.count(address=sign_up.address, length=sign_up.length, at=at)
        sign_up.refresh_from_db(from_queryset=CaptchaModel.objects.select_for_update(no_key=True))
        require_open(sign_up, address=sign_up.address)
        if typed_for != (sign_up.generation, sign_up.length):
            raise CodeMismatch
        sign_up.attempts += 1
        sign_up.save(update_fields=["attempts"])


def _mark_proven(sign_up: CaptchaModel, *, by: str) -> None:
    """
    Record the proof once, and undo the counted try of a right code each time. A parallel POST may have
    proven it first. A request that its owner disowned meanwhile stays unproven in the database, where `redeem` looks.
    """
    now = clock.now()
    mine, columns = CaptchaModel.objects.filter(pk=sign_up.pk, redeemed_at=None), {}
    if by == CaptchaModel.ProvenBy.CODE:  # a link proves whatever the generation, and no try was counted
        mine = mine.filter(generation=sign_up.generation)
        # Not below 0: the tries of a code that was lengthened meanwhile are counted anew.
        columns = {"attempts": Greatest(F("attempts") - 1, 0)}
    if mine.filter(proven_at=None).update(proven_at=now, proven_by=by, **columns):
        metrics.codes.add_after_commit("proven")
        if sign_up.first_accepted_at:
            metrics.proven_after.observe((now - sign_up.first_accepted_at).total_seconds())
    elif columns:
        mine.update(**columns)
    sign_up.proven_at = sign_up.proven_at or now


def redeem(*, sign_up: CaptchaModel) -> bool:
    """
    Spend the proof; False when it was spent before, or the owner of the mailbox disowned the request (`void`). Call it
    in the transaction that uses the proof.
    """
    proven = CaptchaModel.objects.filter(pk=sign_up.pk, proven_at__isnull=False, redeemed_at=None)
    redeemed = proven.update(redeemed_at=clock.now())
    metrics.codes.add_after_commit("registered", number=redeemed)
    return bool(redeemed)


def void(*, handle: str) -> None:
    """The owner of the mailbox disowns this request: it is redeemed without an account, and not finished."""
    CaptchaModel.objects.filter(handle=handle, redeemed_at=None).update(redeemed_at=clock.now(), proven_at=None)
