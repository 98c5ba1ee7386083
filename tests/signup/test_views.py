"""The pages of the journey, by the test client."""

import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import quote

import pytest
from django.core import signing
from django.test import Client

from core import clock
from core.views import slow_down
from signup.models import User
from signup.urls import urlpatterns
from tests.factories import (
    ALICE,
    BOB,
    PASSWORD,
    FrozenClock,
    make_captcha,
    make_pending,
    make_user,
    right,
    text_of,
    wrong,
)
from tests.steps import accept, ask, verify
from verification import codes
from verification import services as verification
from verification.models import CaptchaModel
from verification.states import HandleLost
from worker import suppression
from worker.models import Delivery

pytestmark = pytest.mark.django_db

LOST = "Your sign-up timed out. Start again"


def test_home_redirects(client: Client) -> None:
    """To the sign-up, or to one's account."""
    assert client.get("/").headers["Location"] == "/signup/"
    client.force_login(make_user())
    assert client.get("/").headers["Location"] == "/account/"
    assert client.get("/signup/").headers["Location"] == "/account/"
    assert client.get("/signup/verify/").headers["Location"] == "/account/"


def test_a_site_chooses_the_page_of_people_who_are_signed_in(settings) -> None:
    """Whichever page for others they open, or send once more."""
    settings.LOGIN_REDIRECT_URL = "/shop/"
    client, form = strict("/login/")
    client.force_login(make_user())
    for path in ("/signup/", "/signup/verify/", "/login/"):
        assert client.get(path).headers["Location"] == "/shop/"
        assert client.post(path, form).headers["Location"] == "/shop/"


def test_the_cookie_is_httponly_lax_and_holds_no_address(client: Client) -> None:
    """Signed, for 24 hours."""
    ask(client)
    cookie = client.cookies["doorcode_signup"]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["max-age"]) == ("Lax", 86_400)
    assert "alice" not in str(signing.loads(cookie.value, salt="doorcode.signup.handles"))


def test_a_visitor_gets_no_session_before_the_account(client: Client) -> None:
    """The server stores nothing for a visitor who never comes back."""
    sign_up = ask(client)
    assert "sessionid" not in client.cookies
    assert verify(client, sign_up).headers["Location"] == "/account/"
    assert "sessionid" in client.cookies
    assert client.get("/account/").status_code == 200


def test_the_code_is_in_no_page(client: Client, settings) -> None:
    """Neither before nor after a wrong one. Ten digits are in no page by chance."""
    settings.CAPTCHA_LENGTH = 10
    sign_up = ask(client)
    pages = [client.get("/signup/verify/"), verify(client, sign_up, captcha=wrong(sign_up))]
    for page in pages:
        text = text_of(page)
        assert right(sign_up) not in text
        assert sign_up.nonce not in text


@pytest.mark.parametrize("cookie", ["", "forged", "a:b:c"])
def test_a_lost_or_forged_handle_starts_again(client: Client, cookie: str) -> None:
    """With links to sign up and to sign in."""
    client.cookies["doorcode_signup"] = cookie
    for page in (
        client.get("/signup/verify/"),
        client.post("/signup/verify/", {"captcha": "1234"}),
        client.post("/signup/resend/"),
    ):
        text = text_of(page)
        assert LOST in text
        assert 'href="/signup/"' in text
        assert 'href="/login/"' in text


@pytest.mark.parametrize(
    "rows", ["text", 5, [["a", "b", "c", "d", "e"]], [{}], [[]], [5], [[5]], [["a\x00" * 12, "", ""]]]
)
def test_a_cookie_of_another_shape_is_ignored(client: Client, rows: object) -> None:
    """Signed by this site, as a release with another format might."""
    client.cookies["doorcode_signup"] = signing.dumps(rows, salt="doorcode.signup.handles")
    assert LOST in text_of(client.get("/signup/verify/"))


@pytest.mark.parametrize("how", ["old", "disowned"])
def test_requests_that_are_lost_take_no_room_from_live_ones(
    client: Client, frozen_clock: FrozenClock, how: str
) -> None:
    """Four people proved their mailboxes in this browser and went away; the next one has two tabs."""
    for number in range(4):
        sign_up = ask(client, f"person{number}@example.com")
        verify(client, sign_up, username="")
        if how == "disowned":
            verification.void(handle=sign_up.handle)
    if how == "old":
        CaptchaModel.objects.update(created_at=clock.now() - timedelta(hours=25))
    first, _second = ask(client, ALICE), ask(client, BOB)
    assert verify(client, first).status_code == 303


@pytest.mark.parametrize("path", ["/signup/verify/", "/signup/resend/", "/signup/change/"])
def test_a_stale_tab_of_a_person_who_is_signed_in_leads_to_the_account(client: Client, path: str) -> None:
    """The sign-up was finished in another tab."""
    verify(client, ask(client))
    answer = client.post(path, {"email": ALICE, "new_email": BOB, "captcha": "1234"})
    assert (answer.status_code, answer["Location"]) == (302, "/account/")


