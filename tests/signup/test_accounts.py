"""Signing in and out, the account, its password, the admin."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.test import Client
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core.passwords import reset_tokens
from signup import visitor
from signup.accounts import services
from signup.accounts.backends import EmailOrUsernameBackend
from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, make_pending, make_user, text_of
from tests.servers import Postgres, System
from tests.steps import ask, deliver, verify
from worker import messages, outbox
from worker.models import Delivery

pytestmark = pytest.mark.django_db

NEW = "another horse b"


@pytest.mark.parametrize("name", ["alice", "ALICE", ALICE, "Alice@EXAMPLE.com", "ａｌｉｃｅ"])
def test_signing_in_by_name_or_address(client: Client, name: str) -> None:
    """In any case and width."""
    make_user()
    assert client.post("/login/", {"username": name, "password": PASSWORD}).headers["Location"] == "/account/"


@pytest.mark.parametrize("who", ["unknown", "wrong password", "disabled", "pending", "not an address", "nul"])
def test_a_failed_sign_in_says_one_thing(client: Client, who: str) -> None:
    """The message is the same for every reason."""
    make_user(is_active=who != "disabled")
    make_pending(BOB)
    name = {"unknown": "nobody", "pending": BOB, "not an address": "a@", "nul": "a\x00b"}.get(who, "alice")
    password = "wrong" if who == "wrong password" else PASSWORD
    page = client.post("/login/", {"username": name, "password": password})
    assert page.status_code == 400
    assert "Email, username or password is incorrect" in text_of(page)


def test_an_account_that_is_deleted_meanwhile_is_no_error(client: Client, monkeypatch) -> None:
    """The sign-in, or a change of language, is lost: the next page asks to sign in."""
    user = make_user()
    monkeypatch.setattr(EmailOrUsernameBackend, "user_can_authenticate", lambda *_: bool(User.objects.get().delete()))
    pages = client.post("/login/", {"username": "alice", "password": PASSWORD}, follow=True).redirect_chain
    assert [path for path, _status in pages] == ["/account/", "/login/?next=/account/"]
    services.keep_language(user=user, language="de")
    assert not User.objects.exists()


def test_a_failed_sign_in_marks_both_fields(client: Client) -> None:
    """It does not say which is wrong; its text describes both, and leads to the first."""
    make_user()
    page = text_of(client.post("/login/", {"username": "alice", "password": "wrong"}))
    assert '<li id="form_error"><a href="#id_username">Email, username or password is incorrect' in page
    assert page.count('<div class="field wrong">') == 2
    assert page.count('aria-invalid="true" aria-describedby="form_error"') == 2
    fresh = text_of(client.get("/login/"))
    assert "aria-invalid" not in fresh
    assert "wrong" not in fresh


def test_a_page_for_others_offers_to_sign_in(client: Client) -> None:
    """As another account, and back to the page."""
    client.force_login(make_user(is_staff=True))
    page = client.get("/account/delete/")
    action = re.search(r'action="(/logout/[^"]*)"', text_of(page))[1]
    answer = client.post(action)
    assert (page.status_code, answer.headers["Location"]) == (403, "/login/?next=%2Faccount%2Fdelete%2F")
    make_user("bob", BOB)
    fields = {"username": "bob", "password": PASSWORD, "next": "/account/delete/"}
    assert client.post("/login/", fields).headers["Location"] == "/account/delete/"
    assert client.get("/account/delete/").status_code == 200


def test_a_nameless_admin_may_have_no_username(client: Client) -> None:
    """The empty name belongs to no account."""
    make_pending()
    assert client.post("/login/", {"username": "", "password": PASSWORD}).status_code == 400


def test_next_after_sign_in_stays_here(client: Client) -> None:
    """`//evil` is another site."""
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


def test_no_page_says_signed_in_to_whoever_signed_out(client: Client) -> None:
    """The message of a sign-up whose next page shows none waits in a cookie."""
    verify(client, ask(client))
    client.post("/logout/")
    assert "You're signed in" not in text_of(client.get("/login/"))


def test_a_new_password_that_nobody_is_signed_in_for_is_no_success(client: Client) -> None:
    """The session ended while it was typed: a password manager may not keep it, as it may after a redirect."""
    page = client.post("/password-change/", {"old_password": PASSWORD, "password": "another horse b"})
    assert (page.status_code, "Sign in with an account" in text_of(page)) == (403, True)
    assert client.get("/password-change/").headers["Location"].startswith("/login/")


def test_a_change_of_password_that_is_sent_twice_asks_for_no_third(client: Client) -> None:
    """Its answer got lost with the new session's key, and the browser sent it again by itself: it leads to sign-in."""
    client.force_login(make_user())
    session, fields = client.cookies["sessionid"].value, {"old_password": PASSWORD, "password": NEW}
    client.post("/password-change/", fields)
    client.cookies["sessionid"] = session
    page = client.post("/password-change/", fields)
    assert (page.status_code, "send it again" in text_of(page)) == (403, False)
    way = re.search(r'action="(/logout/[^"]+)"', page.content.decode())[1]
    assert client.post(way).headers["Location"] == "/login/?next=%2Fpassword-change%2F"


