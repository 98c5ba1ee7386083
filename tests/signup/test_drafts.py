"""A form keeps its typed values over a change of language or address, except for the password."""

import random
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import pytest
import time_machine
from django.core import signing
from django.test import Client

from signup import visitor
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, make_user, text_of
from verification.models import AddressGuesses, CaptchaModel
from worker.models import Delivery

pytestmark = pytest.mark.django_db

TYPED = {"email": ALICE, "captcha": "12 34", "username": "alice", "password": PASSWORD, "next": "/shop/"}


def switch(client: Client, page: str, **fields: str):
    return client.post(f"/i18n/setlang/?next={page}", {"language": "zh-hant", **fields})


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("/signup/", {ALICE}),
        ("/signup/verify/", {ALICE, "12 34"}),
        ("/login/", {"alice"}),
        ("/password-reset/", {ALICE}),
    ],
)
def test_switching_the_language_keeps_what_was_typed(client: Client, page: str, kept: set[str]) -> None:
    """Except for the password, which is in no cookie. The page shows the draft once."""
    make_user("taken", BOB)
    client.post("/signup/", {"email": ALICE})
    answer = switch(client, page, **TYPED)
    assert answer.headers["Location"] == page
    cookie = client.cookies[visitor.draft_cookie(page).name]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"]) == (True, "Lax", page, 300)
    assert "password" not in signing.loads(cookie.value, salt="doorcode.signup.drafts")
    text = text_of(client.get(page))
    assert 'lang="zh-hant"' in text
    assert all(f'value="{value}"' in text for value in kept)
    assert PASSWORD not in text
    gone = client.cookies[visitor.draft_cookie(page).name]
    assert (gone.value, gone["path"]) == ("", page)  # a browser deletes the cookie of this path alone


def test_the_switch_goes_back_to_its_page_whatever_the_form_says(client: Client) -> None:
    """A sign-up's `next` is for later, and another site's is ignored."""
    assert switch(client, "/signup/%3Fnext%3D/shop/", **TYPED).headers["Location"] == "/signup/?next=/shop/"
    assert switch(client, "//evil.example/", **TYPED).headers["Location"] == "/"
    assert "doorcode_draft" not in str(switch(client, "/nowhere/", **TYPED).cookies)
    assert "doorcode_draft" not in str(switch(client, "/account/", **TYPED).cookies)
    assert client.post("/i18n/setlang/", {"language": "en", "next": "/login/"}).headers["Location"] == "/login/"


@pytest.mark.parametrize(
    ("draft", "salt"),
    [("text", "doorcode.signup.drafts"), ({"email": ALICE}, "django.core.signing")],
    ids=["not a draft", "another salt"],
)
def test_a_draft_with_another_signature_or_shape_is_ignored(client: Client, draft: object, salt: str) -> None:
    """Signed by this site, but not as a draft."""
    client.cookies["doorcode_draft-signup"] = signing.dumps(draft, salt=salt)
    assert ALICE not in text_of(client.get("/signup/"))


def test_a_draft_is_read_for_five_minutes(client: Client) -> None:
    """Its signature has the time, so a browser that keeps the cookie for longer gains nothing."""
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False) as wall_clock:
        switch(client, "/login/", **TYPED)
        name = visitor.draft_cookie("/login/").name
        cookie = client.cookies[name].value
        for seconds, shown in ((300, True), (1, False)):
            wall_clock.shift(seconds)
            browser = Client()
            browser.cookies[name] = cookie
            assert ('value="alice"' in text_of(browser.get("/login/"))) is shown


def test_a_forged_draft_is_ignored(client: Client) -> None:
    """No signature at all."""
    client.cookies["doorcode_draft-signup"] = "x"
    assert client.get("/signup/").status_code == 200


def test_a_draft_is_short(client: Client) -> None:
    """A cookie holds 4 KiB: one text that is too long, or several, are not kept."""
    dice = random.Random(1)
    noise = {field: "".join(map(chr, dice.choices(range(0x4E00, 0x9000), k=254))) for field in visitor.DRAFT_FIELDS}
    assert "doorcode_draft" not in str(switch(client, "/signup/", **noise).cookies)
    assert "doorcode_draft" not in str(switch(client, "/signup/", email="a" * 255).cookies)