def test_a_person_who_is_signed_in_goes_where_the_sign_up_would_lead(client: Client) -> None:
    """As from the sign-in page, so that an app's link "Sign up to join" leads its members there too."""
    client.force_login(make_user())
    assert client.get("/signup/?next=/clubs/join/")["Location"] == "/clubs/join/"
    assert client.get("/signup/?next=https://evil.example/")["Location"] == "/account/"


def test_the_cookie_holds_at_most_five_requests(client: Client) -> None:
    """The newest stay, one for each address."""
    for number in range(7):
        ask(client, f"alice{number}@example.com")
    ask(client, "alice6@example.com")
    entries = signing.loads(client.cookies["doorcode_signup"].value, salt="doorcode.signup.handles")
    newest = CaptchaModel.objects.order_by("-pk").values_list("handle", flat=True)[:5]
    assert [handle for handle, *_ in entries] == list(newest)


def test_a_finished_sign_up_takes_no_place_from_one_that_is_under_way(client: Client) -> None:
    """The cookie holds five requests."""
    finished = ask(client, BOB)
    client.post("/signup/verify/", {"email": BOB, "captcha": right(finished)})
    verify(client, finished, captcha="", username="bob")
    del client.cookies["sessionid"]
    first, *_others = [ask(client, f"alice{number}@example.com") for number in range(5)]
    assert verify(client, first).status_code == 303


@pytest.mark.parametrize(
    ("target", "lands"),
    [
        ("/shop/?a=1", "/shop/?a=1"),
        ("//evil.example", "/account/"),
        ("/\\evil.example", "/account/"),
        ("https://evil.example", "/account/"),
        ("javascript:alert(1)", "/account/"),
        ("shop", "/account/"),
        ("/o/authorize/?a=" + "x" * 900, "/o/authorize/?a=" + "x" * 900),
        ("/" + "x" * 1_100, "/account/"),
        ("/\r\nX: y", "/%0D%0AX:%20y"),
        ("/商店/", "/%E5%95%86%E5%BA%97/"),
        ("", "/account/"),
    ],
)
def test_next_is_kept_if_it_is_a_page_of_this_site(client: Client, target: str, lands: str) -> None:
    """From the first page to the last."""
    sign_up = ask(client, next=target)
    assert verify(client, sign_up).headers["Location"] == lands


def test_a_long_next_is_kept_for_the_newest_request(client: Client) -> None:
    """As of OpenID Connect. No browser would keep a cookie with five of them."""
    for number in range(5):
        sign_up = ask(client, f"alice{number}@example.com", next="/o/authorize/?".ljust(1_024, str(number)))
    assert len(client.cookies["doorcode_signup"].value) <= 3_800
    lands = verify(client, sign_up, email="alice4@example.com").headers["Location"]
    assert lands == "/o/authorize/?".ljust(1_024, "4")


def test_next_is_taken_from_the_link_to_the_page(client: Client) -> None:
    """The form has it."""
    assert 'name="next" value="/shop/"' in text_of(client.get("/signup/?next=/shop/"))


@pytest.mark.parametrize(("path", "other"), [("/login/", "/signup/"), ("/signup/", "/login/")])
def test_next_goes_along_between_sign_in_and_sign_up(client: Client, path: str, other: str) -> None:
    """A site sends its visitors to one of them; which they need, they know themselves."""
    assert f'href="{other}?next=%2Fshop%2F%3Fa%3D1%26b"' in text_of(client.get(f"{path}?next=/shop/%3Fa=1%26b"))
    assert f'href="{other}"' in text_of(client.get(f"{path}?next=//evil.example"))


def test_a_finished_sign_up_leads_to_its_next_page_by_sign_in(client: Client) -> None:
    """As where the mail's link was opened on a phone, and the sign-up finished there."""
    sign_up = ask(client, next="/shop/")
    twin = Client()
    twin.cookies["doorcode_signup"] = client.cookies["doorcode_signup"].value
    verify(client, sign_up)
    assert 'href="/login/?next=%2Fshop%2F"' in text_of(twin.get("/signup/verify/"))


@pytest.mark.parametrize("reason", ["registered", "closed", "lost"])
def test_where_a_sign_up_ends_the_next_page_is_kept(client: Client, settings, monkeypatch, reason: str) -> None:
    """In the link to sign in: the address has an account, the site takes no sign-ups, or another tab was faster."""
    sign_up = ask(client, next="/shop/")
    if reason == "closed":
        settings.SIGNUP_OPEN = False
        page = client.get("/signup/?next=/shop/")
    elif reason == "lost":
        monkeypatch.setattr("signup.services.resend", Mock(side_effect=HandleLost))
        page = client.post("/signup/resend/", {"email": ALICE})
        assert 'href="/signup/?next=%2Fshop%2F"' in text_of(page)
    else:
        twin = Client()
        verify(twin, ask(twin))
        page = verify(client, sign_up, username="alice2")
        assert "This email address is already registered" in text_of(page)
    assert 'href="/login/?next=%2Fshop%2F"' in text_of(page)


