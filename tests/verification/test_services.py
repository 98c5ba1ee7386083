"""Issue, renew, prove, redeem."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.db import OperationalError, transaction

from core import clock
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, right, wrong
from verification import codes, services
from verification.models import AddressGuesses, CaptchaModel, SiteGuesses
from verification.states import CodeExpired, CodeMismatch, HandleLost, ResendTooSoon, State, TooManyAttempts, state_of

pytestmark = pytest.mark.django_db


def prove(sign_up: CaptchaModel, code: str, **facts) -> None:
    services.prove(sign_up=sign_up, **{"address": ALICE, "code": code, **facts})


def guesses(address: str = ALICE) -> int:
    return sum(len(row.guesses) for row in AddressGuesses.objects.filter(address=address))


def test_a_new_request_has_an_unguessable_handle_and_no_code_in_its_row(frozen_clock: FrozenClock) -> None:
    """144 bits of handle; the code is in no column."""
    sign_up = make_captcha()
    assert len(sign_up.handle) == 24
    assert right(sign_up) not in [str(value) for value in vars(sign_up).values()]
    assert state_of(make_captcha(accepted=False)) is State.WAITING


def test_the_right_code_proves_once_and_is_not_counted(frozen_clock: FrozenClock) -> None:
    """The row is proven by code; the guess is undone at the code and at the address."""
    sign_up = make_captcha()
    prove(sign_up, right(sign_up))
    assert (sign_up.proven_at, sign_up.attempts) == (frozen_clock.now(), 0)
    sign_up.refresh_from_db()
    assert (sign_up.proven_at, sign_up.proven_by, sign_up.attempts) == (frozen_clock.now(), "code", 0)
    assert guesses() == 0


def test_a_proof_needs_no_code_any_more(frozen_clock: FrozenClock) -> None:
    """The proof stands for the code, also after the code has expired."""
    sign_up = make_captcha()
    proof = services.prove(sign_up=sign_up, address=ALICE, code=right(sign_up))
    frozen_clock.move(hours=2)
    assert services.prove(sign_up=CaptchaModel.objects.get(), address=ALICE, code="", proof=proof) == proof


def test_the_handle_alone_is_no_proof(frozen_clock: FrozenClock) -> None:
    """The owner proves in another browser: that gives nothing to the stranger who asked for the mail."""
    sign_up = make_captcha()
    prove(sign_up, right(sign_up))
    stranger = CaptchaModel.objects.get()
    with pytest.raises(CodeMismatch):
        prove(stranger, wrong(sign_up))
    frozen_clock.move(hours=2)
    with pytest.raises(CodeExpired):
        prove(stranger, "")


def test_the_right_code_is_right_again_until_it_is_redeemed() -> None:
    """Proven on the phone, typed on the desktop: both are the owner of the mailbox."""
    sign_up = make_captcha()
    prove(sign_up, "", proof=codes.proof_of(sign_up))
    prove(CaptchaModel.objects.get(), right(sign_up))
    assert guesses() == 0


def test_the_right_code_is_never_counted_however_often_it_comes() -> None:
    """A client without cookies sends it with each try of another username. A wrong one before it stays counted."""
    sign_up = make_captcha()
    for wrong_ones in (0, 1):
        for _ in range(settings.CAPTCHA_MAX_ATTEMPTS + 1):
            prove(CaptchaModel.objects.get(), right(sign_up))
        assert CaptchaModel.objects.get().attempts == guesses() == wrong_ones
        with pytest.raises(CodeMismatch):
            prove(CaptchaModel.objects.get(), wrong(sign_up))


def test_a_disowned_request_is_not_proven_any_more() -> None:
    """Nor by a right code that was compared while the owner pressed the button: no page says that it is finished."""
    sign_up = make_captcha()
    stale = CaptchaModel.objects.get()
    services.void(handle=sign_up.handle)
    prove(stale, "", proof=codes.proof_of(stale))
    sign_up.refresh_from_db()
    assert (sign_up.proven_at, sign_up.is_finished, services.redeem(sign_up=sign_up)) == (None, False, False)


def test_a_wrong_code_is_counted_and_says_what_is_left() -> None:
    """On the code and on the address."""
    sign_up = make_captcha()
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(CodeMismatch) as refusal:
            prove(sign_up, wrong(sign_up))
        assert refusal.value.attempts_left == left
    assert guesses() == 5


def test_used_up_tries_refuse_the_right_code_too() -> None:
    """Count first, then compare."""
    sign_up = make_captcha()
    for _ in range(5):
        with pytest.raises(CodeMismatch):
            prove(sign_up, wrong(sign_up))
    with pytest.raises(TooManyAttempts):
        prove(sign_up, right(sign_up))
    stale = CaptchaModel.objects.get()
    stale.attempts = 0  # as a request that read the row before
    with pytest.raises(TooManyAttempts):
        prove(stale, right(sign_up))
    assert guesses() == 5


def test_an_expired_code_is_refused_uncounted(frozen_clock: FrozenClock) -> None:
    """CAPTCHA_TTL seconds after acceptance, to the second."""
    sign_up = make_captcha()
    frozen_clock.move(seconds=599)
    with pytest.raises(CodeMismatch):
        prove(sign_up, wrong(sign_up))
    frozen_clock.move(seconds=1)
    with pytest.raises(CodeExpired):
        prove(sign_up, right(sign_up))
    assert guesses() == 1


def test_a_longer_code_has_all_of_its_tries(settings) -> None:
    """Its owner used none of those that a stranger took from the short one."""
    settings.LIMIT_GUESSES_ADDRESS = [(1, 8)]
    sign_up = make_captcha()
    with pytest.raises(CodeMismatch):
        prove(sign_up, wrong(sign_up))
    assert services.lengthen(sign_up=sign_up)
    row = CaptchaModel.objects.get()
    assert (row.length, row.attempts) == (8, 0)
    CaptchaModel.objects.update(attempts=3)
    assert not services.lengthen(sign_up=CaptchaModel.objects.get())  # two short codes came at once
    assert CaptchaModel.objects.get().attempts == 3


def test_before_any_acceptance_nothing_is_counted() -> None:
    """Not even the right code is right."""
    sign_up = make_captcha(accepted=False)
    with pytest.raises(CodeMismatch) as refusal:
        prove(sign_up, right(sign_up))
    assert refusal.value.attempts_left is None
    assert guesses() == 0


def test_another_address_is_a_mismatch_uncounted(frozen_clock: FrozenClock) -> None:
    """Neither the handle nor the link of Alice speaks for Bob, nor do they say that her code has expired."""
    sign_up = make_captcha()
    for _ in range(2):
        for proof in ("", codes.proof_of(sign_up)):
            with pytest.raises(CodeMismatch):
                prove(sign_up, right(sign_up), address=BOB, proof=proof)
        frozen_clock.move(seconds=600)
    assert guesses() == guesses(BOB) == 0


@pytest.mark.parametrize("lost", ["redeemed", "old"])
def test_a_lost_handle_is_refused(frozen_clock: FrozenClock, lost: str) -> None:
    """Redeemed, or older than a day; the proof does not help."""
    sign_up = make_captcha()
    code, proof = right(sign_up), codes.proof_of(sign_up)
    prove(sign_up, code)
    if lost == "redeemed":
        assert services.redeem(sign_up=sign_up)
        sign_up.refresh_from_db()
    if lost == "old":
        frozen_clock.move(days=1)
    for held in ("", proof):
        with pytest.raises(HandleLost):
            prove(sign_up, code, proof=held)


def test_no_value_is_right_for_a_decoy(frozen_clock: FrozenClock) -> None:
    """It behaves as any other: wrong, used up, expired."""
    sign_up = make_captcha(decoy=True)
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(CodeMismatch) as refusal:
            prove(sign_up, right(sign_up))
        assert refusal.value.attempts_left == left
    with pytest.raises(TooManyAttempts):
        prove(sign_up, right(sign_up))
    with pytest.raises(TooManyAttempts):
        prove(sign_up, "", proof=codes.proof_of(sign_up))
    frozen_clock.move(seconds=600)
    with pytest.raises(CodeExpired):
        prove(sign_up, right(sign_up))


def test_the_link_proves_even_when_tries_are_used_up(frozen_clock: FrozenClock) -> None:
    """A stranger who spent the tries does not lock the owner out."""
    sign_up = make_captcha()
    CaptchaModel.objects.update(attempts=5)
    sign_up.refresh_from_db()
    prove(sign_up, "", proof=codes.proof_of(sign_up))
    sign_up.refresh_from_db()
    assert sign_up.proven_by == "link"


@pytest.mark.parametrize("proof", ["", "x" * 32, "-"])
def test_a_forged_link_proves_nothing(proof: str) -> None:
    """It is as good as none: the code is needed."""
    sign_up = make_captcha()
    with pytest.raises(CodeMismatch):
        prove(sign_up, wrong(sign_up), proof=proof)


def test_an_expired_link_proves_nothing(frozen_clock: FrozenClock) -> None:
    """It expires with the code."""
    sign_up = make_captcha()
    frozen_clock.move(seconds=600)
    with pytest.raises(CodeExpired):
        prove(sign_up, "", proof=codes.proof_of(sign_up))


def test_a_proof_is_redeemed_once() -> None:
    """And only a proof."""
    sign_up = make_captcha()
    assert not services.redeem(sign_up=sign_up)
    prove(sign_up, right(sign_up))
    assert services.redeem(sign_up=sign_up)
    assert not services.redeem(sign_up=sign_up)
    services.void(handle=sign_up.handle)  # "this wasn't me", too late: the account is there
    assert CaptchaModel.objects.get().is_finished


def test_a_rotated_key_still_verifies(settings) -> None:
    """A code made under a fallback key is right, and so is its link."""
    sign_up = make_captcha()
    code, link = right(sign_up), codes.proof_of(sign_up)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key"
    assert right(sign_up) == code
    assert codes.proof_of(sign_up) == link
    prove(sign_up, code)


def test_a_code_verifies_under_the_key_that_made_it_alone(settings) -> None:
    """A code that another of our keys would make is not right; ten digits, so that chance makes no twins."""
    settings.CAPTCHA_LENGTH = 10
    sign_up = make_captcha()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key"
    other = make_captcha()
    CaptchaModel.objects.filter(pk=other.pk).update(nonce=sign_up.nonce)
    other.refresh_from_db()
    assert right(other) != right(sign_up)


def test_a_key_that_is_gone_expires_its_codes(settings, frozen_clock: FrozenClock) -> None:
    """The visitor gets a new code; nothing breaks."""
    sign_up = make_captcha()
    settings.SECRET_KEY = "another-key"
    with pytest.raises(CodeExpired):
        prove(sign_up, "1234")
    frozen_clock.move(seconds=60)
    assert services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    assert codes.key_of(sign_up)


def test_a_resend_within_the_cooldown_has_to_wait(frozen_clock: FrozenClock) -> None:
    """It says how long, rounded up."""
    sign_up = make_captcha()
    frozen_clock.move(seconds=59.5)
    with pytest.raises(ResendTooSoon) as refusal:
        services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    assert refusal.value.retry_after == 1


def test_a_resend_keeps_a_valid_code_and_renews_its_lifetime(frozen_clock: FrozenClock) -> None:
    """Once the new mail is accepted."""
    sign_up = make_captcha()
    code = right(sign_up)
    frozen_clock.move(seconds=500)
    assert not services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    services.accept(mails=[(sign_up.pk, 1)], at=frozen_clock.now())
    frozen_clock.move(seconds=500)
    prove(CaptchaModel.objects.get(), code)


def test_a_resend_gives_a_valid_code_no_new_tries(frozen_clock: FrozenClock) -> None:
    """All mails of a code share them."""
    sign_up = make_captcha()
    with pytest.raises(CodeMismatch):
        prove(sign_up, wrong(sign_up))
    frozen_clock.move(seconds=60)
    assert not services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    assert CaptchaModel.objects.get().attempts == 1


def test_a_resend_replaces_a_code_that_became_too_short(frozen_clock: FrozenClock, settings) -> None:
    """By a longer one of the same generation, whose tries are counted anew."""
    settings.LIMIT_GUESSES_ADDRESS = [(1, 8)]
    sign_up = make_captcha()
    with pytest.raises(CodeMismatch):
        prove(sign_up, wrong(sign_up))
    frozen_clock.move(seconds=60)
    assert services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    row = CaptchaModel.objects.get()
    assert (row.generation, row.length, row.attempts) == (1, 8, 0)


def test_the_lifetime_of_a_code_is_capped(frozen_clock: FrozenClock) -> None:
    """CAPTCHA_MAX_LIFETIME after the first acceptance, however often it is mailed."""
    sign_up = make_captcha()
    start = frozen_clock.now()
    for _ in range(4):
        frozen_clock.move(seconds=420)
        services.accept(mails=[(sign_up.pk, 1)], at=frozen_clock.now())
    sign_up.refresh_from_db()
    assert (sign_up.expires_at - start).total_seconds() == 1800


@pytest.mark.parametrize("reason", ["expired", "used up"])
def test_a_resend_replaces_a_code_that_is_no_longer_valid(frozen_clock: FrozenClock, reason: str) -> None:
    """A new generation: new code, no tries counted, the old code is wrong."""
    sign_up = make_captcha()
    old_code, old_link = right(sign_up), codes.proof_of(sign_up)
    frozen_clock.move(seconds=600 if reason == "expired" else 60)
    sign_up.attempts = 5
    assert services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    sign_up = CaptchaModel.objects.get()
    assert (sign_up.generation, sign_up.attempts, sign_up.expires_at) == (2, 0, None)
    assert codes.proof_of(sign_up) != old_link
    services.accept(mails=[(sign_up.pk, 1)], at=frozen_clock.now())  # the old mail, late
    sign_up.refresh_from_db()
    assert sign_up.expires_at is None
    services.accept(mails=[(sign_up.pk, 2)], at=frozen_clock.now())
    sign_up.refresh_from_db()
    if old_code != right(sign_up):
        with pytest.raises(CodeMismatch):
            prove(sign_up, old_code)


def test_a_link_outlives_its_code_until_the_next_one_expires(frozen_clock: FrozenClock) -> None:
    """Else whoever uses up the tries of each code could keep the mailbox's owner out."""
    sign_up, links = make_captcha(), []
    for generation in (2, 3):
        links.append(codes.proof_of(sign_up))
        sign_up.attempts = 5
        services.renew(sign_up=sign_up, decoy=False, in_flight=False, by_visitor=False)
        assert all(services.holds_proof(sign_up, proof=link) for link in links)
        services.accept(mails=[(sign_up.pk, generation)], at=frozen_clock.now())
        sign_up.refresh_from_db()
        assert all(services.holds_proof(sign_up, proof=link) for link in links)
    frozen_clock.move(seconds=600)
    assert not any(services.holds_proof(sign_up, proof=link) for link in links)