def test_no_browser_translates_a_name(client: Client) -> None:
    """A username is often a word: in a page that a browser translates it would be another than the one to sign in with."""
    client.force_login(make_user("summer"))
    page = client.get("/account/").content.decode()
    for name in ("Doorcode", "summer", ALICE):
        [attributes] = re.findall(rf"<(?:a|dd)( [^>]*)?>(?:<bdi>|<img [^>]*> ){name}", page)
        assert 'translate="no"' in attributes


def test_changing_the_password(client: Client) -> None:
    """With the old one; the session stays."""
    client.force_login(make_user())
    fields = {"old_password": "wrong", "password": "short"}
    page = text_of(client.post("/password-change/", fields))
    assert "Your current password is incorrect" in page
    assert "at least 8 characters" in page
    assert (
        client.post("/password-change/", {"old_password": PASSWORD, "password": "another horse b"}).status_code == 302
    )
    assert "Your password is changed" in text_of(client.get("/account/"))
    assert User.objects.get().check_password("another horse b")


def test_changing_the_password_ends_the_sessions_elsewhere(client: Client) -> None:
    """The one that changed it goes on."""
    alice, elsewhere = make_user(), Client()
    for browser in (client, elsewhere):
        browser.force_login(alice)
    assert client.post("/password-change/", {"old_password": PASSWORD, "password": NEW}).status_code == 302
    assert [browser.get("/account/").status_code for browser in (client, elsewhere)] == [200, 302]


def test_a_session_outlives_a_rotated_key_unless_it_ended(client: Client, settings) -> None:
    """Also one of an account that was disabled before; and disabling ends it under the old key too."""
    alice = make_user(is_active=False)
    User.objects.update(is_active=True)
    alice.refresh_from_db()
    client.force_login(alice)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-that-only-tests-know-0123456789"
    assert client.get("/account/").status_code == 200
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = settings.SECRET_KEY_FALLBACKS[0], [settings.SECRET_KEY]
    for active in (False, True):
        User.objects.update(is_active=active)
    assert client.get("/account/").status_code == 302


def test_accounts_that_were_never_disabled_have_djangos_session_hash() -> None:
    """So sessions from before the salt existed go on."""
    alice = make_user()
    assert alice.get_session_auth_hash() == AbstractBaseUser.get_session_auth_hash(alice)
    assert default_token_generator.check_token(alice, reset_tokens.make_token(alice))


def test_a_password_manager_finds_the_page_that_changes_a_password(client: Client) -> None:
    """By a URL that is the same on all sites; and a missing one is a 404, without which managers do not trust it."""
    client.force_login(make_user())
    page = client.get("/.well-known/change-password", follow=True)
    assert page.redirect_chain == [("/password-change/", 302)]
    assert page.status_code == 200
    missing = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert client.get(missing).status_code == 404


@pytest.mark.parametrize("way", ["change", "reset"])
def test_a_new_password_is_mailed_to_the_owner(client: Client, way: str) -> None:
    """In the account's language, with a link to reset the password."""
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


def test_a_refused_password_sends_no_mail(client: Client) -> None:
    """Nothing has changed."""
    client.force_login(make_user())
    client.post("/password-change/", {"old_password": "wrong", "password": "another horse b"})
    assert not Delivery.objects.exists()


