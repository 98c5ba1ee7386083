"""The state of a sign-up, on its page and in its status."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client

from core import clock
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_delivery, make_user, right, text_of
from tests.signup.test_views import accept, ask, verify
from verification import codes
from verification.models import AddressGuesses, CaptchaModel
from worker.models import Delivery

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("seconds", "text"), [(3, "Sent 3 s ago"), (59, "Sent 59 s ago"), (185, "Sent 3 min ago")])
def test_the_page_says_when_the_mail_left(client: Client, frozen_clock: FrozenClock, seconds: int, text: str) -> None:
    """By the server's clock."""
    ask(client)
    Delivery.objects.update(state="sent", sent_at=frozen_clock.now())
    frozen_clock.move(seconds=seconds)
    assert text in text_of(client.get("/signup/verify/"))


def test_the_script_reads_numbers_whatever_the_form_of_numbers_in_texts(client: Client, settings) -> None:
    """A project's own: "1,800" is no number of seconds."""
    settings.USE_THOUSAND_SEPARATOR, settings.CAPTCHA_TTL, settings.RESEND_COOLDOWN = True, 1_800, 3_600
    client.post("/signup/", {"email": ALICE})
    page = text_of(client.get("/signup/verify/"))
    assert 'data-left="1800"' in page
    assert re.search(r'data-resend="3[56]\d\d"', page)
    accept()
    Delivery.objects.update(state="sent", sent_at=clock.now() - timedelta(seconds=1_500))
    assert 'data-ago="150' in text_of(client.get("/signup/verify/"))


@pytest.mark.parametrize(
    ("columns", "text"), [({"state": "failed"}, "Not delivered"), ({"attempts": 1}, "Delayed"), ({}, "On its way")]
)
def test_a_word_names_the_state_of_the_mail(client: Client, columns: dict, text: str) -> None:
    """Beside the sentence."""
    ask(client)
    Delivery.objects.update(**columns)
    assert text in text_of(client.get("/signup/verify/"))


def test_a_code_whose_key_is_gone_has_expired(client: Client, settings) -> None:
    """For a browser that came back while the key was a fallback; the new code has a reference, the old one none."""
    ask(client)
    token = codes.link_token(CaptchaModel.objects.get())
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = (
        [settings.SECRET_KEY],
        "another-key-that-only-tests-know-0123456789",
    )
    ask(client)
    settings.SECRET_KEY_FALLBACKS = []
    page = text_of(client.get(f"/signup/link/{token}/", follow=True))
    assert "That code has expired. Get a new code" in page
    assert "reference" not in page
    page = text_of(client.post("/signup/resend/", {"email": ALICE}, follow=True))
    assert f"reference {codes.reference_of(CaptchaModel.objects.get())}" in page


def test_a_link_whose_key_is_gone_begins_anew(client: Client, settings) -> None:
    """In a browser that holds nothing."""
    ask(client)
    token = codes.link_token(CaptchaModel.objects.get())
    settings.SECRET_KEY = "another-key-that-only-tests-know-0123456789"
    assert "Your sign-up timed out. Start again" in text_of(Client().get(f"/signup/link/{token}/", follow=True))