def test_the_tab_of_an_older_request_keeps_its_address(client: Client) -> None:
    """With two requests in one browser, the page in the new language is about the one of the old page."""
    client.post("/signup/", {"email": ALICE})
    client.post("/signup/", {"email": BOB})
    switch(client, "/signup/verify/", email=ALICE, username="alice")
    assert f'name="email" value="{ALICE}"' in text_of(client.get("/signup/verify/"))


@pytest.mark.parametrize("field", ["new_email", "suggested"])
def test_the_address_changes_in_place(client: Client, field: str) -> None:
    """By the button, or by one click on the correction; the old request stays."""
    client.post("/signup/", {"email": "alice@qq.con", "next": "/shop/"})
    assert "Did you mean alice@qq.com?" in text_of(client.get("/signup/verify/"))
    answer = client.post("/signup/change/", {**TYPED, "email": "alice@qq.con", "new_email": "", field: "alice@qq.com"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/verify/")
    page = text_of(client.get("/signup/verify/"))
    assert 'name="email" value="alice@qq.com"' in page
    assert PASSWORD not in page
    assert "Did you mean" not in page
    entries = signing.loads(client.cookies["doorcode_signup"].value, salt="doorcode.signup.handles")
    newest = list(CaptchaModel.objects.order_by("-pk").values_list("handle", flat=True))
    assert [(handle, after) for handle, _, after, _ in entries] == [(handle, "/shop/") for handle in newest]


def test_the_main_button_sends_no_code_to_another_address(client: Client) -> None:
    """The field of another address is in a form of its own: a browser may fill it in where nobody sees it."""
    client.post("/signup/", {"email": ALICE})
    page = client.post("/signup/verify/", {**TYPED, "new_email": BOB})
    assert page.status_code == 400
    assert not CaptchaModel.objects.filter(address=BOB).exists()


def test_a_bad_new_address_is_an_error_at_its_field(client: Client) -> None:
    """The typed text is kept, and the field is open."""
    client.post("/signup/", {"email": ALICE})
    page = client.post("/signup/change/", {**TYPED, "new_email": "alice@"})
    text = text_of(page)
    assert page.status_code == 400
    assert 'href="#id_new_email">Enter an email address in the correct format' in text
    assert "<title>Error: " in text
    assert '<details class="change" open>' in text
    assert 'value="alice@"' in text
    assert PASSWORD not in text


def test_limits_carry_over(client: Client, frozen_clock: FrozenClock) -> None:
    """Changing the address and changing it back gives no other mail and no more tries."""
    client.post("/signup/", {"email": ALICE})
    now = frozen_clock.now()
    CaptchaModel.objects.update(attempts=3, expires_at=now + timedelta(minutes=10), first_accepted_at=now)
    AddressGuesses.objects.create(address=ALICE, guesses=[now.timestamp()] * 3)
    Delivery.objects.update(state="sent")
    client.post("/signup/change/", {"email": ALICE, "new_email": BOB})
    client.post("/signup/change/", {"email": BOB, "new_email": ALICE})
    assert Delivery.objects.filter(recipient=ALICE).count() == 1
    assert "You can try 2 more times" in text_of(client.get("/signup/verify/"))
    assert len(AddressGuesses.objects.get().guesses) == 3


def test_a_double_click_changes_once(client: Client) -> None:
    """Both posts lead to one request."""
    client.get("/signup/")
    client.post("/signup/", {"email": ALICE})
    twin = Client()
    twin.cookies = SimpleCookie({name: cookie.value for name, cookie in client.cookies.items()})
    for browser in (client, twin):
        browser.post("/signup/change/", {"email": ALICE, "new_email": BOB})
    assert CaptchaModel.objects.filter(address=BOB).count() == Delivery.objects.filter(recipient=BOB).count() == 1


def test_an_address_changes_only_in_an_open_sign_up(client: Client, settings) -> None:
    """Not without a request, not while sign-up is closed, and not on GET."""
    assert client.post("/signup/change/", {"new_email": BOB}).status_code == 400
    assert client.get("/signup/change/").status_code == 405
    client.post("/signup/", {"email": ALICE})
    settings.SIGNUP_OPEN = False
    assert client.post("/signup/change/", {"new_email": BOB}).status_code == 403
    assert not CaptchaModel.objects.filter(address=BOB).exists()