def test_the_links_page_changes_nothing_and_hides_the_token(client: Client) -> None:
    """GET and HEAD only set the browser's cookie; POST is not allowed."""
    sign_up = make_captcha()
    url = f"/signup/link/{codes.link_token(sign_up)}/"
    before = CaptchaModel.objects.values().get()
    assert client.head(url).status_code == 303
    answer = client.get(url)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/verify/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert CaptchaModel.objects.values().get() == before
    assert client.post(url).status_code == 405
    page = text_of(client.get("/signup/verify/"))
    assert f"{ALICE} is confirmed" in page
    assert 'name="captcha"' not in page


def test_the_link_registers_on_post(client: Client) -> None:
    """Without a code."""
    make_pending()
    sign_up = make_captcha()
    client.get(f"/signup/link/{codes.link_token(sign_up)}/")
    assert verify(client, sign_up, captcha="").status_code == 303


@pytest.mark.parametrize("token", ["nonsense", "a.b", "." * 50, "x" * 3000, "%00.%0a"])
def test_a_broken_link_starts_again(client: Client, token: str) -> None:
    """However much of the token is left."""
    client.get(f"/signup/link/{token}/")
    assert LOST in text_of(client.get("/signup/verify/"))


def test_a_forged_link_takes_no_proof_away(client: Client) -> None:
    """The visitor who began the request knows its handle and no proof."""
    make_user("taken", BOB)
    sign_up = ask(client)
    verify(client, sign_up, username="taken")
    client.get(f"/signup/link/{sign_up.handle}.{'x' * 32}/")
    assert "is confirmed" in text_of(client.get("/signup/verify/"))
    assert verify(client, sign_up, captcha="").status_code == 303


@pytest.mark.parametrize(
    "fields", [{}, {"username": "taken", "password": PASSWORD}], ids=["alone", "with a taken name"]
)
def test_a_request_that_a_link_brought_is_the_browsers_own_once_its_code_was_typed_there(fields: dict) -> None:
    """Asking again leads back to it, with no other mail."""
    make_user("taken", BOB)
    phone, sign_up = Client(), ask(Client())
    old_link = codes.link_token(sign_up)
    CaptchaModel.objects.update(generation=2)
    sign_up.refresh_from_db()
    phone.get(f"/signup/link/{old_link}/")
    phone.post("/signup/verify/", {"email": ALICE, "captcha": right(sign_up), **fields})
    phone.post("/signup/", {"email": ALICE})
    assert Delivery.objects.count() == 1
    assert "is confirmed" in text_of(phone.get("/signup/verify/"))


def test_a_link_keeps_where_to_go(client: Client) -> None:
    """In the browser that began the sign-up."""
    sign_up = ask(client, next="/shop/")
    client.get(f"/signup/link/{codes.link_token(sign_up)}/")
    assert verify(client, sign_up, captcha="").headers["Location"] == "/shop/"


@pytest.mark.parametrize("way", ["link", "code", "forged link", "stale link"])
def test_a_stranger_cannot_finish_what_the_owner_began(frozen_clock: FrozenClock, way: str) -> None:
    """
    The stranger asked; the owner proved the mailbox and stumbled over a taken name; the stranger gets nothing.

    Even where the stranger lured the owner's browser onto the stranger's own request.
    """
    make_user("taken", BOB)
    stranger, owner = Client(), Client()
    sign_up = ask(stranger)
    proof = codes.proof_of(sign_up)
    if way == "stale link":
        frozen_clock.move(seconds=700)
    if way in ("code", "forged link"):
        owner.cookies["doorcode_signup"] = stranger.cookies["doorcode_signup"].value
    if way != "code":
        owner.get(f"/signup/link/{sign_up.handle}.{'x' * 32 if way == 'forged link' else proof}/")
    if way == "stale link":
        Delivery.objects.update(state="sent")
        assert stranger.post("/signup/resend/").status_code == 303
        sign_up = accept()
    code = "" if way == "link" else right(sign_up)
    assert "That username is taken" in text_of(verify(owner, sign_up, captcha=code, username="taken"))
    assert CaptchaModel.objects.get().proven_at
    assert "Enter the 4-digit code" in text_of(verify(stranger, sign_up, captcha="", username="mallory"))
    assert "is confirmed" not in text_of(stranger.get("/signup/verify/"))
    assert verify(stranger, sign_up, captcha=wrong(sign_up), username="mallory").status_code == 400
    assert verify(owner, sign_up, captcha="", username="alice").status_code == 303
    assert User.objects.get(email=ALICE).username == "alice"