MAILBOX = {"state": "failed", "last_reply": "550 5.1.1 no such user", "cause": "mailbox"}
CONTENT = {"state": "failed", "last_reply": "554 DT:SPM", "cause": "content"}
RATE = {"attempts": 1, "last_reply": "550 Connection frequency limited", "cause": "rate"}
RETURNED = {"state": "bounced", "last_reply": "550 5.1.1 no such user", "cause": "mailbox"}
BACK = f"Our email to {ALICE} came back: that mailbox doesn't exist or can't receive email. Check the address or use another one"
CHECK = f"We couldn't email {ALICE}. Check it or use another address"
NOT_NOW = f"We can't send email to {ALICE} right now. Try again later or use another address"
NEUTRAL = f"We couldn't email {ALICE}. Try again later or use another address"
SLOW = "Email is slow right now. We'll keep trying; you don't need to sign up again"


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize(
    ("columns", "words", "reason"),
    [
        (MAILBOX, CHECK, "mailbox"),
        (CONTENT, NOT_NOW, "site"),
        ({"state": "failed", "last_reply": "554 5.7.1 blocked", "cause": "policy"}, NOT_NOW, "site"),
        ({"state": "failed", "last_reply": "554 5.3.5 oops", "cause": "service"}, NOT_NOW, "site"),
        (RATE, NOT_NOW, "site"),
        ({**RATE, "state": "failed"}, NOT_NOW, "site"),
        ({"state": "failed", "last_reply": "550 no", "cause": "unclear"}, NEUTRAL, "unclear"),
        ({"state": "failed", "last_reply": "TimeoutError"}, NEUTRAL, "unclear"),
        ({"attempts": 1, "last_reply": "450 4.7.1 greylisted", "cause": "rate"}, SLOW, None),
        (RETURNED, BACK, "mailbox"),
        ({**RETURNED, "last_reply": "554 5.7.1 spam", "cause": "reputation"}, NOT_NOW, "site"),
        ({**RETURNED, "last_reply": "", "cause": ""}, NEUTRAL, "unclear"),
        ({"state": "expired", "last_reply": "suppressed"}, NEUTRAL, "unclear"),
    ],
)
def test_only_a_bad_mailbox_is_told_as_the_visitors(
    client: Client, registered: bool, columns: dict, words: str, reason: str | None
) -> None:
    """Any other refusal says to try again later; alike for a registered address, on the page and in the status."""
    if registered:
        make_user()
    ask(client)
    Delivery.objects.update(**columns)
    page = text_of(client.get("/signup/verify/"))
    assert [each for each in (CHECK, NOT_NOW, NEUTRAL, SLOW, BACK) if each in page] == [words]
    assert client.get("/signup/status/").json().get("reason") == reason


@pytest.mark.parametrize("code", [code for code, _ in settings.LANGUAGES])
def test_each_refusal_has_its_words_in_every_language(client: Client, code: str) -> None:
    """Four texts, each with the address, and none of them the English one elsewhere."""
    ask(client)
    pages = []
    for columns in (MAILBOX, CONTENT, {"state": "failed", "cause": "unclear"}, RETURNED):
        Delivery.objects.update(**columns)
        page = client.get("/signup/verify/", headers={"Accept-Language": code}).text
        pages.append(re.search(r'<p class="note error">(.*?)</p>', page)[1])
    assert len(set(pages)) == 4
    assert all(ALICE in each for each in pages)
    assert code.startswith("en") or not any("address" in each for each in pages)


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("hours", [0, 1], ids=["code valid", "code expired"])
def test_a_bounced_mail_asks_for_another_address(
    client: Client, frozen_clock: FrozenClock, registered: bool, hours: int
) -> None:
    """As one that failed does: the form for it is open, and there is no field for the code. Alike for a registered address."""
    if registered:
        make_user()
    ask(client)
    Delivery.objects.update(**RETURNED)
    frozen_clock.move(hours=hours)
    page = text_of(client.get("/signup/verify/"))
    assert client.get("/signup/status/").json()["state"] == "bounced"
    assert "<h1>Email not delivered</h1>" in page
    assert BACK in page
    assert '<details class="change" open>' in page
    assert 'name="captcha"' not in page
    assert "has expired" not in page


def test_a_bounced_mails_code_can_still_be_typed(client: Client) -> None:
    """A person who has it got the mail all the same, from a mailbox that passes it on."""
    sign_up = ask(client)
    Delivery.objects.update(**RETURNED)
    assert verify(client, sign_up).headers["Location"] == "/account/"


