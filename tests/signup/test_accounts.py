"""Signing in and out, the account, its password, the admin."""

import re
from io import StringIO

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.tokens import default_token_generator
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, make_captcha, make_pending, make_user, muted, right, text_of
from verification.services import prove
from worker import mail, outbox
from worker.models import Delivery, Mute

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["alice", "ALICE", ALICE, "Alice@EXAMPLE.com", "ａｌｉｃｅ"])
def test_signing_in_by_name_or_address(client: Client, name: str) -> None:
    """In any case and width."""
    make_user()
    assert client.post("/login/", {"username": name, "password": PASSWORD}).headers["Location"] == "/account/"


@pytest.mark.parametrize("who", ["unknown", "wrong password", "disabled", "pending", "not an address", "nul"])
def test_a_failed_sign_in_says_one_thing(client: Client, who: str) -> None:
    """It tells nobody which of the reasons it was."""
    make_user(is_active=who != "disabled")
    make_pending(BOB)
    name = {"unknown": "nobody", "pending": BOB, "not an address": "a@", "nul": "a\x00b"}.get(who, "alice")
    password = "wrong" if who == "wrong password" else PASSWORD
    page = client.post("/login/", {"username": name, "password": password})
    assert page.status_code == 400
    assert "Email, username or password is incorrect" in text_of(page)


def test_a_nameless_admin_may_have_no_username(client: Client) -> None:
    """The empty name is nobody's."""
    make_pending()
    assert client.post("/login/", {"username": "", "password": PASSWORD}).status_code == 400


def test_next_after_sign_in_stays_here(client: Client) -> None:
    """`//evil` is not ours."""
    make_user()
    for target, lands in (("/password-change/", "/password-change/"), ("//evil.example", "/account/")):
        client.logout()
        answer = client.post("/login/", {"username": "alice", "password": PASSWORD, "next": target})
        assert answer.headers["Location"] == lands


def test_signing_out_is_a_post(client: Client) -> None:
    """And ends the session."""
    client.force_login(make_user())
    assert client.get("/logout/").status_code == 405
    client.post("/logout/")
    assert client.get("/account/").headers["Location"] == "/login/?next=/account/"


def test_changing_the_password(client: Client) -> None:
    """Knowing the old one; the session stays."""
    client.force_login(make_user())
    fields = {"old_password": "wrong", "password": "short"}
    page = text_of(client.post("/password-change/", fields))
    assert "The current password is not right" in page
    assert "at least 8 characters" in page
    assert (
        client.post("/password-change/", {"old_password": PASSWORD, "password": "another horse b"}).status_code == 302
    )
    assert "Your password is changed" in text_of(client.get("/account/"))
    assert User.objects.get().check_password("another horse b")


@pytest.mark.parametrize("way", ["change", "reset"])
def test_a_new_password_is_told_to_the_mailbox(client: Client, way: str) -> None:
    """In the account's language, with a way to undo a thief's work."""
    user = make_user(language="zh-hant")
    if way == "change":
        client.force_login(user)
        client.post("/password-change/", {"old_password": PASSWORD, "password": "another horse b"})
    else:
        uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
        form = client.get(f"/password-reset/{uid}/{token}/").headers["Location"]
        client.post(form, {"password": "another horse b"})
    delivery = Delivery.objects.get(kind="password_changed")
    assert (delivery.recipient, delivery.language) == (ALICE, "zh-hant")


def test_a_refused_password_tells_nobody(client: Client) -> None:
    """Nothing has changed."""
    client.force_login(make_user())
    client.post("/password-change/", {"old_password": "wrong", "password": "another horse b"})
    assert not Delivery.objects.exists()


def test_deleting_the_account(client: Client) -> None:
    """Behind the password; name and address are free, and nobody is signed in."""
    client.force_login(make_user())
    assert "Delete my account" in text_of(client.get("/account/delete/"))
    page = client.post("/account/delete/", {"old_password": "wrong"})
    assert (page.status_code, User.objects.count()) == (400, 1)
    assert "The current password is not right" in text_of(page)
    answer = client.post("/account/delete/", {"old_password": PASSWORD}, follow=True)
    assert "Your account is deleted" in text_of(answer)
    assert not User.objects.exists()
    assert client.get("/account/").headers["Location"] == "/login/?next=/account/"
    assert make_user()


def test_an_operator_is_deleted_by_another(admin: Client) -> None:
    """The admin's own log hangs on them."""
    assert "/account/delete/" not in text_of(admin.get("/account/"))
    assert admin.post("/account/delete/", {"old_password": PASSWORD}).status_code == 403
    assert User.objects.count() == 1


def test_looking_at_the_page_deletes_nothing(client: Client) -> None:
    """And a stranger doesn't see it."""
    assert client.get("/account/delete/").headers["Location"] == "/login/?next=/account/delete/"
    client.force_login(make_user())
    client.get("/account/delete/")
    assert User.objects.exists()


