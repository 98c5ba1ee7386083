"""Whose account it becomes, and who may use it: attacks 31 to 41 and 64. The API's are in test_api.py."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.test import Client
from django.urls import get_resolver, reverse

from core import clock
from signup.models import User
from tests.factories import (
    ALICE,
    BOB,
    PASSWORD,
    FrozenClock,
    claim_mail,
    make_captcha,
    make_pending,
    make_user,
    right,
    text_of,
    wrong,
)
from tests.steps import accept, ask, verify
from verification import codes
from verification.models import AddressGuesses, CaptchaModel
from worker import messages, outbox, suppression
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

EVE = "eve's password"


def test_31_a_stranger_prepares_nothing_for_the_owner(client: Client) -> None:
    """
    Eve begins with Alice's address and waits. Whatever of Alice's she can lay hands on, the account that Alice then
    opens has Alice's password, and Eve's request opens nothing.
    """
    eve = Client()
    eve_request = ask(eve)
    for code in ("", wrong(eve_request)):
        verify(eve, eve_request, captcha=code, username="eve", password=EVE)
    sign_up = ask(client)
    assert verify(client, sign_up).status_code == 303
    assert verify(eve, eve_request, username="eve", password=EVE).status_code == 400
    user = User.objects.get()
    assert user.check_password(PASSWORD)
    assert user.username == "alice"


@pytest.mark.parametrize("by", ["link", "code"])
def test_31_the_owner_proves_a_strangers_request_and_stumbles(client: Client, by: str) -> None:
    """
    Alice opens the mail that Eve asked for, and proves the mailbox, but her username is taken. Eve, who holds the same
    request, can't finish what Alice began.
    """
    make_user("bob", BOB)
    eve = Client()
    sign_up = ask(eve)
    if by == "link":
        client.get(f"/signup/link/{codes.link_token(sign_up)}/")
        answer = verify(client, sign_up, captcha="", username="bob")
    else:
        client.cookies["doorcode_signup"] = eve.cookies["doorcode_signup"].value
        answer = verify(client, sign_up, username="bob")
    assert "That username is taken" in text_of(answer)
    assert CaptchaModel.objects.get().proven_at
    for code in ("", wrong(sign_up)):
        assert verify(eve, sign_up, captcha=code, username="eve", password=EVE).status_code == 400
    assert not User.objects.get(email=ALICE).is_active
    assert verify(client, sign_up, captcha="").status_code == 303


def test_32_asking_again_changes_nothing_of_the_first_asker(client: Client, frozen_clock: FrozenClock) -> None:
    """Eve asks for Alice's address again and again, and guesses: Alice's handle, code and link stay as they are."""
    sign_up = ask(client)
    code, link = right(sign_up), codes.link_token(sign_up)
    for _ in range(5):
        eve = Client()
        theirs = ask(eve)
        verify(eve, theirs, captcha=wrong(theirs))
        frozen_clock.move(seconds=61)
        eve.post("/signup/resend/", {"email": ALICE})
    sign_up.refresh_from_db()
    assert (right(sign_up), codes.link_token(sign_up), sign_up.attempts) == (code, link, 0)
    assert verify(client, sign_up, captcha=code).status_code == 303


def test_32_wrong_guesses_lengthen_and_the_old_link_still_opens(
    client: Client, frozen_clocks: FrozenClock, limited
) -> None:
    """The most that Eve reaches: Alice's short code is replaced when she types it. Nobody mailed it for nothing."""
    sign_up = ask(client)
    link = codes.link_token(sign_up)
    for _ in range(2):
        eve = Client()
        theirs = ask(eve)
        for _ in range(5):
            verify(eve, theirs, captcha=wrong(theirs))
            theirs.refresh_from_db()
    before = Delivery.objects.filter(sign_up=sign_up).count()
    page = verify(client, sign_up)
    assert "For your safety we've sent a longer code" in text_of(page)
    assert 'name="captcha"' in text_of(page)
    assert "8-digit code" in text_of(page)
    assert Delivery.objects.filter(sign_up=sign_up).count() == before + 1
    assert Delivery.objects.latest("pk").mailbox == ""  # outside the mail limits
    sign_up.refresh_from_db()
    assert len(right(sign_up)) == 8
    other = Client()
    other.get(f"/signup/link/{link}/")
    assert verify(other, sign_up, captcha="").status_code == 303


def test_32_the_longer_code_opens(client: Client, limited) -> None:
    """Under the same handle, once its mail is there; parallel posts make one mail."""
    sign_up = ask(client)
    lengthen()
    verify(client, sign_up)
    verify(client, sign_up)
    assert Delivery.objects.count() == 2
    sign_up.refresh_from_db()
    assert verify(client, sign_up).status_code == 303