def test_a_link_outlives_its_code_over_a_rotation_of_the_key(settings) -> None:
    """The new code is made by the new key."""
    sign_up = make_captcha()
    link = codes.proof_of(sign_up)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-key" * 5
    sign_up.attempts = 5
    services.renew(sign_up=sign_up, decoy=False, in_flight=False, by_visitor=False)
    assert services.holds_proof(sign_up, proof=link)
    settings.SECRET_KEY_FALLBACKS = []
    assert not services.holds_proof(sign_up, proof=link)


def test_a_link_proves_while_a_stranger_asks_for_a_new_code(frozen_clock: FrozenClock) -> None:
    """Between the reading of the request and the writing of its proof."""
    sign_up = make_captcha()
    link = codes.proof_of(sign_up)
    stale = CaptchaModel.objects.get()
    sign_up.attempts = 5
    services.renew(sign_up=sign_up, decoy=False, in_flight=False, by_visitor=False)
    prove(stale, "", proof=link)
    assert services.redeem(sign_up=stale)


def test_a_new_code_is_closed_until_its_own_mail_is_sent() -> None:
    """The send of the former one opens nothing: nobody can have read the new code, so no guess at it counts."""
    sign_up = make_captcha(accepted=False)
    with transaction.atomic():
        services.begin_send(sign_ups=[sign_up], at=clock.now())
    services.accept(mails=[(sign_up.pk, 1)], at=clock.now())
    CaptchaModel.objects.update(attempts=settings.CAPTCHA_MAX_ATTEMPTS)
    assert services.renew(sign_up=CaptchaModel.objects.get(), decoy=False, in_flight=False)
    renewed = CaptchaModel.objects.get()
    assert (renewed.generation, state_of(renewed)) == (2, State.WAITING)


