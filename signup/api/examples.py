"""Examples of what goes in and comes out, in English and Chinese; problems are made as the calls make them."""

from collections.abc import Iterable
from typing import Any

from django.utils import translation

from signup import words
from verification.services import ResendTooSoon
from verification.states import CodeMismatch

from . import problems
from .calls import CALLS
from .codes import FIELDS, PROBLEMS, Code

LANGUAGES = {"en": "English", "zh-hans": "简体中文"}

_PEOPLE = {"en": ("alice", "alice@example.com"), "zh-hans": ("小明", "xiaoming@example.com")}
_ID = "kX3vT0pQm7Rz1LbW9sYd4HcA"
_TOKEN = "9f" * 32
_MOMENT = "2030-01-31T09:30:00Z"
_PASSWORD = "correct horse battery"  # noqa: S105 - everybody's example

_FIELD = {
    Code.EMAIL_REGISTERED: "email",
    Code.USERNAME_TAKEN: "username",
    Code.SESSION_LOST: "id",
    Code.ALREADY_REDEEMED: "id",
    **dict.fromkeys((Code.MISMATCH, Code.TOO_MANY, Code.EXPIRED, Code.LENGTHENED, Code.LINK_ONLY), "captcha"),
}


def request_of(call: str, language: str) -> dict[str, Any]:
    """A body for a call."""
    username, email = _PEOPLE[language]
    bodies: dict[str, dict[str, Any]] = {
        "ask_code": {"email": email},
        "register": {"id": _ID, "email": email, "captcha": "0427", "username": username, "password": _PASSWORD},
        "sign_in": {"username": username, "password": _PASSWORD},
    }
    return bodies[call]


def answer_of(call: str, language: str) -> dict[str, Any]:
    """The body of a call's success."""
    username, email = _PEOPLE[language]
    asked = {"id": _ID, "code_length": 4, "expires_in": 600, "resend_after": 60}
    asked["status_url"] = f"https://accounts.example.com/api/captchas/{_ID}/"
    bodies: dict[str, dict[str, Any]] = {
        "ask_code": asked,
        "resend_code": asked,
        "code_status": {"state": "sent", "sent_at": _MOMENT, "resend_after": 42},
        "register": {"id": 7, "username": username, "email": email, "token": _TOKEN},
        "sign_in": {"token": _TOKEN, "expires_at": _MOMENT},
        "me": {"id": 7, "username": username, "email": email, "language": language},
    }
    return bodies[call]


def refusals_of(call: str, status: int, language: str) -> Iterable[tuple[Code, dict[str, Any]]]:
    """The problems of a call that come with a status."""
    with translation.override(language):
        for code in CALLS[call].all_refusals:
            if status_of(call, code) == status:
                yield code, _problem(call, code, status)


def status_of(call: str, code: Code) -> int:
    """The status of a refusal by this call: an id in a path that leads nowhere is a 404."""
    in_path = code in (Code.SESSION_LOST, Code.ALREADY_REDEEMED) and CALLS[call].takes is None
    return 404 if in_path else PROBLEMS[code].status


def _problem(call: str, code: Code, status: int) -> dict[str, Any]:
    detail, errors = "", None
    if code is Code.MISMATCH:
        detail = " ".join(words.explain(CodeMismatch(attempts_left=4)).messages)
    if code is Code.RESEND_WAIT:
        detail = " ".join(words.explain(ResendTooSoon(42)).messages)
    if code is Code.VALIDATION:
        field = next(iter(request_of(call, "en")))
        detail = str(FIELDS[Code.NOT_A_STRING])
        errors = {field: [{"code": str(Code.NOT_A_STRING), "message": detail}]}
    if code in _FIELD and status == 400:
        message = detail or str(PROBLEMS[code].title)
        errors = {_FIELD[code]: [{"code": str(code), "message": message}]}
    return problems.body(code, detail=detail, errors=errors, status=status)