def test_deleting_the_account(client: Client) -> None:
    """After the password; the name and address are free again, and the session ends."""
    client.force_login(make_user())
    assert "Delete my account" in text_of(client.get("/account/delete/"))
    page = client.post("/account/delete/", {"old_password": "wrong"})
    assert (page.status_code, User.objects.count()) == (400, 1)
    assert "Your current password is incorrect" in text_of(page)
    answer = client.post("/account/delete/", {"old_password": PASSWORD}, follow=True)
    assert "Your account is deleted" in text_of(answer)
    assert not User.objects.exists()
    assert client.get("/account/").headers["Location"] == "/login/?next=/account/"
    assert make_user()


def test_a_deleted_account_leaves_no_mark_in_its_browser(client: Client, settings) -> None:
    """The browser still knows the other account that signed in there, and nothing after the last."""

    def delete(name: str) -> str:
        public_id = str(User.objects.get(username=name).public_id)
        client.post("/login/", {"username": name, "password": PASSWORD})
        client.post("/account/delete/", {"old_password": PASSWORD})
        device = client.cookies[settings.DEVICE_COOKIE_NAME].value
        assert public_id not in str(signing.loads(device, salt=visitor.DEVICE.salt) if device else "")
        return device

    make_user(), make_user("bob", BOB)
    client.post("/login/", {"username": "bob", "password": PASSWORD})
    client.post("/logout/")
    kept = signing.loads(delete("alice"), salt=visitor.DEVICE.salt)
    assert [str(User.objects.get().public_id) in str(each) for each in kept] == [False, True]
    assert delete("bob") == ""


def test_an_operator_is_deleted_by_another(admin: Client) -> None:
    """The admin's log refers to operators."""
    assert "/account/delete/" not in text_of(admin.get("/account/"))
    assert admin.post("/account/delete/", {"old_password": PASSWORD}).status_code == 403
    assert User.objects.count() == 1


def test_the_log_of_a_former_operator_is_not_theirs_to_delete(admin: Client) -> None:
    """It would go with the account."""
    operator = User.objects.get()
    LogEntry.objects.log_actions(operator.pk, [operator], CHANGE, "what they did")
    User.objects.update(is_staff=False, is_superuser=False)
    assert "/account/delete/" not in text_of(admin.get("/account/"))
    assert admin.post("/account/delete/", {"old_password": PASSWORD}).status_code == 403
    assert LogEntry.objects.count() == 1


def test_looking_at_the_page_deletes_nothing(client: Client) -> None:
    """A visitor who is not signed in doesn't see it."""
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
    (reset,) = (each for each in outbox.claim(limit=9) if not each.is_for_nobody)
    text = messages.build(reset).body
    link = re.search(r"/password-reset/[\w-]+/[\w-]+/", text)[0]
    form = client.get(link).headers["Location"]
    assert client.post(form, {"password": "password"}).status_code == 400
    assert "Your password is changed. You're signed in" in text_of(client.post(form, {"password": NEW}, follow=True))
    assert "<title>This link doesn't work any more" in text_of(Client().get(link))
    assert client.post("/password-reset/", {"email": ""}).status_code == 400


def test_the_answer_of_a_reset_outlives_a_change_of_language(client: Client) -> None:
    """And a reload: it alone says that there may be no account. Another browser's page has none."""
    page = client.post("/password-reset/", {"email": ALICE}, follow=True)
    assert f"If {ALICE} has an account" in text_of(page)
    page = client.post("/i18n/setlang/?next=/password-reset/done/", {"language": "de"}, follow=True)
    assert f"Wenn es zu {ALICE} ein Konto gibt" in text_of(page)
    assert ALICE not in text_of(Client().get("/password-reset/done/"))


def reset_form(client: Client, user: User) -> str:
    """Open the link of a reset mail; return the path of its form."""
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), reset_tokens.make_token(user)
    return client.get(f"/password-reset/{uid}/{token}/").headers["Location"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "OPTIONS"])
def test_the_link_of_a_reset_is_opened_and_its_form_sent_and_no_more(client: Client, method: str) -> None:
    """Any other method is a 405, as on all pages, whether the link works or not."""
    form = reset_form(client, make_user())
    for path in (form, "/password-reset/x/y/"):
        assert client.generic(method, path).status_code == 405