@pytest.mark.parametrize("path", ["/signup/", "/signup/resend/"])
@pytest.mark.parametrize("minutes", [2, 60], ids=["code valid", "code expired"])
def test_back_from_the_phone_the_code_works_and_so_does_starting_again(
    frozen_clock: FrozenClock, minutes: int, path: str
) -> None:
    """The link was opened in another browser, which did not finish. The page's button begins a new request, too."""
    make_user("taken", BOB)
    desktop, phone = Client(), Client()
    sign_up = ask(desktop, next="/shop/")
    cookie = desktop.cookies["doorcode_signup"].value
    phone.get(f"/signup/link/{codes.link_token(sign_up)}/")
    verify(phone, sign_up, captcha="", username="taken")
    assert "That username is taken" in text_of(verify(desktop, sign_up, username="taken"))
    frozen_clock.move(minutes=minutes)
    again = Client()
    again.cookies["doorcode_signup"] = cookie
    fields = {"email": ALICE, "next": "/shop/"} if path == "/signup/" else {"email": ALICE}
    assert again.post(path, fields).status_code == 303
    assert Delivery.objects.count() == 2
    begun = CaptchaModel.objects.exclude(pk=sign_up.pk).get()
    accept(begun)
    assert verify(again, begun).headers["Location"] == "/shop/"


def test_a_resend_within_the_cooldown_is_refused(client: Client, frozen_clock: FrozenClock) -> None:
    """429 with Retry-After within the cooldown, then the same code again."""
    ask(client)
    early = client.post("/signup/resend/", {"email": ALICE})
    assert (early.status_code, early.headers["Retry-After"]) == (429, "60")
    assert "Get a new email in 60 s" in text_of(early)
    frozen_clock.move(seconds=60)
    Delivery.objects.update(state="sent")
    assert client.post("/signup/resend/", {"email": ALICE}).status_code == 303
    assert "email again. The code is the same" in text_of(client.get("/signup/verify/"))
    frozen_clock.move(seconds=600)
    Delivery.objects.update(state="sent")
    client.post("/signup/resend/", {"email": ALICE})
    assert "sent a new code" in text_of(client.get("/signup/verify/"))
    assert client.get("/signup/resend/").status_code == 405


def test_a_resend_is_for_the_address_of_its_tab(client: Client, frozen_clock: FrozenClock) -> None:
    """With two requests in one browser."""
    ask(client, ALICE)
    ask(client, BOB)
    frozen_clock.move(seconds=60)
    Delivery.objects.update(state="sent")
    client.post("/signup/resend/", {"email": ALICE})
    assert Delivery.objects.latest("pk").recipient == ALICE
    assert f'value="{ALICE}"' in text_of(client.get("/signup/verify/"))


def test_a_resend_in_a_tab_behind_the_proof_goes_on_to_the_next_step(client: Client) -> None:
    """Another tab has proven the mailbox: no code is needed, and the sign-up did not time out."""
    sign_up = ask(client)
    accept(sign_up)
    assert client.post("/signup/verify/", {"email": ALICE, "captcha": right(sign_up)}).status_code == 303
    answer = client.post("/signup/resend/", {"email": ALICE})
    assert (answer.status_code, answer["Location"]) == (303, "/signup/verify/")
    assert "Username" in text_of(client.get("/signup/verify/"))
    assert Delivery.objects.count() == 1


def test_a_resend_mails_no_other_address_than_that_of_its_tab(client: Client, frozen_clock: FrozenClock) -> None:
    """Its request is gone, as the owner of the mailbox disowned it: the tab says so, and the other one is not mailed."""
    ask(client, BOB)
    disowned = ask(client, ALICE)
    verification.void(handle=disowned.handle)
    frozen_clock.move(seconds=60)
    Delivery.objects.update(state="sent")
    page = client.post("/signup/resend/", {"email": ALICE})
    assert page.status_code == 400
    assert "Your sign-up timed out" in text_of(page)
    assert Delivery.objects.filter(recipient=BOB).count() == 1
    assert client.post("/signup/resend/", {"email": BOB}).status_code == 303


def test_head_is_answered_as_get(client: Client) -> None:
    """RFC 9110 §9.1, on every page whose path has no part that varies."""
    ask(client)
    for path in [f"/{page.pattern}" for page in urlpatterns if "<" not in str(page.pattern)]:
        assert client.head(path).status_code == client.get(path).status_code, path


