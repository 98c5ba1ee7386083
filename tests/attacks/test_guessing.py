"""Guessing codes, one after the other: attacks 9 to 18, and 69. Parallel ones are in test_races.py."""

from collections import Counter
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from signup.models import User
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_user, right, text_of, wrong
from tests.steps import accept, ask, verify
from verification import codes, guess_limits
from verification.models import AddressGuesses, CaptchaModel
from verification.services import lengthen, prove
from verification.states import CodeExpired, CodeMismatch, CodeTooShort, HandleLost, LinkOnly, TooManyAttempts
from worker import outbox
from worker.models import Delivery

pytestmark = pytest.mark.django_db

Verdict = type[Exception] | str


def verdict(sign_up: CaptchaModel, code: str, *, address: str = "") -> Verdict:
    """The answer to a typed code."""
    sign_up.refresh_from_db()
    try:
        prove(sign_up=sign_up, address=address or sign_up.address, code=code)
    except (HandleLost, CodeMismatch, TooManyAttempts, CodeExpired, CodeTooShort, LinkOnly) as error:
        return type(error)
    return "proven"


@pytest.mark.django_db(transaction=True)
def test_09_the_count_survives_a_failing_request(client: Client, monkeypatch) -> None:
    """A crash right after the comparison takes nothing back: no try is for nothing."""
    sign_up = ask(client)

    def crash(*args: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr("verification.codes.same", crash)
    client.raise_request_exception = False
    assert [verify(client, sign_up).status_code for _ in range(5)] == [500] * 5
    monkeypatch.undo()
    sign_up.refresh_from_db()
    assert sign_up.attempts == 5
    assert len(AddressGuesses.objects.get().guesses) == 5
    assert "Too many wrong codes" in text_of(verify(client, sign_up))


def test_10_resending_gives_no_new_guesses(frozen_clock: FrozenClock, limited) -> None:
    """Wrong × 5, another code, wrong × 5, and so on for a day: nine are compared, then 91 at eight digits, then none."""
    lengths: Counter[int] = Counter()
    for _ in range(24):
        sign_up = make_captcha()
        for _ in range(5):
            before = sign_up.length
            if verdict(sign_up, wrong(sign_up)) is CodeMismatch:
                lengths[before] += 1
        frozen_clock.move(minutes=55)
    assert lengths == {4: 9, 8: 91}
    sign_up = make_captcha()
    assert verdict(sign_up, right(sign_up)) is LinkOnly


TABLE = {
    "waiting": CodeMismatch,
    "another address": CodeMismatch,
    "open": CodeMismatch,
    "exhausted": TooManyAttempts,
    "expired": CodeExpired,
    "redeemed": HandleLost,
    "lengthened": CodeTooShort,
    "link only": LinkOnly,
}


@pytest.mark.parametrize("state", list(TABLE))
@pytest.mark.parametrize("typed", ["wrong", "right", "once right", "decoy"])
def test_11_the_answer_depends_on_the_state_alone(frozen_clock: FrozenClock, limited, state: str, typed: str) -> None:
    """Never on whether the typed code is, was or would be right; an open request alone knows a right one."""
    sign_up = make_captcha(accepted=state != "waiting", decoy=typed == "decoy")
    code = wrong(sign_up) if typed == "wrong" else right(sign_up)
    if typed == "once right" and state not in ("waiting", "open"):
        verdict(sign_up, code)
    _bring(sign_up, state, frozen_clock)
    answer = verdict(sign_up, code, address=BOB if state == "another address" else ALICE)
    is_right = state == "open" and typed in ("right", "once right")
    assert answer == ("proven" if is_right else TABLE[state])


def _bring(sign_up: CaptchaModel, state: str, frozen_clock: FrozenClock) -> None:
    """Put a request, or its address, into a state."""
    if state == "exhausted":
        CaptchaModel.objects.update(attempts=5)
    if state == "expired":
        frozen_clock.move(minutes=10)
    if state == "redeemed":
        CaptchaModel.objects.update(proven_at=frozen_clock.now(), redeemed_at=frozen_clock.now())
    number = {"lengthened": 9, "link only": 100}.get(state, 0)
    AddressGuesses.objects.update_or_create(
        address=sign_up.address, defaults={"guesses": [frozen_clock.now().timestamp()] * number}
    )


def test_12_a_code_fits_its_own_request_alone() -> None:
    """Alice's code at Bob's request, Alice's handle with Bob's address, Alice's code at Alice's other request."""
    other, bob = make_captcha(ALICE), make_captcha(BOB)
    mine = [make_captcha(ALICE) for _ in range(4)]  # that all have the code of another is a chance of 1 in 10^15
    alice = next(each for each in [*mine, None] if each is None or right(each) not in (right(other), right(bob)))
    assert alice, "a code is not its request's own"
    assert verdict(bob, right(alice)) is CodeMismatch
    assert verdict(alice, right(alice), address=BOB) is CodeMismatch
    assert verdict(other, right(alice)) is CodeMismatch
    assert verdict(alice, right(alice)) == "proven"


def test_14_an_empty_redis_forgets_no_guess(client: Client, limited) -> None:
    """Flushed before each post: what protects the codes is in the database."""
    compared = 0
    for _ in range(4):
        client.cookies.clear()
        sign_up = ask(client)
        for _ in range(5):
            cache.clear()
            tries = sign_up.attempts
            verify(client, sign_up, captcha=wrong(sign_up))
            sign_up.refresh_from_db()
            compared += sign_up.length == 4 and sign_up.attempts > tries
    assert compared == 9
    assert len(AddressGuesses.objects.get().guesses) > 9  # the others had eight digits


def test_15_a_burst_at_the_edge_of_a_window_gains_nothing(frozen_clock: FrozenClock, limited) -> None:
    """Nine just before midnight, nine just after, nine a second before the day is over: no 24 hours hold more than 9."""
    frozen_clock.set(frozen_clock.now().replace(hour=23, minute=59, second=59, microsecond=0))
    times = []
    for pause in (0, 2, 3_600 * 24 - 3, 1, 1, 3_600 * 12):
        frozen_clock.move(seconds=pause)
        for _ in range(9):
            try:
                with transaction.atomic():
                    guess_limits.count(address=ALICE, length=4, at=frozen_clock.now())
                times.append(frozen_clock.now())
            except CodeTooShort:
                pass
    day = timedelta(hours=24)
    assert max(sum(start <= each < start + day for each in times) for start in times) == 9
    assert len(times) == 18


def test_16_codes_are_uniform() -> None:
    """Chi-squared of 20,000 codes, over the 10,000 codes and over each digit's place; leading zeros are kept."""
    drawn = [codes.derive_code(key="key", nonce=str(n), address=ALICE, generation=1, length=4) for n in range(20_000)]
    assert {len(code) for code in drawn} == {4}
    counts = Counter(drawn)
    chi_square = sum((counts[f"{n:04}"] - 2) ** 2 / 2 for n in range(10_000))
    assert 9_300 < chi_square < 10_700  # 9,999 degrees of freedom: standard deviation 141
    for place in range(4):
        digits = Counter(code[place] for code in drawn)
        chi_square = sum((digits[str(n)] - 2_000) ** 2 / 2_000 for n in range(10))
        assert chi_square < 33.7  # p = 1e-4 at 9 degrees of freedom


def test_16_a_row_is_not_enough_to_know_its_code() -> None:
    """Twenty rows without their key: of their codes under two keys, some four-digit twins are chance, three are not."""
    row = {"address": ALICE, "generation": 1, "length": 4}
    pairs = [[codes.derive_code(key=key, nonce=str(n), **row) for key in ("ours", "theirs")] for n in range(20)]
    assert sum(ours == theirs for ours, theirs in pairs) < 3
    links = {codes.derive_proof(key=key, handle="h", nonce="n", generation=1) for key in ("ours", "theirs")}
    assert len(links) == 2


def test_17_variants_of_one_mailbox_share_its_mails(frozen_clocks: FrozenClock, limited) -> None:
    """Case, dots, tags and IDN forms: one mail a minute reaches the mailbox, whatever was typed."""
    variants = [
        "victim@gmail.com",
        "VICTIM@GMAIL.COM",
        "v.i.c.t.i.m@gmail.com",
        "victim+1@gmail.com",
        "v.ictim+abc@googlemail.com",
        "ｖｉｃｔｉｍ@gmail.com",
    ]
    for number, address in enumerate(variants):
        answer = Client().post("/signup/", {"email": address}, REMOTE_ADDR=f"10.0.0.{number}")
        assert answer.status_code == 303
    for address in ("victim@bücher.example", "victim@xn--bcher-kva.example", "victim+2@BÜCHER.example"):
        Client().post("/signup/", {"email": address}, REMOTE_ADDR="10.0.0.9")
    assert len(outbox.claim(limit=50)) == 2
    assert Delivery.objects.filter(admitted_at=None).count() == 7


def test_17_a_variant_is_still_somebody_else() -> None:
    """Mailboxes are folded for throttling only: a tag is no identity."""
    make_user("alice", "alice@gmail.com")
    assert User.objects.registered().get().email == "alice@gmail.com"
    client = Client()
    assert ask(client, "alice+work@gmail.com").decoy is False
    assert verify(client, accept(), username="alice2").status_code == 303


@pytest.mark.parametrize("meanwhile", ["lengthened", "lengthened and proven"])
def test_69_a_code_that_is_lengthened_while_it_is_compared_keeps_count(settings, monkeypatch, meanwhile: str) -> None:
    """
    A right code is counted, then replaced by a longer one, then compared: the tries of the longer code began at none,
    and none of them is given back.
    """
    sign_up, same = make_captcha(), codes.same

    def compare(left: str, right: str) -> bool:
        settings.CAPTCHA_LENGTH = 8
        lengthen(sign_up=CaptchaModel.objects.get())
        if "proven" in meanwhile:
            CaptchaModel.objects.update(proven_at=sign_up.created_at)
        return same(left, right)

    monkeypatch.setattr("verification.codes.same", compare)
    assert prove(sign_up=sign_up, address=ALICE, code=right(sign_up))
    sign_up = CaptchaModel.objects.get()
    assert sign_up.proven_at
    assert (sign_up.length, sign_up.attempts) == (8, 0)
    assert AddressGuesses.objects.get().guesses == []