def test_the_link_of_a_reset_works_for_an_hour() -> None:
    """And not a second longer."""
    user = make_user()
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False) as wall_clock:
        link = f"/password-reset/{urlsafe_base64_encode(force_bytes(user.pk))}/{reset_tokens.make_token(user)}/"
        wall_clock.shift(3_600)
        assert Client().get(link).status_code == 302
        wall_clock.shift(1)
        assert "This link doesn't work any more" in text_of(Client().get(link))


def test_a_form_whose_link_has_ended_is_no_success(client: Client) -> None:
    """A password manager would keep the password."""
    form = reset_form(client, make_user())
    assert Client().post(form, {"password": NEW}).status_code == 400
    client.post(form, {"password": NEW})
    assert client.post(form, {"password": f"{NEW} 2"}).status_code == 400


def test_a_reset_whose_answer_got_lost_leads_to_the_sign_in(client: Client) -> None:
    """Sent again, its form finds that the link has been used. The new password works."""
    form = reset_form(client, make_user())
    lost = client.session.session_key
    client.post(form, {"password": NEW})
    client.cookies["sessionid"] = lost
    assert 'href="/login/">Sign in</a>' in text_of(client.post(form, {"password": NEW}))


@pytest.mark.parametrize("before", ["nobody", "the owner", "somebody else"])
def test_a_reset_signs_the_owner_in(client: Client, before: str) -> None:
    """With a new session, whoever was signed in here; the account's sessions elsewhere end."""
    alice, elsewhere = make_user(), Client()
    elsewhere.force_login(alice)
    if before != "nobody":
        client.force_login(alice if before == "the owner" else make_user("bob", BOB))
    form = reset_form(client, alice)
    key = client.session.session_key
    assert client.post(form, {"password": NEW}).headers["Location"] == "/account/"
    page = text_of(client.get("/account/"))
    assert "Your password is changed. You're signed in" in page
    assert f"<bdi>{ALICE}</bdi></dd>" in page
    assert client.session.session_key not in (None, key)
    assert elsewhere.get("/account/").status_code == 302


def test_a_reset_of_an_account_that_is_disabled_meanwhile_signs_nobody_in(client: Client, monkeypatch) -> None:
    """The sign-in page has the address. The account's next activation brings no session back either."""
    form, choose = reset_form(client, make_user()), services.choose_password

    def slowly(**given: Any) -> None:
        choose(**given)
        User.objects.update(is_active=False)

    monkeypatch.setattr(services, "choose_password", slowly)
    page = client.post(form, {"password": NEW}, follow=True)
    assert page.redirect_chain == [("/login/", 302)]
    assert "Your password is changed. Sign in with it" in text_of(page)
    assert f'value="{ALICE}"' in text_of(page)
    for active in (False, True):
        User.objects.update(is_active=active)
        assert client.get("/account/").status_code == 302


def test_a_sign_in_ends_no_link_of_a_reset(client: Client) -> None:
    """Whoever knows the password could keep its owner from choosing a new one; its use ends it."""
    alice = make_user()
    form = reset_form(client, alice)
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=2)):
        assert Client().post("/login/", {"username": ALICE, "password": PASSWORD}).status_code == 302
        alice.refresh_from_db()
        assert alice.last_login
        assert client.post(form, {"password": NEW}).headers["Location"] == "/account/"
    alice.refresh_from_db()
    assert alice.check_password(NEW)
    assert 'name="password"' not in text_of(client.get(form))


def meanwhile(monkeypatch, change: Callable[[], object]) -> None:
    """Have something happen while the hash of a new password is made."""
    set_password = User.set_password

    def slowly(user: User, password: str) -> None:
        set_password(user, password)
        monkeypatch.undo()
        change()

    monkeypatch.setattr(User, "set_password", slowly)


def test_a_change_in_flight_gives_way_to_a_reset(client: Client, monkeypatch) -> None:
    """The owner's, while a thief who knows the old password changes it; the thief is signed out."""
    alice = make_user()
    client.force_login(alice)
    owner = Client()
    form = reset_form(owner, alice)
    meanwhile(monkeypatch, lambda: owner.post(form, {"password": NEW}))
    thief = client.post("/password-change/", {"old_password": PASSWORD, "password": "thief horse b"}, follow=True)
    assert thief.redirect_chain[-1][0].startswith("/login/")
    alice.refresh_from_db()
    assert alice.check_password(NEW)
    assert owner.get("/account/").status_code == 200