def test_a_code_in_a_mailbox_is_right_though_the_address_has_an_account_by_now(frozen_clock: FrozenClock) -> None:
    """The mail is sent once more, with that code; only another code would be a decoy's."""
    sign_up = make_captcha()
    frozen_clock.move(seconds=60)
    assert not services.renew(sign_up=sign_up, decoy=True, in_flight=False)
    prove(CaptchaModel.objects.get(), right(sign_up))
    sign_up.attempts = settings.CAPTCHA_MAX_ATTEMPTS
    assert services.renew(sign_up=sign_up, decoy=True, in_flight=False, by_visitor=False)
    assert CaptchaModel.objects.get().decoy


def test_an_expired_code_stays_while_its_mail_is_in_flight(frozen_clock: FrozenClock) -> None:
    """Else that mail would bring a code that is already replaced."""
    sign_up = make_captcha()
    frozen_clock.move(seconds=600)
    assert not services.renew(sign_up=sign_up, decoy=False, in_flight=True)


def test_wrong_guesses_of_an_address_carry_over(frozen_clock: FrozenClock) -> None:
    """Resending and asking anew reset the tries of a code, never those of the address."""
    sign_up = make_captcha()
    for _ in range(5):
        with pytest.raises(CodeMismatch):
            prove(sign_up, wrong(sign_up))
    frozen_clock.move(seconds=60)
    services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    other = make_captcha()
    with pytest.raises(CodeMismatch):
        prove(other, wrong(other))
    assert guesses() == 6


