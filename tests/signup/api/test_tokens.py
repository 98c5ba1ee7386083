"""Tokens: hashed at rest, expiring, few, and gone with the password."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from knox.models import AuthToken

from signup.accounts.services import AccountChanged
from signup.api import tokens
from signup.models import User
from signup.retention import purge
from tests.factories import BOB, PASSWORD, make_user
from tests.signup.api.conftest import Api

NEW = "another horse b"


@pytest.fixture
def alice(api: Api) -> User:
    """Signed in over the API."""
    user = make_user()
    api.sign_in(tokens.issue(user=user).token)
    assert api.get("/api/users/me/").status_code == 200
    return user


def refused(api: Api) -> bool:
    answer = api.get("/api/users/me/")
    return (answer.status_code, answer.json().get("code")) == (401, "invalid_token")


def test_the_database_holds_no_token(api: Api, alice: User) -> None:
    """Its hash, and the 15 characters by which the row is found."""
    token = api.headers["authorization"].removeprefix("Token ")
    row = AuthToken.objects.get()
    assert len(token) == 64
    assert token not in (row.digest, row.token_key)
    assert len(row.token_key) == 15


def test_a_token_expires(api: Api, alice: User) -> None:
    """And the purge deletes it."""
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert dict(purge(dry_run=True))["tokens"] == 1
    assert refused(api)
    AuthToken.objects.create(user=alice, expiry=-timedelta(seconds=1))
    AuthToken.objects.create(user=alice)
    assert dict(purge())["tokens"] == 1
    assert AuthToken.objects.count() == 1


def test_changing_the_password_revokes_tokens(api: Api, alice: User) -> None:
    """On the account's page."""
    browser = Client()
    browser.force_login(alice)
    assert browser.post("/password-change/", {"old_password": PASSWORD, "password": NEW}).status_code == 302
    assert refused(api)


def test_resetting_the_password_revokes_tokens(api: Api, alice: User) -> None:
    """By the mail's link."""
    uid, token = urlsafe_base64_encode(force_bytes(alice.pk)), default_token_generator.make_token(alice)
    browser = Client()
    form = browser.get(f"/password-reset/{uid}/{token}/").headers["Location"]
    assert browser.post(form, {"password": NEW}).status_code == 302
    assert refused(api)


def test_a_password_that_an_operator_sets_revokes_tokens(api: Api, alice: User, monkeypatch) -> None:
    """By `manage.py changepassword`, as by the admin: both save the account."""
    monkeypatch.setattr("getpass.getpass", lambda prompt: NEW)
    call_command("changepassword", alice.email)
    assert refused(api)


@pytest.mark.parametrize("remove", [User.set_unusable_password, lambda user: user.set_password(None)])
def test_an_account_without_a_password_has_no_tokens(api: Api, alice: User, remove: Callable[[User], None]) -> None:
    """However it was removed."""
    remove(alice)
    alice.save()
    assert refused(api)
    assert not AuthToken.objects.exists()


def test_nothing_else_revokes_tokens(api: Api, alice: User, settings) -> None:
    """Saving the account, signing in, or a better hash of the same password."""
    alice.save()
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    assert api.post("/api/login/", {"username": "alice", "password": PASSWORD}).status_code == 200
    assert User.objects.get().password.startswith("pbkdf2")
    assert not refused(api)


def test_signing_out_ends_one_token(api: Api, alice: User) -> None:
    """The other devices stay signed in."""
    other = tokens.issue(user=alice).token
    api.post("/api/logout/")
    assert refused(api)
    api.sign_in(other)
    assert not refused(api)


def test_an_account_has_ten_tokens_at_most(api: Api, alice: User) -> None:
    """Its oldest is deleted, so that a forgotten device keeps nobody out. Another account's tokens do not count."""
    tokens.issue(user=make_user("bob", BOB))
    for _ in range(9):
        tokens.issue(user=alice)
    assert not refused(api)
    tokens.issue(user=alice)
    assert refused(api)
    assert AuthToken.objects.count() == 10 + 1


def test_a_project_may_set_no_number_of_tokens(api: Api, alice: User, monkeypatch) -> None:
    """By a REST_KNOX of its own: knox has none by default, and each sign-in was a server error."""
    monkeypatch.setattr(tokens.knox_settings, "TOKEN_LIMIT_PER_USER", None)
    for _ in range(10):
        tokens.issue(user=alice)
    assert not refused(api)


def test_a_token_is_not_made_for_a_password_that_changed_meanwhile(alice: User) -> None:
    """Else a thief's sign-in that was under way would outlive the owner's change."""
    read_before = User.objects.get()
    alice.set_password(NEW)
    alice.save()
    with pytest.raises(AccountChanged):
        tokens.issue(user=read_before)
    assert not AuthToken.objects.exists()


def test_the_admin_neither_shows_nor_makes_tokens(alice: User) -> None:
    """knox's own page is gone."""
    from django.contrib import admin

    assert AuthToken not in admin.site._registry
