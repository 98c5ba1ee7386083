"""The calls of people who have an account: what the pages can do, by the rules of the pages."""

import json
from unittest.mock import Mock

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.hashers import make_password
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from knox.models import AuthToken

from signup.accounts.services import AccountChanged
from signup.models import User
from tests.factories import ALICE, BOB, PASSWORD, claim_mail, make_pending, make_user
from tests.signup.api.conftest import Api, codes
from worker import outbox
from worker.models import Delivery

NEW = "another horse b"
PASSWORD_PATH = "/api/users/me/password/"


@pytest.fixture
def alice(api: Api) -> User:
    """Signed in over the API."""
    user = make_user()
    api.sign_in(api.post("/api/login/", {"username": "alice", "password": PASSWORD}).json()["token"])
    return user


def send(api: Api, method: str, data: dict, path: str = "/api/users/me/") -> HttpResponse:
    return api.client.generic(method, path, json.dumps(data), content_type="application/json", headers=api.headers)


# --- Reset ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["new", "pending", "registered", "disabled"])
def test_a_reset_is_answered_alike_for_every_address(api: Api, kind: str) -> None:
    """The page's words, in the caller's language; a mail only where there is an active account."""
    if kind == "pending":
        make_pending()
    if kind in ("registered", "disabled"):
        make_user(is_active=kind == "registered")
    answer = api.post("/api/password-reset/", {"email": " Alice@Example.com "})
    assert (answer.status_code, answer["Content-Language"]) == (202, "en")
    assert answer.json() == {"detail": f"If {ALICE} has an account, we've sent instructions"}
    (delivery,) = outbox.claim(limit=2)
    assert (delivery.kind, delivery.recipient, delivery.is_for_nobody) == (
        "password_reset",
        ALICE,
        kind != "registered",
    )


@pytest.mark.parametrize(
    ("email", "code"), [("", "required"), ("alice", "invalid"), ("a" * 400, "invalid"), (7, "not_a_string")]
)
def test_an_address_that_is_no_address_is_refused(api: Api, email: object, code: str) -> None:
    """At its field; nothing is queued."""
    answer = api.post("/api/password-reset/", {"email": email})
    assert (answer.status_code, answer.json()["code"], codes(answer)) == (400, "validation", {"email": [code]})
    assert not Delivery.objects.exists()


def test_a_reset_is_in_the_language_of_the_account(api: Api) -> None:
    """Else of the request."""
    make_user(language="zh-hant")
    api.headers["accept-language"] = "zh-CN"
    for email in (ALICE, BOB):
        api.post("/api/password-reset/", {"email": email})
    outbox.claim(limit=2)
    assert list(Delivery.objects.order_by("pk").values_list("language", flat=True)) == ["zh-hant", "zh-hans"]


# --- Password ---------------------------------------------------------------------------------------------------------


def test_changing_the_password_ends_all_tokens_and_gives_a_new_one(api: Api, alice: User) -> None:
    """The owner gets the mail that the page sends, and sessions end too."""
    browser, old = Client(), api.headers["authorization"]
    browser.force_login(alice)
    api.post("/api/login/", {"username": "alice", "password": PASSWORD})
    answer = api.post(PASSWORD_PATH, {"old_password": PASSWORD, "password": NEW})
    assert (answer.status_code, set(answer.json())) == (200, {"token", "expires_at"})
    assert AuthToken.objects.count() == 1
    assert api.get("/api/users/me/").json()["code"] == "invalid_token"
    api.sign_in(answer.json()["token"])
    assert api.headers["authorization"] != old
    assert api.get("/api/users/me/").status_code == 200
    assert User.objects.get().check_password(NEW)
    assert browser.get("/account/").status_code == 302
    assert Delivery.objects.get().kind == "password_changed"


def test_a_wrong_current_password_changes_nothing(api: Api, alice: User) -> None:
    """It is named beside what is wrong with the new one, and no mail is sent."""
    answer = api.post(PASSWORD_PATH, {"old_password": "wrong", "password": "short"})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation")
    assert codes(answer) == {"old_password": ["password_incorrect"], "password": ["password_too_short"]}
    missing = codes(api.post(PASSWORD_PATH, {}))
    assert missing == {"old_password": ["required"], "password": ["required"]}
    assert User.objects.get().check_password(PASSWORD)
    assert not Delivery.objects.exists()
    assert api.get("/api/users/me/").status_code == 200


def test_a_new_password_is_unlike_the_account(api: Api, alice: User) -> None:
    """The validators know whose it is."""
    answer = api.post(PASSWORD_PATH, {"old_password": PASSWORD, "password": "alice@example1"})
    assert codes(answer) == {"password": ["password_too_similar"]}


def test_no_token_is_made_if_the_password_changed_meanwhile(api: Api, alice: User, monkeypatch) -> None:
    """The owner, who changed it in another place, keeps the thief out."""
    monkeypatch.setattr("signup.api.tokens.issue", Mock(side_effect=AccountChanged))
    answer = api.post(PASSWORD_PATH, {"old_password": PASSWORD, "password": NEW})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


# --- Language ---------------------------------------------------------------------------------------------------------