def test_guesses_are_forgotten_after_a_day(frozen_clock: FrozenClock) -> None:
    """A rolling window of 24 hours."""
    sign_up = make_captcha()
    with pytest.raises(CodeMismatch):
        prove(sign_up, wrong(sign_up))
    frozen_clock.move(hours=24)
    other = make_captcha()
    with pytest.raises(CodeMismatch):
        prove(other, wrong(other))
    assert guesses() == 1


def test_by_handles_keeps_the_order_and_leaves_out_the_lost(frozen_clock: FrozenClock) -> None:
    """Unknown handles, forged ones included, are not there."""
    first, second = make_captcha(), make_captcha(BOB)
    found = CaptchaModel.objects.by_handles([second.handle, "forged", first.handle])
    assert found == [second, first]
    frozen_clock.move(days=1)
    assert CaptchaModel.objects.by_handles([first.handle]) == []
    assert CaptchaModel.objects.by_handles([]) == []


def test_a_parallel_proof_is_as_good() -> None:
    """Two posts of the right code at once: the slower one gets the proof, not an error."""
    sign_up = make_captcha()
    slower = CaptchaModel.objects.get()
    prove(sign_up, right(sign_up))
    prove(slower, right(sign_up))
    assert guesses() == 0


def test_a_generation_that_came_between_is_a_mismatch(frozen_clock: FrozenClock) -> None:
    """The code of the old one is not compared with the new one's."""
    sign_up = make_captcha()
    stale = CaptchaModel.objects.get()
    frozen_clock.move(seconds=60)
    sign_up.attempts = 5
    services.renew(sign_up=sign_up, decoy=False, in_flight=False)
    services.accept(mails=[(sign_up.pk, 2)], at=frozen_clock.now())
    with pytest.raises(CodeMismatch):
        prove(stale, right(stale))