def lengthen(number: int = 9) -> None:
    """As many wrong guesses at Alice's address."""
    from verification.models import AddressGuesses

    guesses = [clock.now().timestamp()] * number
    AddressGuesses.objects.update_or_create(address=ALICE, defaults={"guesses": guesses})


def test_32_when_only_the_link_proves_it_does(client: Client, limited) -> None:
    """After a hundred wrong guesses: the code is answered with the way out, the link opens."""
    sign_up = ask(client)
    lengthen(100)
    assert "Open the link in the email to continue" in text_of(verify(client, sign_up))
    client.get(f"/signup/link/{codes.link_token(sign_up)}/")
    assert verify(client, sign_up, captcha="").status_code == 303


def test_33_nobody_squats_an_address_or_a_name(client: Client) -> None:
    """Eve begins with everything that is Alice's and never verifies: Alice gets her address and her name."""
    eve = Client()
    for _ in range(5):
        theirs = ask(eve)
        verify(eve, theirs, captcha=wrong(theirs), username="alice", password=EVE)
    assert not User.objects.exclude(username=None).exists()
    assert verify(client, ask(client)).status_code == 303


@pytest.mark.parametrize("before", [True, False])
def test_34_a_disabled_account_stays_disabled(client: Client, before: bool) -> None:
    """Disabled by an operator before or after its activation: no code, link or reset makes it active."""
    user = make_user(is_active=False) if before else make_user()
    sign_up = ask(client)
    if not before:
        User.objects.update(is_active=False)
    CaptchaModel.objects.update(decoy=False)  # even if the request was no decoy
    assert verify(client, sign_up, username="alice2").status_code == 400
    client.post("/password-reset/", {"email": ALICE})
    user.refresh_from_db()
    assert not user.is_active
    assert claim_mail().is_for_nobody


def test_35_nobody_signs_in_before_the_proof(client: Client) -> None:
    """Neither with an empty password nor with the one of an unusable row; and a waiting account gets no reset."""
    user = make_pending()
    for password in ("", "!", user.password, PASSWORD):
        assert client.post("/login/", {"username": ALICE, "password": password}).status_code == 400
    client.post("/password-reset/", {"email": ALICE})
    assert claim_mail().is_for_nobody
    user.set_password(PASSWORD)  # not even where one got there
    user.save()
    assert client.post("/login/", {"username": ALICE, "password": PASSWORD}).status_code == 400


def test_36_the_session_changes_its_key_at_sign_in(client: Client) -> None:
    """A session that a stranger planted is not the one that the owner signs in with; the token of forms too."""
    client.get("/signup/")
    session = client.session
    session["planted"] = "by eve"
    session.save()
    planted, token = session.session_key, client.cookies["csrftoken"].value
    assert verify(client, ask(client)).status_code == 303
    assert client.session.session_key != planted
    assert client.cookies["csrftoken"].value != token


POSTS = {
    "signup": [],
    "signup_verify": [],
    "signup_check_username": [],
    "signup_resend": [],
    "signup_change": [],
    "signup_mute": ["abcdefgh.ijklmn"],
    "login": [],
    "admin_login": [],
    "logout": [],
    "account_delete": [],
    "password_change": [],
    "password_reset": [],
    "password_reset_confirm": ["MQ", "set-password"],
    "set_language": [],
}
GETS = {
    "brand_css": [],
    "home": [],
    "signup_status": [],
    "signup_common_passwords": [],
    "signup_link": ["abcdefgh.ijklmn"],
    "account": [],
    "password_reset_done": [],
}


@pytest.mark.parametrize("page", POSTS)
def test_37_other_sites_can_post_nothing(page: str) -> None:
    """Without the token, with another's, from another origin: 403, and nothing happened."""
    client, path = Client(enforce_csrf_checks=True), reverse(page, args=POSTS[page])
    client.force_login(make_user("bob", BOB))
    given = {"email": ALICE, "new_email": ALICE, "old_password": PASSWORD, "password": "another horse b"}
    assert client.post(path, given).status_code == 403
    assert client.post(path, given | {"csrfmiddlewaretoken": "x" * 64}).status_code == 403
    token = client.get("/password-change/").cookies["csrftoken"].value
    for origin in ("https://evil.example", "null"):
        headers = {"Origin": origin, "X-CSRFToken": token}
        assert client.post(path, given, headers=headers).status_code == 403
    assert not Delivery.objects.exists()
    assert User.objects.get(email=BOB).check_password(PASSWORD)


