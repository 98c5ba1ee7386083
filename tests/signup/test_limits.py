"""The outer limits, as a visitor meets them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import Client
from django.urls import reverse

from core.observability.redaction import pseudonym
from signup import mails
from signup.accounts.backends import EmailOrUsernameBackend
from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, FrozenClock, claim_mail, make_user, text_of
from tests.steps import ask, verify
from verification.models import CaptchaModel
from worker.models import Delivery

pytestmark = pytest.mark.django_db

SLOW_DOWN = "Too many requests. Try again in"


@pytest.fixture(autouse=True)
def rates(settings, still: None) -> None:
    """The defaults; some tests set others."""
    settings.LIMIT_REQUESTS_NETWORK = [(60, 120), (200, 3_600)]
    settings.LIMIT_VERIFY_NETWORK = [(300, 600)]
    settings.LIMIT_LOGIN_NETWORK = [(60, 60)]
    settings.LIMIT_LOGIN_PAIR = [(5, 300)]
    settings.LIMIT_LOGIN_ACCOUNT = [(50, 3_600)]


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, network: str = "1.2.3.4"):
    return client.post("/login/", {"username": name, "password": password}, REMOTE_ADDR=network)


def fail(number: int, *, network: str | None = None) -> list[int]:
    """Wrong passwords from new browsers, each from a network of its own unless one is given."""
    networks = [network or f"10.0.0.{n}" for n in range(number)]
    return [sign_in(Client(), password="wrong", network=each).status_code for each in networks]


def test_a_classroom_behind_one_address_passes_at_once() -> None:
    """Forty pupils, who each ask for a code in the same minute."""
    pupils = [Client().post("/signup/", {"email": f"pupil{number}@example.com"}) for number in range(40)]
    assert {answer.status_code for answer in pupils} == {303}


@pytest.mark.parametrize("page", ["signup", "signup_resend", "signup_change", "password_reset"])
def test_requests_of_mails_are_limited_by_network(client: Client, page: str) -> None:
    """All of them together, whether they succeed or not."""
    for number in range(60):
        assert client.post("/signup/", {"email": f"person{number}@example.com"}).status_code == 303
    answer = client.post(reverse(page), {"email": ALICE})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 120
    assert SLOW_DOWN in text_of(answer)
    assert SLOW_DOWN not in text_of(client.post(reverse(page), {"email": ALICE}, REMOTE_ADDR="5.6.7.8"))


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", SLOW_DOWN), ("zh-hans", "操作过于频繁，请在 1 分钟后重试"), ("zh-hant", "操作過於頻繁，請於 1 分鐘後再試")],
)
def test_the_page_of_a_limit_is_in_the_visitors_language(client: Client, settings, language: str, words: str) -> None:
    """No shared cache keeps it."""
    settings.LIMIT_REQUESTS_NETWORK = [(1, 60)]
    client.post("/signup/", {"email": ALICE})
    answer = client.post("/signup/", {"email": ALICE}, headers={"Accept-Language": language})
    assert words in text_of(answer)
    assert answer.headers["Cache-Control"] == "private, no-store, no-transform"


@pytest.mark.parametrize("page", ["signup_verify", "signup_check_username"])
def test_posts_of_codes_and_usernames_are_limited_by_network(client: Client, settings, page: str) -> None:
    """Views of the page are not. Checks while a username is typed have a count of their own."""
    settings.LIMIT_VERIFY_NETWORK = [(3, 600)]
    client.post("/signup/", {"email": ALICE})
    assert 429 not in [client.post(reverse(page), {"username": "alice"}).status_code for _ in range(3)]
    assert client.post(reverse(page), {"username": "alice"}).status_code == 429
    assert client.get("/signup/verify/").status_code == 200
    others = {"signup_verify", "signup_check_username"} - {page}
    assert 429 not in [client.post(reverse(each), {"username": "alice"}).status_code for each in others]


def test_an_ipv6_subscriber_is_one_network(client: Client, settings) -> None:
    """The whole /64."""
    settings.LIMIT_REQUESTS_NETWORK = [(1, 60)]
    assert client.post("/signup/", {"email": ALICE}, REMOTE_ADDR="2001:db8::1").status_code == 303
    assert client.post("/signup/", {"email": BOB}, REMOTE_ADDR="2001:db8::ffff:2").status_code == 429
    assert client.post("/signup/", {"email": BOB}, REMOTE_ADDR="2001:db8:0:1::1").status_code == 303


def test_each_mail_counts_for_the_network_that_asked_for_it(client: Client, frozen_clock: FrozenClock) -> None:
    """Also one that is sent again: mail limits give each network its turn, and a visitor may come from another."""
    alice, bob = {"email": ALICE, "new_email": ALICE}, {"email": BOB, "new_email": BOB}
    calls = [
        ("/signup/", alice),
        ("/signup/", alice),
        ("/signup/resend/", alice),
        ("/signup/change/", bob),
        ("/password-reset/", alice),
        ("/api/captchas/", bob),
        ("/api/captchas/", {"email": "carol@example.com"}, ("idempotency-key", "1")),
        ("/api/captchas/{handle}/resend/", {}),
        ("/api/password-reset/", alice),
    ]
    for number, (path, fields, *headers) in enumerate(calls):
        frozen_clock.move(seconds=60)
        Delivery.objects.update(state="sent")
        handle = CaptchaModel.objects.latest("pk").handle if number else ""
        network = f"192.0.2.{number}"
        kind = {"content_type": "application/json"} if path.startswith("/api/") else {}
        kind |= {"headers": dict(headers), "REMOTE_ADDR": network}
        assert client.post(path.format(handle=handle), fields, **kind).status_code < 400
        assert Delivery.objects.count() == number + 1
        assert Delivery.objects.latest("pk").network == pseudonym("network", network)


def test_wrong_passwords_of_one_account_from_one_network(client: Client) -> None:
    """The sixth in five minutes is refused, even if it is right; from another network it is accepted."""
    make_user()
    assert fail(6, network="1.2.3.4") == [400] * 5 + [429]
    assert sign_in(client).status_code == 429
    assert sign_in(client, network="5.6.7.8").status_code == 302


def test_the_page_of_a_sign_in_that_is_locked_leads_to_the_reset(client: Client, settings) -> None:
    """Others' guesses may have locked it. Pages of other limits say nothing of passwords."""
    settings.LIMIT_REQUESTS_NETWORK = [(0, 60)]
    fail(5, network="1.2.3.4")
    assert reverse("password_reset") in sign_in(client).content.decode()
    assert reverse("password_reset") not in client.post("/signup/", {"email": ALICE}).content.decode()


