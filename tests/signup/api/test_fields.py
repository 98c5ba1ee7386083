"""The validation of each field: the errors of a classic sign-up API."""

import pytest

from tests.factories import ALICE, BOB, make_user, wrong
from tests.signup.api.conftest import Api, codes

USERNAMES = {"": "required", "a": "length", "a" * 21: "length", "a@b": "characters", "alіce": "characters"}


@pytest.mark.parametrize("username", USERNAMES)
def test_usernames_that_are_refused(api: Api, username: str) -> None:
    """Missing, too short, too long, like an address, of two scripts; no try is counted."""
    sign_up = api.ask()
    answer = api.register(sign_up, username=username)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation")
    assert codes(answer) == {"username": [USERNAMES[username]]}
    sign_up.refresh_from_db()
    assert (sign_up.attempts, sign_up.proven_at) == (0, None)


def test_a_username_that_is_taken(api: Api) -> None:
    """Only the holder of the code is told; the code works with another name, and nothing is counted."""
    make_user("bob", BOB)
    sign_up = api.ask()
    assert codes(api.register(sign_up, username="BOB", captcha=wrong(sign_up))) == {"captcha": ["mismatch"]}
    answer = api.register(sign_up, username="BOB")
    assert (answer.status_code, answer.json()["code"]) == (400, "username_taken")
    assert answer.json()["errors"]["username"][0]["message"] == "That username is taken. Choose another"
    sign_up.refresh_from_db()
    assert sign_up.attempts == 1
    assert api.register(sign_up, username="alice").status_code == 201


PASSWORDS = {
    "": "required",
    "7 chars": "password_too_short",
    "x" * 129: "password_too_long",
    "password123": "password_too_common",
    "alicealice1": "password_too_similar",
    "nul \x00 in it": "null_characters_not_allowed",
}


@pytest.mark.parametrize("password", PASSWORDS)
def test_passwords_that_are_refused(api: Api, password: str) -> None:
    """Missing, too short, too long, too common, like the username."""
    answer = api.register(api.ask(), username="alicealice", password=password)
    assert answer.status_code == 400
    assert codes(answer) == {"password": [PASSWORDS[password]]}
    assert len(password) < 5 or password not in answer.content.decode()


@pytest.mark.parametrize(("email", "code"), [("", "required"), ("alice", "invalid"), ("a@b@c.d", "invalid")])
def test_addresses_that_are_refused(api: Api, email: str, code: str) -> None:
    """Missing and malformed."""
    answer = api.post("/api/captchas/", {"email": email})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation")
    assert codes(answer) == {"email": [code]}


def test_all_fields_are_missing_at_once(api: Api) -> None:
    """A body with the id alone: each missing field is named, and the code isn't compared."""
    answer = api.post("/api/users/", {"id": api.ask().handle})
    assert codes(answer) == {name: ["required"] for name in ("email", "username", "password", "captcha")}


def test_a_registered_address_is_refused_where_the_site_reveals_it(api: Api, settings) -> None:
    """With a code of its own; elsewhere the response is the same as for any address."""
    make_user()
    assert api.post("/api/captchas/", {"email": ALICE}).status_code == 202
    settings.SIGNUP_REVEAL_REGISTERED = True
    answer = api.post("/api/captchas/", {"email": ALICE})
    assert (answer.status_code, answer.json()["code"]) == (400, "email_registered")
    assert answer.json()["errors"]["email"][0]["message"] == "This email address is already registered"


@pytest.mark.parametrize("value", [1234, True, None, 12.5, ["1", "2"], {"a": "b"}])
@pytest.mark.parametrize("field", ["id", "email", "captcha", "username", "password"])
def test_fields_are_strings(api: Api, field: str, value: object) -> None:
    """A number is no code, even where it reads like one; nothing is counted."""
    sign_up = api.ask()
    answer = api.register(sign_up, **{field: value})
    assert (answer.status_code, codes(answer)) == (400, {field: ["not_a_string"]})
    sign_up.refresh_from_db()
    assert sign_up.attempts == 0


def test_a_validator_of_the_sites_own_refuses_a_password(api: Api, settings) -> None:
    """With a code of its own, which our list of codes has not."""
    name = "django.contrib.auth.password_validation.NumericPasswordValidator"
    settings.AUTH_PASSWORD_VALIDATORS = [*settings.AUTH_PASSWORD_VALIDATORS, {"NAME": name}]
    answer = api.register(api.ask(), password="9482749237492")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation")
    assert codes(answer) == {"password": ["password_entirely_numeric"]}