def test_a_reset_holds_against_a_change_in_flight(client: Client, monkeypatch) -> None:
    """Else a thief who changes again and again would keep the owner out."""
    alice = make_user()
    form, thief = reset_form(client, alice), Client()
    thief.force_login(alice)
    fields = {"old_password": PASSWORD, "password": "thief horse b"}
    meanwhile(monkeypatch, lambda: thief.post("/password-change/", fields))
    assert client.post(form, {"password": NEW}).headers["Location"] == "/account/"
    alice.refresh_from_db()
    assert alice.check_password(NEW)
    assert thief.get("/account/").status_code == 302


def test_a_password_whose_hash_is_upgraded_by_its_check_is_changed(client: Client, settings) -> None:
    """The account is not as the session's request found it, and yet has the password that was confirmed."""
    client.force_login(make_user())
    settings.PASSWORD_HASHERS = ["core.passwords.Argon2idHasher", *settings.PASSWORD_HASHERS]
    page = client.post("/password-change/", {"old_password": PASSWORD, "password": NEW}, follow=True)
    assert page.redirect_chain == [("/account/", 302)]
    assert User.objects.get().check_password(NEW)


@pytest.mark.parametrize("how", ["change", "reset"])
@pytest.mark.parametrize("end", ["disabled", "deleted"])
def test_an_account_that_ends_meanwhile_gets_no_password(client: Client, monkeypatch, how: str, end: str) -> None:
    """It works with none of them once an operator activates it again."""
    alice = make_user()
    form = reset_form(client, alice) if how == "reset" else "/password-change/"
    if how == "change":
        client.force_login(alice)
    accounts = User.objects.filter(pk=alice.pk)
    meanwhile(monkeypatch, accounts.delete if end == "deleted" else lambda: accounts.update(is_active=False))
    page = client.post(form, {"old_password": PASSWORD, "password": NEW}, follow=True)
    assert page.status_code in (200, 400)
    assert not any(user.check_password(NEW) for user in accounts)


def test_password_changes_are_limited_by_account(client: Client, settings) -> None:
    """Each sends a mail past the limits of mails, and ends the links of resets."""
    settings.LIMIT_PASSWORD_CHANGES = [(2, 3_600)]
    alice = make_user()
    client.force_login(alice)
    fields = {"old_password": PASSWORD, "password": PASSWORD}
    assert [client.post("/password-change/", fields).status_code for _ in range(3)] == [302, 302, 429]
    assert Delivery.objects.filter(kind="password_changed").count() == 2
    bob = Client()
    bob.force_login(make_user("bob", BOB))
    assert bob.post("/password-change/", fields).status_code == 302
    assert client.post(reset_form(client, User.objects.get(pk=alice.pk)), {"password": NEW}).status_code == 302


def test_no_limit_keeps_the_mail_about_a_new_password_from_its_owner(settings) -> None:
    """Somebody else, who set it, may have asked for all the resets that the mailbox gets in a day."""
    settings.LIMIT_RESETS_MAILBOX = settings.LIMIT_RESETS_SITE = [(1, 86_400)]
    alice = make_user()
    services.request_password_reset(address=ALICE, language="en", network="here")
    assert [each.kind for each in deliver()] == ["password_reset"]
    services.change_password(user=alice, password=NEW, language="en")
    assert [each.kind for each in deliver()] == ["password_changed"]


def test_the_form_of_a_reset_says_whose_password_it_changes(client: Client) -> None:
    """A stranger can mail the link of another account."""
    assert f"<p><bdi>{ALICE}</bdi></p>" in text_of(client.get(reset_form(client, make_user())))


@pytest.mark.parametrize(("username", "name"), [("alice", "alice"), (None, ALICE)])
@pytest.mark.parametrize("path", ["/password-change/", "/account/delete/", None], ids=["change", "delete", "reset"])
def test_a_form_with_a_password_names_its_account_to_password_managers(
    client: Client, path: str | None, username: str | None, name: str
) -> None:
    """
    By the name with which they saved it at sign-up, or they keep the old password there, and save another entry; also
    where the form comes back with errors. An account that an operator made may have no username.
    """
    alice = make_user()
    User.objects.update(username=username)
    client.force_login(alice)
    path = path or reset_form(client, alice)
    for page in (client.get(path), client.post(path, {})):
        assert named_to_password_managers(page) == name