def test_a_mail_that_is_not_sent_after_a_bounce_asks_for_another_address_too(client: Client) -> None:
    """No mail has brought the code. After an accepted one that did not bounce, the code can still be typed."""
    sign_up = ask(client)
    for first, heading in (("bounced", "Email not delivered"), ("sent", "Enter the code")):
        Delivery.objects.all().delete()
        for state in (first, "expired"):
            Delivery.objects.filter(pk=make_delivery(sign_up).pk).update(state=state)
        assert f"<h1>{heading}</h1>" in text_of(client.get("/signup/verify/"))


def test_a_mail_that_may_have_arrived_still_asks_for_its_code(client: Client) -> None:
    """The mail server fell silent after it, and refused it the next time."""
    ask(client)
    CaptchaModel.objects.update(first_accepted_at=None, expires_at=None, mailed_at=clock.now())
    Delivery.objects.update(**MAILBOX)
    assert "<h1>Enter the code</h1>" in text_of(client.get("/signup/verify/"))
    CaptchaModel.objects.update(mailed_at=None)
    assert "<h1>Email not delivered</h1>" in text_of(client.get("/signup/verify/"))


@pytest.mark.parametrize("registered", [False, True])
def test_a_complaint_is_told_to_nobody(client: Client, frozen_clock: FrozenClock, registered: bool) -> None:
    """Page and status are those of a sent mail."""
    if registered:
        make_user()
    ask(client)
    seen = []
    for state in ("sent", "complained"):
        Delivery.objects.update(state=state, sent_at=frozen_clock.now(), last_reply="abuse")
        page = client.get("/signup/verify/")
        seen.append((text_of(page).replace(str(page.context["csrf_token"]), ""), client.get("/signup/status/").json()))
    assert seen[0] == seen[1]


def test_a_sign_up_proven_elsewhere_says_nothing_of_its_bounce(client: Client) -> None:
    """The code was there. Nor of the mail after it, which then was not sent."""
    sign_up = ask(client)
    Delivery.objects.update(**RETURNED)
    CaptchaModel.objects.update(proven_at=clock.now())
    assert "<h1>Enter the code</h1>" in text_of(client.get("/signup/verify/"))
    Delivery.objects.filter(pk=make_delivery(sign_up).pk).update(state="expired")
    assert "<h1>Enter the code</h1>" in text_of(client.get("/signup/verify/"))


def test_a_proven_sign_up_says_nothing_of_its_mail(client: Client) -> None:
    """It needs none: neither why it failed, nor when one leaves that a limit delays, which a finished sign-up drops."""
    ask(client)
    CaptchaModel.objects.update(proven_at=clock.now())
    for columns in (
        MAILBOX,
        {"state": "pending", "attempts": 0, "next_attempt_at": clock.now() + timedelta(minutes=1)},
    ):
        Delivery.objects.update(**columns)
        assert set(client.get("/signup/status/").json()) == {"state", "sent_at", "resend_after"}


def test_the_reference_is_that_of_the_mail(client: Client) -> None:
    """The same for a registered address."""
    sign_up = ask(client)
    assert f"4 digits, from the email with the reference {codes.reference_of(sign_up)}" in text_of(
        client.get("/signup/verify/")
    )


def test_each_tab_shows_its_own_mail(client: Client, frozen_clock: FrozenClock) -> None:
    """By the reference; an unknown one is ignored."""
    alice, bob = ask(client, ALICE), ask(client, BOB)
    Delivery.objects.filter(recipient=ALICE).update(state="failed")
    states = {}
    for name, sign_up in (("alice", alice), ("bob", bob), ("stranger", make_captcha("carol@example.com"))):
        path = f"?ref={codes.reference_of(sign_up)}"
        states[name] = client.get(f"/signup/status/{path}").json()["state"]
        address = ALICE if name == "alice" else BOB
        assert f'name="email" value="{address}"' in text_of(client.get(f"/signup/verify/{path}"))
    assert states == {"alice": "failed", "bob": "queued", "stranger": "queued"}


def test_the_page_says_how_many_tries_are_left(client: Client) -> None:
    """After the first wrong one; if the field has an error, that says it."""
    sign_up = ask(client)
    assert "more times" not in text_of(client.get("/signup/verify/"))
    CaptchaModel.objects.update(attempts=2)
    assert "You can try 3 more times" in text_of(client.get("/signup/verify/"))
    assert text_of(verify(client, sign_up, captcha="x")).count("more times") == 0