@pytest.mark.parametrize("page", GETS)
def test_37_what_takes_no_post_refuses_every_one(client: Client, page: str) -> None:
    """With the right token too."""
    client.force_login(make_user("bob", BOB))
    assert client.post(reverse(page, args=GETS[page])).status_code == 405


def test_37_every_page_is_in_one_of_these_lists() -> None:
    """But those of the admin, which are Django's own, and the API's, which look at no cookie."""
    own = ("api_", "dashboard")
    pages = {name for name in get_resolver().reverse_dict if isinstance(name, str) and not name.startswith(own)}
    assert pages == {*POSTS, *GETS}


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "///evil.example",
        "/\t/evil.example",
        "javascript:x",
    ],
)
def test_38_next_leads_nowhere_else(client: Client, target: str) -> None:
    """At the sign-up, through the whole flow, and at the sign-in."""
    sign_up = ask(client, next=target)
    assert verify(client, sign_up).headers["Location"] == "/account/"
    client.post("/logout/")
    fields = {"username": "alice", "password": PASSWORD, "next": target}
    assert client.post("/login/", fields).headers["Location"] == "/account/"
    assert client.post("/i18n/setlang/", {"language": "en", "next": target}).headers["Location"] == "/"


@pytest.mark.parametrize("header", ["HTTP_HOST", "HTTP_X_FORWARDED_HOST"])
def test_39_another_host_reaches_no_mail(client: Client, settings, header: str) -> None:
    """Links in mails come from SITE_URL, even where any host is allowed."""
    settings.ALLOWED_HOSTS = ["*"]
    make_user("bob", BOB)
    for page, email in (("/signup/", ALICE), ("/signup/", BOB), ("/password-reset/", BOB)):
        client.post(page, {"email": email}, **{header: "evil.example"})
    claimed = [each for _ in range(2) for each in outbox.claim(limit=9)]  # those about accounts apart
    built = [messages.build(each).message().as_bytes() for each in claimed]
    assert len(built) == 3
    for each in built:
        assert b"evil.example" not in each
        assert b"http://testserver/" in each
    settings.ALLOWED_HOSTS = ["testserver"]
    assert client.post("/signup/", {"email": ALICE}, HTTP_HOST="evil.example").status_code == 400


def test_40_extra_fields_are_ignored(client: Client) -> None:
    """Nobody makes themselves staff, or somebody else."""
    nobody = "2000000000"  # a key that no test reaches by counting
    extra = {
        "is_staff": "on",
        "is_superuser": "1",
        "is_active": "1",
        "id": nobody,
        "user": nobody,
        "activated_at": "2020-01-01",
    }
    sign_up = ask(client, **extra)
    assert not get_user_model().objects.get().is_active
    assert verify(client, sign_up, **extra).status_code == 303
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert str(user.pk) != nobody
    assert user.activated_at > sign_up.created_at


def test_41_reading_changes_nothing(client: Client) -> None:
    """GET and HEAD on the mail's link by a scanner, and methods in disguise: the request stays as it was."""
    sign_up = ask(client)
    before = list(CaptchaModel.objects.values())
    token = codes.link_token(sign_up)
    scanner = Client()
    for _ in range(3):
        assert scanner.get(f"/signup/link/{token}/").status_code == 303
        assert scanner.head(f"/signup/link/{token}/").status_code == 303
        assert scanner.get("/signup/verify/").status_code == 200
    for page in ("/signup/resend/", "/logout/"):
        assert client.get(page).status_code == 405
        assert client.get(page, headers={"X-HTTP-Method-Override": "POST"}).status_code == 405
        assert client.get(f"{page}?_method=POST").status_code == 405
    assert scanner.post(f"/signup/link/{token}/", {"_method": "GET"}).status_code == 405
    assert list(CaptchaModel.objects.values()) == before


def press_each_button(scanner: Client, path: str) -> int:
    """Open a page, and send each of its forms once by each of its buttons, as a careless scanner does."""
    page, presses = scanner.get(path, follow=True).content.decode(), 0
    for target, form in re.findall(r"<form([^>]*)>(.*?)</form>", page, re.DOTALL):
        empty = dict.fromkeys(re.findall(r'<input [^>]*name="([^"]+)"', form), "")
        fields = empty | dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
        action = re.search(r'action="([^"]+)"', target)
        for button in re.findall(r"<button([^>]*)>", form):
            named = re.findall(r'name="([^"]+)" value="([^"]*)"', button)
            answer = scanner.post(action[1] if action else path, fields | dict(named))
            assert answer.status_code < 400 or (answer.status_code == 400 and "" in fields.values())
            presses += 1
    return presses


