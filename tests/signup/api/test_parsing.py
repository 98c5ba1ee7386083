"""Bodies: strict JSON, and nothing else."""

from datetime import timedelta

import pytest
from django.http import HttpResponse

from core import clock
from signup.api import tokens
from signup.models import User
from tests.factories import ALICE, make_user
from tests.signup.api.conftest import Api
from verification.models import CaptchaModel

UNREADABLE = {
    "no JSON": b"email=alice@example.com",
    "two objects": b"{}{}",
    "a list": b'["alice@example.com"]',
    "a string": b'"alice@example.com"',
    "null": b"null",
    "a key twice": b'{"email": "alice@example.com", "email": "bob@example.com"}',
    "a key twice, deep inside": b'{"email": "alice@example.com", "x": [{"a": 1, "a": 2}]}',
    "NaN": b'{"email": "alice@example.com", "x": NaN}',
    "Infinity": b'{"email": "alice@example.com", "x": -Infinity}',
    "a float without end": b'{"email": "alice@example.com", "x": 1e999}',
    "an integer without end": b'{"email": "alice@example.com", "x": ' + b"9" * 5_000 + b"}",
    "depth": b'{"email": "alice@example.com", "x": ' + b"[" * 17 + b"]" * 17 + b"}",
    "great depth": b"[" * 60_000,
    "great depth of objects": b'{"a":' * 12_000,
    "half a surrogate": b'{"email": "alice@example.com", "x": "\\ud800"}',
    "half a surrogate as a key": b'{"email": "alice@example.com", "\\udfff": 1}',
    "half a surrogate in a field": b'{"email": "\\ud83d@example.com"}',
    "Latin-1": '{"email": "alice@example.com", "x": "é"}'.encode("latin-1"),
    "UTF-16": '{"email": "alice@example.com"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"email": "alice@example.com"}',
    "a NUL outside": b'{"email": "alice@example.com"}\x00',
}


def send(api: Api, body: bytes, content_type: str = "application/json", path: str = "/api/captchas/") -> HttpResponse:
    return api.client.generic("POST", path, body, content_type=content_type)


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("path", ["/api/captchas/", "/api/users/", "/api/login/", "/api/password-reset/"])
def test_a_body_that_parsers_disagree_about_is_a_400(api: Api, name: str, path: str) -> None:
    """Never a 500, and nothing happens."""
    answer = send(api, UNREADABLE[name], path=path)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert not User.objects.exists()


@pytest.mark.parametrize("content_type", [
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/problem+json",
    "application/vnd.api+json",
    "application/json; charset=utf-16",
    "application/json; charset=latin-1",
    "*/*",
])  # fmt: skip
@pytest.mark.parametrize(
    "path",
    ["/api/captchas/", "/api/users/", "/api/login/", "/api/password-reset/", f"/api/captchas/{'x' * 24}/resend/"],
)
def test_anything_but_json_is_a_415(api: Api, content_type: str, path: str) -> None:
    """Also JSON that is sent as text, which pages of other sites can post without a preflight."""
    answer = send(api, b'{"email": "alice@example.com"}', content_type, path)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert answer["Content-Type"] == "application/problem+json"
    assert not CaptchaModel.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "/api/users/me/"), ("DELETE", "/api/users/me/"), ("POST", "/api/users/me/password/")]
)
def test_a_call_with_a_token_is_as_strict(api: Api, method: str, path: str) -> None:
    """PATCH and DELETE too."""
    api.sign_in(tokens.issue(user=make_user()).token)
    for body, content_type, code in (
        (b'{"password": "x"}', "text/plain", "unsupported_media_type"),
        (b'{"password": "x"}', "", "unsupported_media_type"),
        (b'{"password": "x", "password": "y"}', "application/json", "malformed"),
        (b'["password"]', "application/json", "malformed"),
    ):
        answer = api.client.generic(method, path, body, content_type=content_type, headers=api.headers)
        assert answer.json()["code"] == code


def test_a_body_without_a_type_is_a_415(api: Api) -> None:
    """No type is guessed; an empty body needs none."""
    for path in ("/api/captchas/", f"/api/captchas/{'x' * 24}/resend/"):
        assert send(api, b'{"email": "alice@example.com"}', "", path).status_code == 415
    assert send(api, b"", "").json()["errors"]["email"][0]["code"] == "required"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_no_body_needs_no_type(api: Api, content_type: str) -> None:
    """Clients name these types for an empty body; a call that needs fields reports them as missing."""
    sign_up = api.ask()
    CaptchaModel.objects.update(requested_at=clock.now() - timedelta(minutes=2))
    assert send(api, b"", content_type, f"/api/captchas/{sign_up.handle}/resend/").status_code == 202
    api.sign_in(api.register(sign_up).json()["token"])
    assert send(api, b"", content_type, "/api/captchas/").json()["code"] == "validation"
    assert api.post("/api/logout/", content_type=content_type).status_code == 204


def test_a_sign_out_ends_the_token_whatever_its_body(api: Api) -> None:
    """As Django's own test client sends an empty form with boundaries."""
    for options in ({}, {"data": "x", "content_type": "text/plain"}, {"data": "{", "content_type": "application/json"}):
        token = tokens.issue(user=User.objects.first() or make_user()).token
        headers = {"authorization": f"Token {token}"}
        assert api.client.post("/api/logout/", headers=headers, **options).status_code == 204
        assert api.client.get("/api/users/me/", headers=headers).status_code == 401


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON", "application/json; charset=UTF-8"])
def test_json_by_any_of_its_names(api: Api, content_type: str) -> None:
    """Unknown fields are ignored, whatever they hold."""
    body = b'{"is_staff": true, "email": "alice@example.com", "id": 7, "x": [[[{"deep": null}]]], "\\u0000": "\\u0000"}'
    assert send(api, body, content_type).status_code == 202
    assert User.objects.filter(email=ALICE, is_staff=False, is_active=False).exists()


def test_a_body_over_64_kib_is_a_413(api: Api) -> None:
    """In the caller's language, as a problem."""
    answer = api.post("/api/users/", {"password": "x" * 70_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    api.headers["accept-language"] = "zh-TW"
    assert api.post("/api/users/", {"password": "x" * 70_000}).json()["detail"] == "最多 64 KiB"


def test_the_accept_header_is_ignored(api: Api) -> None:
    """There is one kind of response, so no Accept header is refused."""
    for accept in ("text/html", "application/xml", "garbage", "application/json;q=0"):
        answer = api.get("/api/users/me/", accept=accept)
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