@pytest.fixture
def tiers(settings) -> None:
    settings.LIMIT_GUESSES_ADDRESS = [(9, 8), (100, None)]


def guessed(number: int) -> None:
    """So many wrong codes were typed for Alice's address."""
    AddressGuesses.objects.create(address=ALICE, guesses=[clock.now().timestamp()] * number)


@pytest.mark.parametrize("registered", [False, True])
def test_the_page_says_that_the_code_is_longer(client: Client, tiers: None, registered: bool) -> None:
    """At each view once it was sent, also for a decoy; the field then needs as many digits, and the script waits for them."""
    if registered:
        make_user()
    sign_up = ask(client)
    words = f"For your safety we've sent a longer code to {ALICE}. It has 8 digits and expires in 10 minutes"
    assert words not in text_of(client.get("/signup/verify/"))
    guessed(9)
    longer = client.post("/signup/verify/", {"email": ALICE, "captcha": right(sign_up)})
    assert 'data-digits="8"' in text_of(longer)
    assert "For your safety we've sent a longer code" in text_of(longer)
    assert f"We're sending a 8-digit code to {ALICE}" in text_of(longer)
    Delivery.objects.update(state="sent")
    assert words in text_of(client.get("/signup/verify/"))
    assert "The code must be 8 digits" in text_of(verify(client, sign_up))


@pytest.mark.parametrize("attempts", [0, 5])
def test_the_page_has_no_code_field_when_only_the_link_proves(client: Client, tiers: None, attempts: int) -> None:
    """It refers to the link at each view. After opening the link everything goes on as usual."""
    sign_up = ask(client)
    guessed(100)
    CaptchaModel.objects.update(attempts=attempts)
    link_alone = client.get("/signup/verify/"), verify(client, sign_up)
    CaptchaModel.objects.update(proven_at=clock.now())  # by another browser
    for page in (*link_alone, client.get("/signup/verify/")):
        assert "<h1>Open the link in the email to continue</h1>" in text_of(page)
        assert "It is in the email to alice@example.com and expires in 10 minutes" in text_of(page)
        assert 'name="captcha"' not in text_of(page)
    proven = client.get(f"/signup/link/{codes.link_token(sign_up)}/", follow=True)
    assert "Choose a username and password</h1>" in text_of(proven)
    assert 'name="username"' in text_of(proven)
    assert "Enter a username" in text_of(verify(client, sign_up, captcha="", username=""))
    assert verify(client, sign_up, captcha="").status_code == 303


def test_the_page_of_an_expired_link_offers_a_new_mail(client: Client, tiers: None, frozen_clock: FrozenClock) -> None:
    """The link expires with the code."""
    ask(client)
    guessed(100)
    frozen_clock.move(minutes=11)
    page = text_of(client.get("/signup/verify/"))
    assert "Open the link" not in page
    assert '">Get a new code</button>' in page


@pytest.mark.parametrize(("minutes", "attempts"), [(11, 0), (1, 5)])
def test_the_page_of_an_expired_or_used_up_code_offers_a_new_one(
    client: Client, frozen_clock: FrozenClock, minutes: int, attempts: int
) -> None:
    """Without a wait."""
    ask(client)
    CaptchaModel.objects.update(attempts=attempts)
    frozen_clock.move(minutes=minutes)
    assert '">Get a new code</button>' in text_of(client.get("/signup/verify/"))


def test_a_link_opened_elsewhere_says_to_go_on_here(client: Client) -> None:
    """The browser that began the sign-up shows no such message."""
    sign_up = ask(client)
    path = f"/signup/link/{codes.link_token(sign_up)}/"
    words = "You can finish here and close the page where you began"
    assert words not in text_of(client.get(path, follow=True))
    assert words in text_of(Client().get(path, follow=True))