@pytest.mark.parametrize("is_muted", [False, True])
@pytest.mark.parametrize("mail", ["sign-up", "account"])
def test_41_a_scanner_that_presses_buttons_changes_nothing(mail: str, is_muted: bool) -> None:
    """That of "This wasn't me", and that which undoes it."""
    sign_up = ask(Client())
    token = suppression.token_for(sign_up) if mail == "sign-up" else suppression.undo_token_for(ALICE)
    if is_muted:
        Suppression.objects.create(address=ALICE, until=clock.now() + timedelta(days=3))
    before = [list(model.objects.values()) for model in (CaptchaModel, Suppression)]
    presses = press_each_button(Client(), f"/signup/mute/{token}/")
    assert presses == len(settings.LANGUAGES) + (is_muted or mail == "sign-up")
    assert [list(model.objects.values()) for model in (CaptchaModel, Suppression)] == before


@pytest.mark.parametrize("minutes", [0, 11, 31, 24 * 60 + 1], ids="{} minutes".format)
def test_41_a_scanner_that_presses_the_buttons_behind_a_code_changes_nothing(
    frozen_clock: FrozenClock, minutes: int
) -> None:
    """At once, or when the code has expired: another mail would be scanned, and bring the next one."""
    path = link_to(ask(Client()))
    frozen_clock.move(minutes=minutes)
    before = [list(model.objects.values()) for model in (CaptchaModel, Delivery, User, AddressGuesses)]
    assert press_each_button(Client(), path)
    assert [list(model.objects.values()) for model in (CaptchaModel, Delivery, User, AddressGuesses)] == before


def link_to(sign_up: CaptchaModel, proof: str | None = None) -> str:
    """The path of a mail's link; with another `proof`, of a forged one."""
    return f"/signup/link/{sign_up.handle}.{proof or codes.proof_of(sign_up)}/"


def entries_of(client: Client) -> list[list]:
    return signing.loads(client.cookies["doorcode_signup"].value, salt="doorcode.signup.handles")


def test_64_a_forged_link_changes_nothing(client: Client) -> None:
    """Made-up handles, a stranger's, the browser's own: the cookie stays, the right code is right, nothing is counted."""
    sign_up = ask(client)
    before = entries_of(client)
    stranger = ask(Client())
    forged = [f"/signup/link/{number:024}.{'x' * 32}/" for number in range(5)]
    for path in (*forged, link_to(stranger, "x" * 32), link_to(sign_up, "x" * 32)):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/verify/")
        assert "doorcode_signup" not in answer.cookies
    assert entries_of(client) == before
    assert verify(client, sign_up).status_code == 303
    assert not AddressGuesses.objects.exclude(guesses=[]).exists()


def test_64_a_forged_link_tells_nothing_of_a_handle(client: Client) -> None:
    """A handle that exists, one that is over, a decoy's and one that nobody has are answered alike."""
    over, decoy, mine = make_captcha(BOB), make_captcha(decoy=True), make_captcha()
    CaptchaModel.objects.filter(pk=over.pk).update(redeemed_at=clock.now())
    paths = [link_to(each, "x" * 32) for each in (over, decoy, mine)]
    answers = [client.get(path) for path in [*paths, f"/signup/link/{'y' * 24}.{'x' * 32}/"]]
    for answer in answers:
        answer.headers.pop("X-Request-ID")
    assert (
        len({(answer.status_code, str(sorted(answer.headers.items())), str(answer.cookies)) for answer in answers}) == 1
    )


@pytest.mark.parametrize("proven", [False, True])
def test_64_links_end_no_sign_up_that_was_begun_here(client: Client, proven: bool) -> None:
    """A stranger has six mails sent to mailboxes of their own, and lures Alice's browser onto the links."""
    make_user("taken", BOB)
    sign_up = ask(client)
    if proven:
        assert "That username is taken" in text_of(verify(client, sign_up, username="taken"))
    for number in range(6):
        theirs = make_captcha(f"eve{number}@example.com")
        client.get(link_to(theirs))
        assert "eve" in text_of(client.get("/signup/verify/"))  # the link that was opened last works here
    assert len(entries_of(client)) == 5
    assert verify(client, sign_up, captcha="" if proven else right(sign_up)).status_code == 303