def test_an_unknown_account_is_limited_alike(client: Client) -> None:
    """The limit does not show which accounts exist."""
    answers = [sign_in(client, "nobody", "wrong").status_code for _ in range(7)]
    assert answers == [400] * 5 + [429] * 2


def test_a_disabled_account_is_limited_as_if_each_password_were_wrong(client: Client) -> None:
    """Else the limit would show which one is right."""
    make_user(is_active=False)
    answers = [sign_in(client).status_code for _ in range(6)]
    assert answers == [400] * 5 + [429]


def test_right_passwords_are_not_counted() -> None:
    """A person may sign in and out all day."""
    make_user()
    assert {sign_in(Client()).status_code for _ in range(20)} == {302}


def test_a_distributed_guesser_cannot_lock_out_a_known_browser(client: Client) -> None:
    """Fifty wrong ones an hour from anywhere; a browser that signed in before has a counter of its own."""
    make_user()
    sign_in(client)
    client.post("/logout/")
    assert fail(51) == [400] * 50 + [429]
    assert sign_in(Client(), network="9.9.9.9").status_code == 429
    assert sign_in(client, network="9.9.9.9").status_code == 302
    assert sign_in(client, ALICE, network="9.9.9.9").status_code == 302


def test_a_guesser_in_the_same_network_cannot_lock_out_a_known_browser(client: Client) -> None:
    """As in a school, or behind the shared address of a mobile network. Guesses in that browser are limited too."""
    make_user()
    sign_in(client)
    client.post("/logout/")
    assert fail(6, network="1.2.3.4") == [400] * 5 + [429]
    assert sign_in(Client()).status_code == 429
    assert sign_in(client).status_code == 302
    client.post("/logout/")
    assert [sign_in(client, password="wrong").status_code for _ in range(6)] == [400] * 5 + [429]


def test_passwords_that_an_async_view_checks_are_limited_too(monkeypatch) -> None:
    """They are checked as all others: Django has an authentication of its own for these, which counts nothing."""
    monkeypatch.setattr(EmailOrUsernameBackend, "authenticate", lambda self, request, **given: given)
    given = {"username": "alice", "password": PASSWORD}
    with ThreadPoolExecutor() as pool:  # Playwright's event loop may run in this thread
        assert pool.submit(asyncio.run, EmailOrUsernameBackend().aauthenticate(None, **given)).result() == given


def test_the_browser_of_the_sign_up_is_known_too(client: Client) -> None:
    """It is the owner's."""
    verify(client, ask(client))
    client.post("/logout/")
    fail(51)
    assert sign_in(client, network="9.9.9.9").status_code == 302


def test_the_browser_of_a_reset_is_known_too(client: Client) -> None:
    """Only the owner reads the account's mail."""
    make_user()
    fail(51)
    client.post("/password-reset/", {"email": ALICE})
    context = mails.password_reset(claim_mail())
    form = client.get(context["link"].removeprefix("http://testserver"), follow=True).redirect_chain[-1][0]
    assert client.post(form, {"password": "another horse c"}).status_code == 302
    client.post("/logout/")
    assert sign_in(client, password="another horse c", network="9.9.9.9").status_code == 302