def test_the_language_of_an_account_can_be_changed(api: Api, alice: User) -> None:
    """Later mails are in it; messages still follow Accept-Language. Nothing else changes, and tokens stay."""
    answer = send(api, "PATCH", {"language": "zh-hans", "username": "eve", "email": BOB, "is_staff": True})
    assert (answer.status_code, answer["Content-Language"]) == (200, "en")
    assert answer.json() == api.get("/api/users/me/").json()
    assert answer.json() == {"id": str(alice.public_id), "username": "alice", "email": ALICE, "language": "zh-hans"}
    api.post("/api/password-reset/", {"email": ALICE})
    assert claim_mail().language == "zh-hans"
    assert not User.objects.get().is_staff


@pytest.mark.parametrize(("asked", "code"), [("zh-TW", "zh-hant"), ("zh_Hant_HK", "zh-hant"), ("pt", "pt-br")])
def test_a_language_may_be_named_as_a_device_names_it(api: Api, settings, alice: User, asked: str, code: str) -> None:
    """It is kept by the site's own code, as with `?lang=`."""
    settings.LANGUAGES = [each for each in settings.LANGUAGES if each[0] in ("en", "pt-br", "zh-hans", "zh-hant")]
    assert send(api, "PATCH", {"language": asked}).json()["language"] == code
    assert User.objects.get().language == code


@pytest.mark.parametrize(("data", "code"), [
    ({}, "required"),
    ({"language": "tlh"}, "invalid_choice"),
    ({"language": "x" * 70}, "invalid_choice"),
    ({"language": ["en"]}, "not_a_string"),
])  # fmt: skip
def test_a_language_that_the_site_does_not_have_is_refused(api: Api, alice: User, data: dict, code: str) -> None:
    """At its field."""
    answer = send(api, "PATCH", data)
    assert (answer.status_code, codes(answer)) == (400, {"language": [code]})


# --- Deletion ---------------------------------------------------------------------------------------------------------


def test_deleting_the_account(api: Api, alice: User) -> None:
    """After its password. Tokens and sessions end, and the name and address are free again."""
    browser = Client()
    browser.force_login(alice)
    for password, code in (("wrong", "password_incorrect"), ("", "required"), (7, "not_a_string"), ("\x00", None)):
        answer = send(api, "DELETE", {"password": password})
        assert (answer.status_code, set(codes(answer))) == (400, {"password"})
        assert code is None or codes(answer) == {"password": [code]}
    assert codes(api.client.delete("/api/users/me/", headers=api.headers)) == {"password": ["required"]}
    assert User.objects.exists()
    answer = send(api, "DELETE", {"password": PASSWORD})
    assert (answer.status_code, answer.content) == (204, b"")
    assert not User.objects.exists()
    assert not AuthToken.objects.exists()
    assert api.get("/api/users/me/").json()["code"] == "invalid_token"
    assert browser.get("/account/").status_code == 302
    assert make_user()


@pytest.mark.parametrize("is_staff", [True, False])
def test_an_operator_is_not_deleted_by_the_api(api: Api, alice: User, is_staff: bool) -> None:
    """As on the page: another operator deletes them in the admin, and those who were operators."""
    LogEntry.objects.log_actions(alice.pk, [alice], CHANGE, "what they did")
    User.objects.update(is_staff=is_staff)
    answer = send(api, "DELETE", {"password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert User.objects.exists()


def test_a_password_that_was_replaced_meanwhile_is_not_changed(api: Api, alice: User, monkeypatch) -> None:
    """By a reset, while the hash of this one is made: the token is worth nothing any more."""
    set_password = User.set_password

    def slowly(user: User, password: str) -> None:
        set_password(user, password)
        alice.password = make_password("reset horse b")
        alice.save()

    monkeypatch.setattr(User, "set_password", slowly)
    answer = api.post(PASSWORD_PATH, {"old_password": PASSWORD, "password": NEW})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert User.objects.get().check_password("reset horse b")


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_changes_are_limited_by_account(api: Api, alice: User, settings) -> None:
    """With those of the pages; each sends a mail."""
    settings.LIMIT_PASSWORD_CHANGES = [(1, 3_600)]
    browser = Client()
    browser.force_login(alice)
    assert browser.post("/password-change/", {"old_password": PASSWORD, "password": NEW}).status_code == 302
    api.sign_in(api.post("/api/login/", {"username": "alice", "password": NEW}).json()["token"])
    answer = api.post(PASSWORD_PATH, {"old_password": NEW, "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")


@pytest.mark.parametrize("limit", ["LIMIT_LOGIN_NETWORK", "LIMIT_LOGIN_PAIR", "LIMIT_LOGIN_ACCOUNT"])
def test_passwords_are_limited_as_on_the_pages(api: Api, alice: User, settings, limit: str) -> None:
    """Sign-in, change and deletion count together, in calls and pages."""
    cache.clear()
    setattr(settings, limit, [(4, 3600)])
    assert api.post("/api/login/", {"username": ALICE, "password": "wrong"}).status_code == 401
    assert api.post(PASSWORD_PATH, {"old_password": "wrong", "password": NEW}).status_code == 400
    assert send(api, "DELETE", {"password": "wrong"}).status_code == 400
    browser = Client()
    browser.force_login(alice)
    assert browser.post("/account/delete/", {"old_password": "wrong"}).status_code == 400
    for answer in (
        api.post(PASSWORD_PATH, {"old_password": PASSWORD, "password": NEW}),
        send(api, "DELETE", {"password": PASSWORD}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert int(answer["Retry-After"]) > 0
    assert User.objects.get().check_password(PASSWORD)