def test_64_nobody_shares_a_request_that_another_address_made(client: Client) -> None:
    """Eve lured Alice onto a link of her own sign-up. Alice changes its address to hers, and so does Eve."""
    eve = Client()
    for browser in (eve, client):
        browser.get("/signup/")
    client.get(link_to(ask(eve, BOB)))
    for browser in (client, eve):
        browser.post("/signup/change/", {"email": BOB, "new_email": ALICE})
    assert CaptchaModel.objects.filter(address=ALICE).count() == 2
    assert entries_of(client)[0][0] not in [handle for handle, *_rest in entries_of(eve)]


@pytest.mark.parametrize("way", ["code", "link"])
def test_64_a_strangers_mail_to_the_same_address_spoils_nothing(client: Client, way: str) -> None:
    """
    Alice asked, Eve asked for the same address, and Alice opened the link of Eve's mail. The link finishes the sign-up,
    and the code of Alice's own mail is still right; neither costs a try.
    """
    sign_up = ask(client, next="/shop/")
    theirs = ask(Client())
    client.get(link_to(theirs))
    assert f"{ALICE} is confirmed" in text_of(client.get("/signup/verify/"))
    answer = verify(client, sign_up, captcha="" if way == "link" else right(sign_up))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/shop/")
    assert client.get("/signup/verify/").headers["Location"] == "/account/"  # no other request is left to finish
    assert User.objects.get(email=ALICE).is_active
    assert not AddressGuesses.objects.exclude(guesses=[]).exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_64_when_the_strangers_link_is_over_the_own_code_is_right(
    client: Client, frozen_clock: FrozenClock, when: str
) -> None:
    """Opened too late, or opened in time and used too late: what people type is the code of their own request."""
    theirs = ask(Client())
    if when == "before":
        frozen_clock.move(seconds=700)
    sign_up = ask(client)
    client.get(link_to(theirs))
    if when == "after":
        frozen_clock.move(seconds=590)
        accept(sign_up)  # another mail with its code
        frozen_clock.move(seconds=20)
    assert "Enter the 4-digit code" in text_of(verify(client, sign_up, captcha=""))
    assert "can try" in text_of(verify(client, sign_up, captcha=wrong(sign_up)))
    sign_up.refresh_from_db()
    theirs.refresh_from_db()
    assert (sign_up.attempts, theirs.attempts) == (1, 0)
    assert verify(client, sign_up).status_code == 303


def test_64_a_strangers_link_leads_to_the_own_request_for_its_address(
    client: Client, frozen_clock: FrozenClock
) -> None:
    """Also when the link is over, and another sign-up was begun since."""
    theirs = ask(Client())
    frozen_clock.move(seconds=700)
    sign_up = ask(client)
    ask(client, BOB)
    assert f"digit code to {ALICE}" in text_of(client.get(link_to(theirs), follow=True))
    assert verify(client, sign_up).status_code == 303


def test_64_a_link_that_is_over_takes_nothing_from_one_that_works(client: Client, frozen_clock: FrozenClock) -> None:
    """Both lie in Alice's mailbox; she opens the newer first. Or an attacker has her open the older one."""
    old = link_to(ask(Client()))
    frozen_clock.move(seconds=700)
    sign_up = ask(Client())
    for path in (link_to(sign_up), old):
        assert f"{ALICE} is confirmed" in text_of(client.get(path, follow=True))
    assert verify(client, sign_up, captcha="").status_code == 303


def test_64_the_link_of_an_older_mail_takes_no_proof_away(client: Client) -> None:
    """The mailbox is proven in this browser."""
    make_user("taken", BOB)
    sign_up = ask(client)
    old = link_to(sign_up)
    CaptchaModel.objects.update(generation=2)
    sign_up.refresh_from_db()
    verify(client, sign_up, username="taken")
    assert f"{ALICE} is confirmed" in text_of(client.get(old, follow=True))


@pytest.mark.parametrize("form", ["signup", "signup_resend"])
def test_64_asking_again_goes_on_with_ones_own_request(client: Client, frozen_clock: FrozenClock, form: str) -> None:
    """Never with one that a link brought: whoever asked for it could use up the tries of its code."""
    theirs = ask(Client())
    frozen_clock.move(seconds=700)
    client.get(link_to(theirs))
    if form == "signup_resend":
        assert client.post(reverse(form), {"email": ALICE}).headers["Location"] == reverse("signup")
        assert f'value="{ALICE}"' in text_of(client.get(reverse("signup")))
    assert client.post(reverse("signup"), {"email": ALICE}).status_code == 303
    mine = accept()
    assert mine.pk != theirs.pk
    assert verify(client, mine).status_code == 303