def test_the_form_of_a_reset_counts_as_a_sign_in(client: Client) -> None:
    """A password is hashed for each."""
    page = "/password-reset/MQ/set-password/"
    for _ in range(60):
        assert client.post(page, {"password": "another horse c"}).status_code == 400
    assert client.post(page, {"password": "another horse c"}).status_code == 429
    assert sign_in(client, network="127.0.0.1").status_code == 429


def test_a_known_browser_has_a_limit_too(client: Client) -> None:
    """A stolen cookie allows no more guesses than that."""
    make_user()
    sign_in(client)
    client.post("/logout/")
    fail(51)
    answers = [sign_in(client, password="wrong", network=f"10.0.1.{n}").status_code for n in range(51)]
    assert answers == [400] * 50 + [429]


def test_an_operators_browser_is_known_by_the_admins_page(client: Client) -> None:
    """Its operator may have signed in nowhere else."""
    make_user(is_staff=True)
    page, fields = "/admin/login/", {"username": "alice", "password": PASSWORD, "next": "/admin/"}
    assert client.post(page, fields).status_code == 302
    client.post("/logout/")
    fail(51)
    assert Client().post(page, fields).status_code == 429
    assert client.post(page, fields).status_code == 302


def test_the_admins_page_remembers_nobody_without_the_password(client: Client, settings) -> None:
    """Not in a session that is stolen: each browser that is known could guess the password on its own."""
    client.force_login(make_user(is_staff=True))
    assert client.post("/admin/login/", {}).status_code == 200
    assert settings.DEVICE_COOKIE_NAME not in client.cookies


def test_a_browser_is_known_until_the_next_password(client: Client) -> None:
    """A thief's are not, however many of them signed in with the former one; the owner's is."""
    make_user()
    thief = Client()
    sign_in(thief), sign_in(client)
    assert (
        client.post("/password-change/", {"old_password": PASSWORD, "password": "another horse c"}).status_code == 302
    )
    client.post("/logout/")
    fail(51)
    assert sign_in(thief, password="a guess", network="9.9.9.9").status_code == 429
    assert sign_in(client, password="another horse c", network="9.9.9.9").status_code == 302


def test_a_browser_is_known_until_its_account_is_disabled(client: Client) -> None:
    """It may be a thief's: enabling the account again makes none known."""
    make_user()
    sign_in(client)
    for active in (False, True):
        User.objects.update(is_active=active)
    fail(51)
    assert sign_in(client, network="9.9.9.9").status_code == 429


@pytest.mark.parametrize(("others", "status"), [(4, 302), (5, 429)])
def test_a_browser_is_known_by_its_last_five_accounts(client: Client, others: int, status: int) -> None:
    """As in a library: a cookie has no room for all, and the newest must find some."""
    for name in ("alice", *(f"person{number}" for number in range(others))):
        make_user(name, f"{name}@example.com")
        sign_in(client, name)
        client.post("/logout/")
    fail(51)
    assert sign_in(client, network="9.9.9.9").status_code == status


def test_a_forged_device_is_none(client: Client) -> None:
    """Neither garbage nor another account's."""
    make_user()
    bob = Client()
    make_user("bob", BOB)
    sign_in(bob, "bob")
    bob.post("/logout/")
    fail(51)
    client.cookies["doorcode_device"] = "garbage"
    assert sign_in(client, network="9.9.9.9").status_code == 429
    assert sign_in(bob, "alice", network="9.9.9.9").status_code == 429


def test_the_limit_does_not_show_which_name_belongs_to_which_address(client: Client) -> None:
    """Each typed name has a counter of its own, known or not."""
    make_user()
    assert fail(6, network="1.2.3.4")[-1] == 429
    assert sign_in(client, ALICE, "wrong").status_code == 400


def test_sign_ins_of_a_network(client: Client) -> None:
    """Sixty a minute for all accounts together, against one password tried at many accounts."""
    answers = [sign_in(client, f"person{n}", "wrong").status_code for n in range(61)]
    assert answers == [400] * 60 + [429]


@pytest.mark.parametrize("page", ["/login/", "/admin/login/", "/password-change/", "/account/delete/"])
def test_a_page_that_is_only_looked_at_is_no_sign_in(client: Client, settings, page: str) -> None:
    """A school may open it as often as it likes."""
    settings.LIMIT_LOGIN_NETWORK = [(1, 60)]
    make_user()
    client.get(page, REMOTE_ADDR="1.2.3.4")
    assert sign_in(client).status_code == 302


def test_the_admins_sign_in_has_the_same_limit(client: Client) -> None:
    """/admin/login/ uses the same backend."""
    make_user(is_staff=True)
    for _ in range(5):
        client.post("/admin/login/", {"username": "alice", "password": "wrong"})
    assert client.post("/admin/login/", {"username": "alice", "password": PASSWORD}).status_code == 429