@pytest.mark.parametrize("columns", [{"generation": 2}, {"length": 8, "attempts": 0}], ids=["replaced", "lengthened"])
def test_a_right_code_whose_row_changes_as_it_is_compared_is_no_error(monkeypatch, columns: dict[str, int]) -> None:
    """By a resend: a new generation is not proven by the former code; the tries of a longer code do not go below 0."""
    sign_up, compare = make_captcha(), codes.same

    def changing(*args: str) -> bool:
        CaptchaModel.objects.update(**columns)
        return compare(*args)

    monkeypatch.setattr(codes, "same", changing)
    prove(sign_up, right(sign_up))
    row = CaptchaModel.objects.get()
    assert (row.proven_at is None) == ("generation" in columns)
    assert row.attempts == (1 if "generation" in columns else 0)


def test_the_site_counts_wrong_codes_alone(settings) -> None:
    """Each once, in its own hour, and no right one."""
    settings.LIMIT_GUESSES_SITE = [(100, 6)]
    sign_up = make_captcha()
    SiteGuesses.objects.create(hour=clock.now() - timedelta(hours=2), guesses=7)
    for number in (1, 2):
        with pytest.raises(CodeMismatch):
            prove(sign_up, wrong(sign_up))
        prove(sign_up, right(sign_up))
        assert list(SiteGuesses.objects.order_by("hour").values_list("guesses", flat=True)) == [7, number]