def test_the_status_is_of_this_browser(client: Client, frozen_clock: FrozenClock) -> None:
    """State, time, and the seconds until another mail may be requested."""
    assert client.get("/signup/status/").status_code == 404
    ask(client)
    assert client.get("/signup/status/").json() == {"state": "queued", "sent_at": None, "resend_after": 60}
    frozen_clock.move(seconds=10.5)
    Delivery.objects.update(state="sent", sent_at=frozen_clock.now())
    assert client.get("/signup/status/").json() == {
        "state": "sent",
        "sent_at": f"{frozen_clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "resend_after": 50,
    }


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"state": "failed"}, "couldn't email alice@example.com"),
        ({"attempts": 1}, "Email is slow right now"),
        ({}, "We're sending a 4-digit code to alice@example.com. It expires in 10 minutes"),
        ({"state": "sending", "attempts": 1}, "We're sending a 4-digit code to alice@example.com"),
        ({"state": "sent"}, "We've sent a 4-digit code to alice@example.com. It expires in 10 minutes"),
    ],
)
def test_the_page_shows_the_state_of_the_mail(client: Client, columns: dict, text: str) -> None:
    """Refused, delayed, on its way."""
    ask(client)
    Delivery.objects.update(**columns)
    assert text in text_of(client.get("/signup/verify/"))


def test_closed_sign_up_says_so_and_makes_nothing(client: Client, settings) -> None:
    """SIGNUP_OPEN=false."""
    settings.SIGNUP_OPEN = False
    for page in (client.get("/signup/"), client.post("/signup/", {"email": ALICE})):
        assert page.status_code == 403
        assert "Sign-up is closed at the moment" in text_of(page)
    assert not User.objects.exists()
    assert "No account yet?" not in text_of(client.get("/login/"))


def test_closed_sign_up_sends_again_what_was_begun_and_begins_nothing(client: Client, settings) -> None:
    """Where another browser has proven the address, this one would begin another request."""
    client.post("/signup/", {"email": ALICE})
    settings.SIGNUP_OPEN, settings.RESEND_COOLDOWN = False, 0
    assert client.post("/signup/resend/", {"email": ALICE}).status_code == 303
    sign_up = accept()
    verification.prove(sign_up=sign_up, address=ALICE, code=right(sign_up))
    assert client.post("/signup/resend/", {"email": ALICE}).status_code == 403
    assert CaptchaModel.objects.count() == 1


def test_a_form_sent_twice_makes_one_request(client: Client) -> None:
    """The same page, browser and address; any other makes a request of its own."""
    client.get("/signup/")
    bare = Client()
    bare.cookies["csrftoken"] = client.cookies["csrftoken"].value
    posts = [(bare, "a", ALICE), (bare, "a", ALICE), (bare, "b", ALICE), (bare, "a", BOB), (Client(), "a", ALICE)]
    seen = []
    for browser, once, email in posts:
        browser.cookies.pop("doorcode_signup", None)
        assert browser.post("/signup/", {"email": email, "once": once}).status_code == 303
        seen.append(signing.loads(browser.cookies["doorcode_signup"].value, salt="doorcode.signup.handles")[0][0])
    assert seen[0] == seen[1]
    assert len(set(seen)) == CaptchaModel.objects.count() == Delivery.objects.count() == 4


def test_a_form_sent_again_after_registering_makes_a_new_request(client: Client) -> None:
    """The back button leads to the old page; its request is redeemed."""
    client.get("/signup/")
    sign_up = ask(client, once="a")
    CaptchaModel.objects.update(redeemed_at=clock.now())
    client.cookies.pop("doorcode_signup")
    assert ask(client, once="a").pk != sign_up.pk


def strict(path: str) -> tuple[Client, dict[str, str]]:
    """A browser whose forms are checked for their token, and that of this page's form. Its posts name their origin."""
    client = Client(enforce_csrf_checks=True, headers={"Origin": "http://testserver"})
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(path).content.decode())
    return client, {"csrfmiddlewaretoken": found[1] if found else ""}


@pytest.mark.parametrize("page", ["/login/", "/signup/verify/", "/password-reset/x/set-password/"])
def test_a_button_pressed_again_behind_its_success_goes_on(page: str) -> None:
    """The first answer's cookies are here, and the next page is slow: signing in has replaced the form's token."""
    client, form = strict("/login/")
    make_user()
    form |= {"username": ALICE, "password": PASSWORD}
    assert client.post("/login/", form).status_code == 302
    again = client.post(f"{page}?next=/password-change/", form)
    assert (again.status_code, again.headers["Location"]) == (302, "/password-change/")
    assert client.post(page, form).headers["Location"] == "/account/"


@pytest.mark.parametrize("page", ["/password-change/", "/account/delete/", "/i18n/setlang/"])
def test_a_wrong_token_is_refused_where_people_are_signed_in(page: str) -> None:
    client, form = strict("/login/")
    make_user()
    client.post("/login/", form | {"username": ALICE, "password": PASSWORD})
    assert client.post(page, form).status_code == 403


def test_the_session_key_changes_at_sign_in(client: Client) -> None:
    """Against session fixation."""
    session = client.session
    session["planted"] = True
    session.save()
    sign_up = ask(client)
    verify(client, sign_up)
    assert client.cookies["sessionid"].value != session.session_key