def named_to_password_managers(page: Any) -> str:
    [named] = re.findall(r'<input hidden autocomplete="username" value="([^"]*)">', text_of(page))
    return str(named)


@pytest.mark.parametrize(("typed", "name"), [("Alice", "alice"), ("Alice@Example.com", ALICE)])
@pytest.mark.parametrize("sign_in", ["/login/", "/admin/login/"])
def test_a_form_with_a_password_names_the_account_as_it_signed_in(
    client: Client, sign_in: str, typed: str, name: str
) -> None:
    """
    Firefox and Chromium save a password by what was typed. By the other name they did not fill in the present one, and
    saved the new one as a second account, beside the one that has the old.
    """
    make_user(is_staff=True)
    client.post(sign_in, {"username": typed, "password": PASSWORD, "next": "/account/"})
    client.post("/password-change/", {"old_password": PASSWORD, "password": NEW})
    assert named_to_password_managers(client.get("/password-change/")) == name


def test_createsuperuser_is_active_and_activated() -> None:
    """With a canonical address; no sign-up can take it over."""
    call_command("createsuperuser", "--noinput", email="Root@Example.com", username="root", stdout=StringIO())
    root = User.objects.get()
    assert (root.email, root.is_superuser, root.is_active, root.is_registered) == ("root@example.com", True, True, True)
    assert root.activated_at is not None
    with pytest.raises(CommandError):
        call_command("createsuperuser", "--noinput", email="nonsense", username="root2", stdout=StringIO())


def in_shell(code: str, postgres: Postgres, logs: Path) -> str:
    """What `manage.py shell` prints of this code, on PostgreSQL without any other server."""
    system = System(database=postgres.migrated_database(), logs=logs)
    return system.shell(code)


DELETED = """
import threading
from django.contrib import admin
from django.db import connection
from signup.accounts.services import request_password_reset
from signup.models import User
from worker.models import Delivery
alice = User.objects.create_user(email="alice@example.com", username="alice", password="correct horse b")
def ask():
    request_password_reset(address="alice@example.com", language="en")
    connection.close()
asking = threading.Thread(target=ask)
def meanwhile(execute, sql, *args):
    if sql.startswith('DELETE FROM "signup_user"'):  # what belongs to the account is deleted
        asking.start()
        asking.join(1)
    return execute(sql, *args)
with connection.execute_wrapper(meanwhile):
    DELETE
asking.join()
print("LEFT", User.objects.count(), list(Delivery.objects.values_list("kind", "user")))
"""


@pytest.mark.postgres
@pytest.mark.parametrize(
    "delete", ["alice.delete()", "admin.site.get_model_admin(User).delete_queryset(None, User.objects.all())"]
)
def test_an_account_can_be_deleted_while_somebody_asks_for_a_reset(
    postgres: Postgres, tmp_path: Path, delete: str
) -> None:
    """Neither fails: the account is gone, and the mail is one for nobody."""
    printed = in_shell(DELETED.replace("DELETE\n", f"{delete}\n"), postgres, tmp_path)
    assert "LEFT 0 [('password_reset', None)]" in printed


RECORDED = """
import threading
from django.db import connection
from signup.models import User
from worker import outbox
from worker.classification import Outcome, Reply
alice = User.objects.create_user(email="alice@example.com", username="alice", password="correct horse b")
for number in range(2):
    outbox.post(kind="password_changed", recipient=alice.email, language="en", network=None, user_id=alice.pk)
mine = sorted(outbox.claim(limit=2), key=lambda mail: -mail.pk)
errors = []
def delete():
    try:
        alice.delete()
    except Exception as error:
        errors.append(error)
    connection.close()
deleting, updates = threading.Thread(target=delete), []
def meanwhile(execute, sql, *args):
    result = execute(sql, *args)
    if sql.startswith('UPDATE "worker_delivery"'):
        updates.append(sql)
        if len(updates) == 1:
            deleting.start()
            deleting.join(1)
    return result
with connection.execute_wrapper(meanwhile):
    RECORD
deleting.join()
print("ERRORS", errors, len(updates), User.objects.count())
"""