def test_resetting_the_password(client: Client) -> None:
    """One answer for all; the link works once."""
    make_user()
    for email in (ALICE, "nobody@example.com"):
        page = text_of(client.post("/password-reset/", {"email": email}, follow=True))
        assert f"If {email} has an account" in page
    text = mail.build(Delivery.objects.get(recipient=ALICE)).decode()
    link = re.search(r"/password-reset/[\w-]+/[\w-]+/", text.replace("=\r\n", ""))[0]
    form = client.get(link).headers["Location"]
    assert client.post(form, {"password": "password"}).status_code == 400
    assert client.post(form, {"password": "another horse b"}).headers["Location"] == "/login/"
    assert "This link doesn't work any more" in text_of(Client().get(link))
    assert client.post("/password-reset/", {"email": ""}).status_code == 400


def test_a_begun_sign_up_stands_in_no_operators_way(admin: Client) -> None:
    """createsuperuser and the admin take a pending address over."""
    make_pending(), make_pending(BOB)
    call_command("createsuperuser", "--noinput", email=ALICE, username="alice", stdout=StringIO())
    fields = {"email": BOB, "username": "bob", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin.post("/admin/signup/user/add/", fields).status_code == 302
    assert User.objects.filter(email__in=[ALICE, BOB], is_active=True).count() == 2
    with pytest.raises(CommandError, match="That username is taken"):
        call_command("createsuperuser", "--noinput", email="c@example.com", username="ALICE", stdout=StringIO())


def test_createsuperuser_is_active_and_activated() -> None:
    """Canonical address, unique name; never a sign-up's to take."""
    call_command("createsuperuser", "--noinput", email="Root@Example.com", username="root", stdout=StringIO())
    root = User.objects.get()
    assert (root.email, root.is_superuser, root.is_active, root.is_registered) == ("root@example.com", True, True, True)
    assert root.activated_at is not None
    with pytest.raises(CommandError):
        call_command("createsuperuser", "--noinput", email="nonsense", username="root2", stdout=StringIO())


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(make_user("root", "root@example.com", is_staff=True, is_superuser=True))
    return client


def test_the_admin_shows_no_secret(admin: Client) -> None:
    """Neither code, nonce, handle nor key, in lists and forms."""
    captcha = make_captcha()
    Delivery.objects.create(
        kind="code", recipient=ALICE, language="en", captcha=captcha, created_at="2026-01-01T00:00Z",
        next_attempt_at="2026-01-01T00:00Z", lease_token="f" * 32,
    )  # fmt: skip
    prove(captcha=captcha, address=ALICE, code=right(captcha))
    for name in ("verification/captchamodel", "verification/addressbudget", "worker/delivery", "signup/user"):
        pages = [admin.get(f"/admin/{name}/")]
        pages += [admin.get(f"/admin/{name}/{pk}/change/") for pk in (captcha.pk, 1, ALICE)]
        for page in pages:
            text = text_of(page)
            assert page.status_code in (200, 302)
            for secret in (captcha.nonce, captcha.handle, captcha.key_id, "f" * 32):
                assert secret not in text


def test_logs_cannot_be_edited(admin: Client) -> None:
    """They are to look at."""
    assert admin.get("/admin/verification/captchamodel/add/").status_code == 403
    assert admin.get("/admin/worker/delivery/add/").status_code == 403


def test_what_the_admin_saves_is_no_sign_up_any_more(admin: Client) -> None:
    """A pending account that an operator saved as inactive stays so: a code won't activate it."""
    user = make_pending()
    fields = {"email": ALICE, "username": "", "language": ""}
    assert admin.post(f"/admin/signup/user/{user.pk}/change/", fields).status_code == 302
    user.refresh_from_db()
    assert (user.is_active, user.is_registered) == (False, True)


def test_the_admin_adds_accounts_by_the_same_rules(admin: Client) -> None:
    """Canonical, unique without regard to case, active."""
    url, password = "/admin/signup/user/add/", "correct horse b"
    fields = {"usable_password": "true", "password1": password, "password2": password}
    taken = admin.post(url, fields | {"email": ALICE, "username": "ROOT"})
    assert "That username is taken" in text_of(taken)
    assert admin.post(url, fields | {"email": "Alice@Example.com", "username": ""}).status_code == 200
    assert admin.post(url, fields | {"email": "Alice@Example.com", "username": "Alice"}).status_code == 302
    alice = User.objects.get(email=ALICE)
    assert (alice.username, alice.username_key, alice.is_active, alice.is_registered) == ("Alice", "alice", True, True)


def test_the_admin_speaks_chinese(admin: Client) -> None:
    """Labels of our models too."""
    outbox.post(kind="code", recipient=ALICE, language="en")
    page = text_of(admin.get("/admin/worker/delivery/", headers={"accept-language": "zh-CN"}))
    assert "邮件投递" in page
    assert "收件人" in page


def test_an_operator_may_lift_a_mute_and_make_none(admin: Client) -> None:
    """The owner of the mailbox lost the mail with the link."""
    muted()
    assert ALICE in text_of(admin.get("/admin/worker/mute/"))
    assert admin.get("/admin/worker/mute/add/").status_code == 403
    admin.post(f"/admin/worker/mute/{quote(ALICE)}/delete/", {"post": "yes"})
    assert not Mute.objects.exists()