def test_what_was_typed_is_kept_but_for_the_password(client: Client) -> None:
    """Nothing is lost by an error."""
    sign_up = ask(client)
    page = text_of(verify(client, sign_up, captcha=wrong(sign_up), username="alice"))
    assert 'value="alice"' in page
    assert PASSWORD not in page


def test_two_addresses_in_one_browser(client: Client) -> None:
    """Each tab finishes its own sign-up."""
    alice = ask(client, ALICE)
    bob = ask(client, BOB)
    assert verify(client, alice).status_code == 303
    client.post("/logout/")
    assert verify(client, bob, username="bob").status_code == 303


def test_each_form_of_a_page_names_the_address_that_the_page_is_about(client: Client) -> None:
    """So a tab acts on its own sign-up, whatever another tab began since."""
    sign_up = ask(client, "alice@gmial.com")  # the page suggests another address, by a form of its own
    for number in (4, 1):
        forms = re.findall("<form.*?</form>", text_of(client.get("/signup/verify/")), re.DOTALL)
        assert [f'name="email" value="{sign_up.address}"' in form for form in forms] == [True] * number
        client.post("/signup/verify/", {"email": sign_up.address, "captcha": right(sign_up)})


def test_the_posted_address_chooses_the_request_in_any_case(client: Client) -> None:
    """Alice's tab, though Bob's request is newer and the page of its reference."""
    alice, bob = ask(client, ALICE), ask(client, BOB)
    fields = {"email": ALICE.upper(), "captcha": right(alice), "username": "alice", "password": PASSWORD}
    assert client.post(f"/signup/verify/?ref={codes.reference_of(bob)}", fields).status_code == 303
    assert User.objects.get(username="alice").email == ALICE


@pytest.mark.parametrize("field", ["email", "username", "password", "captcha"])
@pytest.mark.parametrize("text", ["\x00", "\r\n", "\U0001f600", "a" * 60_000, "<b>", "%s%n", "' OR 1=1 --"])
def test_no_input_is_a_500(client: Client, field: str, text: str) -> None:
    """Whatever is typed into a field."""
    sign_up = ask(client)
    assert verify(client, sign_up, **{field: text}).status_code in (303, 400, 413)


def test_raw_bytes_are_no_500(client: Client) -> None:
    """Not UTF-8, half surrogates, broken percent signs."""
    for body in (b"email=%ff%fe%ed%a0%80", b"email=%", b"\xff\xfe", b"email=a%00b"):
        answer = client.post("/signup/", body, content_type="application/x-www-form-urlencoded")
        assert answer.status_code == 400


def test_lists_take_the_last_value(client: Client) -> None:
    """As every Django form does."""
    assert client.post("/signup/", {"email": ["x", ALICE]}).status_code == 303


@pytest.mark.parametrize(
    "token", ["x" * 23 + "." + "y" * 32, "x" * 24 + "\x00." + "y" * 32, "x" * 5000 + "." + "y" * 32]
)
def test_only_well_formed_tokens_reach_the_database(client: Client, token: str, django_assert_num_queries) -> None:
    """PostgreSQL refuses a NUL."""
    with django_assert_num_queries(0):
        client.get(f"/signup/link/{quote(token)}/")
    assert "doorcode_signup" not in client.cookies


def test_the_cookie_stays_under_4_kib(client: Client) -> None:
    """Five requests, each with a long Chinese page to go to after."""
    for number in range(5):
        ask(client, f"alice{number}@example.com", next="/" + "商" * 33)
    assert len(client.cookies["doorcode_signup"].value) < 3_500


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "latin-1"])
def test_only_utf_8_is_read(client: Client, charset: str) -> None:
    """Other charsets are refused."""
    answer = client.post("/signup/", b"email=a", content_type=f"application/x-www-form-urlencoded; charset={charset}")
    assert answer.status_code == 415


def test_next_may_not_lead_back_to_signing_in(client: Client) -> None:
    """It would redirect a visitor who is signed in for ever."""
    client.force_login(make_user())
    assert client.get("/login/?next=/login/%3Fa=1").headers["Location"] == "/account/"


def test_a_finished_sign_up_says_so(client: Client) -> None:
    """
    To a form that is sent again, to the mail's link, also on another device, and to the page of another browser that
    asked for the code.
    """
    sign_up = ask(client)
    cookie, link = client.cookies["doorcode_signup"].value, f"/signup/link/{codes.link_token(sign_up)}/"
    twin, phone = Client(), Client()
    twin.cookies["doorcode_signup"] = cookie
    assert verify(client, sign_up).status_code == 303
    pages = [
        verify(twin, sign_up),
        twin.get("/signup/verify/"),
        twin.post("/signup/resend/", {"email": ALICE}),
        twin.post("/signup/change/", {"email": ALICE, "new_email": "bob@"}),
        phone.get(link, follow=True),
        phone.post("/signup/resend/", {"email": ALICE}),
    ]
    for page in pages:
        assert ">This sign-up is finished. Sign in</h1>" in text_of(page)
        assert 'href="/login/"' in text_of(page)
    assert [page.status_code for page in pages] == [400, 200, 400, 400, 200, 400]
    assert twin.get("/signup/status/").json()["state"] == "finished"
    assert client.get(link, follow=True).redirect_chain[-1][0] == "/account/"