@pytest.mark.postgres
@pytest.mark.parametrize(
    "record",
    ["outbox.release(deliveries=mine)", 'outbox.settle(results=[(m, Reply(Outcome.REFUSED, "550 no")) for m in mine])'],
)
def test_an_account_can_be_deleted_while_a_worker_records_its_mails(
    postgres: Postgres, tmp_path: Path, record: str
) -> None:
    """Both take its mails in one order, so that neither waits for the other for ever."""
    assert "ERRORS [] 2 0" in in_shell(RECORDED.replace("RECORD\n", f"{record}\n"), postgres, tmp_path)


SAVED = """
import threading
from django.contrib.admin import ModelAdmin
from django.db import connection
from django.test import Client
from django.test.utils import setup_test_environment
from signup.accounts.services import change_password
from signup.models import User
setup_test_environment()
root = User.objects.create_superuser(email="root@example.com", username="root", password="correct horse b")
alice = User.objects.create_user(email="alice@example.com", username="alice", password="correct horse b")
operator = Client()
operator.force_login(root)
def act():
    MEANWHILE
    connection.close()
other = threading.Thread(target=act)
read = ModelAdmin.get_object
def meanwhile(*args):
    found = read(*args)
    other.start()
    other.join(2)
    return found
ModelAdmin.get_object = meanwhile
print("STATUS", operator.post(f"/admin/signup/user/{alice.pk}/PAGE/", FIELDS).status_code, end=" ")
other.join()
"""


@pytest.mark.postgres
def test_a_save_in_the_admin_undoes_nothing_that_the_owner_does_meanwhile(postgres: Postgres, tmp_path: Path) -> None:
    """The former password, which may be a stolen one, does not come back."""
    fields = {"email": "alice@example.com", "username": "alice", "language": "de", "is_active": "on"}
    change = 'change_password(user=User.objects.get(pk=alice.pk), password="another horse c", language="en")'
    code = SAVED.replace("MEANWHILE", change).replace("PAGE", "change").replace("FIELDS", repr(fields))
    code += 'alice.refresh_from_db()\nprint("NEW", alice.check_password("another horse c"), alice.language)'
    assert "STATUS 302 NEW True de" in in_shell(code, postgres, tmp_path)


@pytest.mark.postgres
def test_a_password_can_be_set_while_somebody_deletes_its_account(postgres: Postgres, tmp_path: Path) -> None:
    """The deletion waits for it: an account that is gone would be a server error."""
    fields = {"usable_password": "true", "password1": NEW, "password2": NEW}
    code = SAVED.replace("MEANWHILE", "User.objects.get(pk=alice.pk).delete()")
    code = code.replace("PAGE", "password").replace("FIELDS", repr(fields))
    code += 'print("LEFT", User.objects.filter(pk=alice.pk).count())'
    assert "STATUS 302 LEFT 0" in in_shell(code, postgres, tmp_path)


class Refuser:
    """Only refuses sign-ins, as the backend of django-axes does: it finds no session's account again."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        return None


@pytest.mark.parametrize("way", ["sign-up", "reset"])
def test_a_session_is_of_a_backend_that_finds_its_account_again(client: Client, settings, way: str) -> None:
    """Another package's backend may be the first."""
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Refuser", *settings.AUTHENTICATION_BACKENDS]
    if way == "sign-up":
        verify(client, ask(client))
    else:
        client.post(reset_form(client, make_user()), {"password": NEW})
    assert client.get("/account/").status_code == 200


class Remembers:
    """A validator that learns each password of an account."""

    learned: list[tuple[str, str]] = []

    def validate(self, password: str, user: User | None = None) -> None:
        pass

    def password_changed(self, password: str, user: User) -> None:
        self.learned.append((user.username, password))

    def get_help_text(self) -> str:
        return ""


def test_a_validator_learns_the_first_password_too(client: Client, settings, monkeypatch) -> None:
    """Of whoever signs up, and of accounts that code makes; else its owner could go back to it."""
    monkeypatch.setattr(Remembers, "learned", [])
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": f"{__name__}.Remembers"}]
    verify(client, ask(client))
    User.objects.create_user(email=BOB, username="bob", password=NEW)
    assert Remembers.learned == [("alice", PASSWORD), ("bob", NEW)]