def test_no_answer_before_the_site_has_counted_a_wrong_code(monkeypatch) -> None:
    """The request fails instead; the address has counted the guess."""
    monkeypatch.setattr(services.guess_limits, "count_for_site", Mock(side_effect=OperationalError))
    sign_up = make_captcha()
    with pytest.raises(OperationalError):
        prove(sign_up, wrong(sign_up))
    assert guesses() == 1
    assert CaptchaModel.objects.get().attempts == 1


def test_a_right_code_is_not_called_wrong_while_others_hold_all_tries(settings) -> None:
    """One that was replaced meanwhile is. Neither counts as a guess."""
    sign_up = make_captcha()
    CaptchaModel.objects.update(attempts=settings.CAPTCHA_MAX_ATTEMPTS)  # after this copy of the row was read
    with pytest.raises(TooManyAttempts):
        prove(sign_up, right(sign_up))
    CaptchaModel.objects.update(attempts=0)
    sign_up = CaptchaModel.objects.get()
    CaptchaModel.objects.update(generation=2)
    with pytest.raises(CodeMismatch):
        prove(sign_up, right(sign_up))
    assert guesses() == 0
    assert CaptchaModel.objects.get().attempts == 0


def test_no_service_changes_another_request(frozen_clock: FrozenClock) -> None:
    """Of the same address or of another, whose mail waits, is being sent, or was accepted."""
    others = [make_captcha(address, accepted=accepted) for address in (ALICE, BOB) for accepted in (False, True)]
    sent = [make_captcha(address, accepted=False) for address in (ALICE, BOB)]
    by_code, by_link, disowned = mine = [make_captcha(accepted=False) for _ in range(3)]
    with transaction.atomic():
        services.begin_send(sign_ups=[*mine, *sent], at=clock.now())
        services.call_off_sends(sign_ups=mine)
        before = list(CaptchaModel.objects.exclude(pk__in=[each.pk for each in mine]).order_by("pk").values())
        assert [row["mailed_at"] is not None for row in before] == [each in sent for each in (*others, *sent)]
        services.begin_send(sign_ups=mine, at=clock.now())
    frozen_clock.move(seconds=1)
    services.accept(mails=[(each.pk, 1) for each in mine], at=clock.now())
    with pytest.raises(CodeMismatch):
        prove(CaptchaModel.objects.get(pk=by_code.pk), wrong(by_code))
    prove(CaptchaModel.objects.get(pk=by_code.pk), right(by_code))
    prove(CaptchaModel.objects.get(pk=by_link.pk), "", proof=codes.proof_of(by_link))
    services.redeem(sign_up=by_code)
    services.void(handle=disowned.handle)
    assert list(CaptchaModel.objects.exclude(pk__in=[each.pk for each in mine]).order_by("pk").values()) == before