def test_a_proven_address_that_got_an_account_elsewhere_says_so(client: Client) -> None:
    """By another request, as on a phone: nobody chooses a name and a password for nothing."""
    sign_up = ask(client)
    client.post("/signup/verify/", {"email": ALICE, "captcha": right(sign_up)})
    assert "is confirmed" in text_of(client.get("/signup/verify/"))
    make_user()
    page = client.get("/signup/verify/")
    assert (page.status_code, "<h1>This sign-up is finished. Sign in</h1>" in text_of(page)) == (200, True)


def test_after_one_of_two_sign_ups_the_page_is_about_the_other(client: Client) -> None:
    """It waits for its code, and the finished one was at the page last."""
    ask(client, ALICE)
    verify(client, ask(client, BOB))
    client.post("/logout/")
    assert f'name="email" value="{ALICE}"' in text_of(client.get("/signup/verify/"))


def test_a_sign_up_that_its_owner_disowned_is_not_finished(client: Client) -> None:
    """Whether or not it was proven: no account was made of it."""
    sign_up = ask(client)
    CaptchaModel.objects.update(proven_at=sign_up.created_at)
    suppression.mute(notice=suppression.Notice(sign_up.handle, ALICE))
    assert "Your sign-up timed out" in text_of(client.get("/signup/verify/"))


def test_a_finished_sign_up_gives_way_to_a_new_one(client: Client) -> None:
    """Another person at the same computer, for instance."""
    verify(client, ask(client))
    client.post("/logout/")
    ask(client, BOB)
    assert "Enter the code" in text_of(client.get("/signup/verify/"))


def test_the_code_alone_leads_to_the_username_and_password(client: Client) -> None:
    """Nothing else is asked for before; the proof stays with this browser, and the code is needed no more."""
    sign_up = ask(client)
    page = text_of(client.get("/signup/verify/"))
    assert ('name="captcha"' in page, 'name="username"' in page, 'name="password"' in page) == (True, False, False)
    answer = client.post("/signup/verify/", {"email": ALICE, "captcha": right(sign_up)})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/verify/")
    page = text_of(client.get("/signup/verify/"))
    assert "alice@example.com is confirmed" in page
    assert ('name="captcha"' in page, 'name="username"' in page, 'name="password"' in page) == (False, True, True)
    answer = client.post("/signup/verify/", {"email": ALICE, "username": "alice", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/")


def test_a_code_that_is_of_no_use_has_one_message_and_one_way_on(client: Client) -> None:
    """Used up or expired: a button for a new code, at once, and no field."""
    sign_up = ask(client)
    for columns in ({"attempts": 5}, {"attempts": 0, "expires_at": sign_up.created_at}):
        CaptchaModel.objects.update(**columns)
        page = client.post("/signup/verify/", {"email": ALICE, "captcha": right(sign_up)})
        text = text_of(page)
        assert 'name="captcha"' not in text
        assert text.count("Get a new code</button>") == 1
        assert (text.count("Too many wrong codes. Get a new code"), text.count("That code has expired")) in (
            (1, 0),
            (0, 1),
        )
        assert "Send it again" not in text
    Delivery.objects.update(state="sent")
    assert client.post("/signup/resend/", {"email": ALICE}).status_code == 303
    assert "sent a new code" in text_of(client.get("/signup/verify/"))


def test_a_resend_of_a_mail_that_waits_says_so(client: Client) -> None:
    """Nothing was sent: when it is tried again, or that it is on its way."""
    ask(client)
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=2))
    later = clock.now() + timedelta(minutes=7)
    Delivery.objects.update(attempts=2, next_attempt_at=later)
    client.post("/signup/resend/", {"email": ALICE})
    assert "The email is still waiting. It is tried again in 7 minutes" in text_of(client.get("/signup/verify/"))
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=2))
    Delivery.objects.update(state="sending", lease_until=clock.now() + timedelta(seconds=60))
    client.post("/signup/resend/", {"email": ALICE})
    assert "The email is on its way" in text_of(client.get("/signup/verify/"))
    assert Delivery.objects.count() == 1


def test_a_wait_of_more_than_two_hours_is_told_in_hours(client: Client, frozen_clock: FrozenClock) -> None:
    """Of a mail over a limit, of one that was asked for again, and of a network over its limit."""
    ask(client)
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=2))
    for wait, told in [(120, "120 minutes"), (121, "3 hours"), (1_440, "24 hours")]:
        Delivery.objects.update(next_attempt_at=clock.now() + timedelta(minutes=wait))
        assert f"The next one leaves in {told}. " in text_of(client.get("/signup/verify/"))
    client.post("/signup/resend/", {"email": ALICE})
    assert "It is tried again in 24 hours" in text_of(client.get("/signup/verify/"))
    assert slow_down(7_201) == "Too many requests. Try again in 3 hours"


