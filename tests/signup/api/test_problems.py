"""Problems: RFC 9457, in the caller's language, also where no call was reached."""

import json
import sys

import pytest
from django.core.signals import got_request_exception
from django.test import Client
from django.views.debug import SafeExceptionReporterFilter

from signup.api import tokens
from tests.factories import ALICE, BOB, PASSWORD, make_captcha, make_user, wrong
from tests.signup.api.conftest import Api

LANGUAGES = {
    "en": ("en", "That code does not match this email address. You can try 4 more times"),
    "zh-CN,zh;q=0.9": ("zh-hans", "验证码和邮箱不匹配，还可以尝试 4 次"),
    "zh-TW": ("zh-hant", "驗證碼與電子郵件不符，還可以再試 4 次"),
    "fr-CA": ("fr", "Ce code ne correspond pas à cette adresse e-mail. Vous pouvez encore essayer 4 fois"),
    "tlh": ("en", "That code does not match this email address. You can try 4 more times"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_problem_speaks_the_callers_language(api: Api, language: str) -> None:
    """All members of the RFC, ours, and the headers that name the language."""
    sign_up = make_captcha()
    api.headers["accept-language"] = language
    answer = api.register(sign_up, captcha=wrong(sign_up))
    tag, message = LANGUAGES[language]
    problem = answer.json()
    assert answer["Content-Language"] == tag
    assert "Accept-Language" in answer["Vary"]
    assert (problem["type"], problem["status"], problem["code"]) == ("/api/docs/#mismatch", 400, "mismatch")
    assert problem["detail"] == message
    assert problem["errors"] == {"captcha": [{"code": "mismatch", "message": message}]}
    assert set(problem) == {"type", "title", "status", "detail", "code", "errors"}


def test_the_language_cookie_of_the_pages_is_ignored(api: Api) -> None:
    """Vary names Accept-Language alone, so a cookie must not choose the language."""
    api.client.cookies["django_language"] = "zh-hans"
    for answer in (api.post("/api/captchas/", {}), api.post("/api/users/", {"x": "x" * 70_000}), api.get("/api/x/")):
        assert answer["Content-Language"] == "en"
        assert answer.json()["detail"].isascii()


@pytest.mark.parametrize(("status", "code", "sent"), [
    (413, "too_large", {"CONTENT_LENGTH": "3000000"}),
    (400, "bad_request", {"CONTENT_LENGTH": "x"}),
    (400, "bad_request", {"HTTP_HOST": "evil.example"}),
    (415, "unsupported_media_type", {"CONTENT_TYPE": "application/json; charset=gbk"}),
])  # fmt: skip
def test_an_error_of_middleware_is_a_problem_too(api: Api, status: int, code: str, sent: dict) -> None:
    """Middleware responds in JSON below /api/, and with pages elsewhere."""
    answer = api.client.post("/api/captchas/", b"", content_type="application/json", **sent)
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code
    page = api.client.post("/signup/", b"", content_type="application/x-www-form-urlencoded", **sent)
    assert page["Content-Type"].startswith("text/html")


def test_a_bug_is_a_500_without_details(api: Api, monkeypatch) -> None:
    """As a problem that reveals nothing."""
    monkeypatch.setattr("signup.services.request_code", lambda **given: 1 / 0)
    answer = api.post("/api/captchas/", {"email": ALICE})
    assert (answer.status_code, answer.json()["code"]) == (500, "server_error")
    assert "ZeroDivision" not in answer.content.decode()


@pytest.mark.parametrize(("method", "path"), [
    ("post", "/api/users/"),
    ("post", "/api/login/"),
    ("post", "/api/users/me/password/"),
    ("delete", "/api/users/me/"),
])  # fmt: skip
def test_an_error_report_hides_the_fields(api: Api, monkeypatch, method: str, path: str) -> None:
    """The variables of the call and of all that it calls are starred out, the body's values among them."""
    frames: list[str] = []
    shown: list[str] = []

    def report(sender: object, request: object, **given: object) -> None:
        trace = sys.exc_info()[2]
        while trace:
            frames.append(trace.tb_frame.f_code.co_name)
            if method in frames:
                shown.append(str(SafeExceptionReporterFilter().get_traceback_frame_variables(request, trace.tb_frame)))
            trace = trace.tb_next

    got_request_exception.connect(report)
    monkeypatch.setattr("signup.forms.RegisterForm.is_valid", lambda form: 1 / 0)
    monkeypatch.setattr("signup.accounts.forms.LoginForm.is_valid", lambda form: 1 / 0)
    monkeypatch.setattr("signup.accounts.forms.CurrentPasswordForm.is_valid", lambda form: 1 / 0)
    fields = {"id": make_captcha().handle, "captcha": "4711", "username": "alice", "password": PASSWORD}
    fields["old_password"] = PASSWORD
    api.sign_in(tokens.issue(user=make_user("bob", BOB)).token)
    answer = api.client.generic(method, path, json.dumps(fields), content_type="application/json", headers=api.headers)
    assert answer.status_code == 500
    got_request_exception.disconnect(report)
    assert {method, "validate"} <= set(frames)
    assert all("****" in variables for variables in shown if variables != "[]")
    assert "4711" not in str(shown)
    assert PASSWORD not in str(shown)


def test_nothing_is_kept_by_a_cache(api: Api) -> None:
    """Answers and refusals, like all pages; and no session or cookie is made."""
    sign_up = api.ask()
    for answer in (api.get(f"/api/captchas/{sign_up.handle}/"), api.register(sign_up), api.get("/api/x/")):
        assert answer["Cache-Control"] == "private, no-store, no-transform"
        assert not answer.cookies


@pytest.mark.parametrize("debug", [True, False])
def test_unknown_paths_are_problems_in_development_too(api: Api, settings, debug: bool) -> None:
    """Django's own page for developers is not JSON."""
    settings.DEBUG = debug
    assert api.get("/api/nowhere/").json()["code"] == "not_found"


def test_a_post_needs_no_csrf_token(db: None) -> None:
    """No cookie authenticates a call, so there is nothing to forge."""
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/api/captchas/", {"email": ALICE}, content_type="application/json")
    assert answer.status_code == 202