@pytest.mark.parametrize("is_mailed", [True, False], ids=["mailed", "not mailed yet"])
def test_the_link_of_an_older_mail_works_too(client: Client, is_mailed: bool) -> None:
    """Its code was used up, and replaced by one whose mail is here or may wait for hours."""
    sign_up = ask(client)
    token = codes.link_token(sign_up)
    CaptchaModel.objects.update(attempts=5)
    assert client.post("/signup/resend/", {"email": ALICE}).status_code == 303
    if is_mailed:
        accept()
    owner = Client()
    assert f"{ALICE} is confirmed" in text_of(owner.get(f"/signup/link/{token}/", follow=True))
    assert verify(owner, sign_up, captcha="").status_code == 303
    assert User.objects.get().is_active


@pytest.mark.parametrize("generation", [1, 2], ids=["the newest mail's link", "an older mail's link"])
def test_a_link_promises_nothing_that_its_page_denies(
    client: Client, frozen_clock: FrozenClock, generation: int
) -> None:
    """Of an expired code the page says so, and nobody can finish there."""
    token = codes.link_token(ask(client))
    CaptchaModel.objects.update(generation=generation)
    frozen_clock.move(seconds=601)
    for browser in (client, Client()):
        page = text_of(browser.get(f"/signup/link/{token}/", follow=True))
        assert "That code has expired. Get a new code" in page
        assert "You can finish here" not in page


@pytest.mark.parametrize("last", [{}, {"username": "", "password": ""}], ids=["step two", "step three"])
def test_each_error_in_the_summary_leads_to_its_place(client: Client, settings, last: dict[str, str]) -> None:
    """The error of an address too, though its field is hidden: another browser was faster, and the site says so."""
    ask(client)
    make_user("taken", ALICE)
    settings.SIGNUP_REVEAL_REGISTERED = True
    page = text_of(client.post("/signup/verify/", {"email": ALICE, "captcha": "", **last}))
    places = re.findall(r'<li><a href="#([^"]+)">', page)
    assert len(places) == 2 + len(last)
    assert "This email address is already registered" in page
    assert all(page.count(f'id="{place}"') == 1 for place in places)


def test_an_address_that_got_its_account_by_another_request_leads_to_sign_in(client: Client, settings) -> None:
    """A phone that asked anew was faster: this form can't succeed any more."""
    here, phone = ask(client), Client()
    verify(phone, ask(phone))
    page = verify(client, here, username="another")
    assert page.status_code == 400
    assert "This email address is already registered" in text_of(page)
    assert '<a href="/login/">Sign in</a>' in text_of(page)
    settings.SIGNUP_REVEAL_REGISTERED = True
    assert '<a href="/login/">Sign in</a>' in text_of(client.post("/signup/verify/", {"email": ALICE, "captcha": ""}))


def test_a_username_is_checked_for_visitors_who_proved_a_mailbox_alone(client: Client) -> None:
    """Else it would tell anybody who has an account."""
    make_user("taken", BOB)
    sign_up = ask(client)
    post = partial(client.post, "/signup/verify/username/", {"email": ALICE, "username": "taken"})
    assert post().json() == {"errors": []}
    client.post("/signup/verify/", {"email": ALICE, "captcha": right(sign_up)})
    assert post().json() == {"errors": ["That username is taken. Choose another"]}
    assert Client().post("/signup/verify/username/", {"username": "taken"}).json() == {"errors": []}


def test_the_terms_beside_the_button_are_kept_with_the_account(client: Client, settings, tmp_path: Path) -> None:
    """Their text, and the time; of a site that has none, nothing."""
    verify(client, ask(client))
    user = User.objects.get()
    assert (user.terms, user.terms_accepted_at) == ("", None)
    (tmp_path / "brand").mkdir()
    (tmp_path / "brand/terms.html").write_text(
        '<p>You accept {{ brand }}&rsquo;s <a href="/terms/">terms of\n 2026</a>.</p>'
    )
    settings.SITE_NAMES, settings.SITE_NAME = {}, "Ann & Söhne"
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path, *engine["DIRS"]]}]
    other = Client()
    sign_up = ask(other, BOB)
    other.post("/signup/verify/", {"email": BOB, "captcha": right(sign_up)})
    assert "You accept Ann & Söhne" in text_of(other.get("/signup/verify/"))
    verify(other, sign_up, captcha="", username="bob")
    user = User.objects.get(email=BOB)
    assert user.terms == "You accept Ann & Söhne’s terms of 2026."
    assert user.terms_accepted_at == user.activated_at
