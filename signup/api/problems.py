"""Errors of the API: every code, and its response as RFC 9457 (application/problem+json) in the caller's language."""

from enum import StrEnum
from typing import Any, Self

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions

from core.ratelimit import RateLimited
from core.views import slow_down
from signup.accounts.forms import INCORRECT, NOT_CURRENT
from signup.error_messages import TEXTS, explain
from signup.services import AlreadyRegistered, UsernameTaken
from verification import states

CONTENT_TYPE = "application/problem+json"


class ErrorCode(StrEnum):
    """
    Every code that a response may carry, with its HTTP status, its meaning, and advice if the meaning gives none. Those
    without a status are the errors of fields.
    """

    status: int | None
    meaning: Any
    advice: Any

    # The request
    BAD_REQUEST = "bad_request", 400, _("There is a problem with the request"), _("Check its address and its headers")
    VALIDATION = "validation", 400, _("There is a problem"), _("Each field in errors says what is wrong with it")
    MALFORMED = "malformed", 400, _("The body can't be read"), _("Send one JSON object in UTF-8, each key once")
    IDEMPOTENCY_KEY = (
        "idempotency_key", 400, _("The Idempotency-Key can't be used"), _("Send 1 to 255 printable ASCII characters")
    )  # fmt: skip
    # The sign-up
    SESSION_LOST = "session_lost", 400, TEXTS[states.HandleLost]
    ALREADY_REDEEMED = "already_redeemed", 400, TEXTS[states.AlreadyRedeemed]
    MISMATCH = "mismatch", 400, TEXTS[states.CodeMismatch]
    TOO_MANY = "too_many", 400, TEXTS[states.TooManyAttempts]
    LENGTHENED = "lengthened", 400, TEXTS[states.CodeTooShort]
    LINK_ONLY = "link_only", 400, TEXTS[states.LinkOnly]
    EXPIRED = "expired", 400, TEXTS[states.CodeExpired]
    EMAIL_REGISTERED = "email_registered", 400, TEXTS[AlreadyRegistered]
    USERNAME_TAKEN = "username_taken", 400, TEXTS[UsernameTaken]
    # The other statuses
    NOT_AUTHENTICATED = "not_authenticated", 401, _("Sign in first"), _("Send the token: Authorization: Token …")
    INVALID_TOKEN = "invalid_token", 401, _("The token doesn't work any more"), _("Sign in again")
    LOGIN_FAILED = "login_failed", 401, INCORRECT
    FORBIDDEN = "forbidden", 403, _("You can't do this")
    SIGNUP_CLOSED = "signup_closed", 403, _("Sign-up is closed at the moment")
    NOT_FOUND = "not_found", 404, _("No such call"), _("Check the path; each ends with a slash")
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, _("This path has no such method"), _("See Allow for its methods")
    TOO_LARGE = "too_large", 413, _("The request is too large"), _("Send at most 64 KiB")
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type", 415,
        _("The body is not JSON"), _("Send JSON in UTF-8, with Content-Type: application/json"),
    )  # fmt: skip
    RATE_LIMITED = "rate_limited", 429, _("Too many requests"), _("Retry-After says for how many seconds to wait")
    RESEND_WAIT = "resend_wait", 429, _("It is too early for another email"), _("Wait for as long as Retry-After says")
    SERVER_ERROR = "server_error", 500, _("There's a problem with the service. Try again later")
    UNAVAILABLE = "unavailable", 503, _("There's a problem with the service. Try again later")
    # The fields
    REQUIRED = "required", None, _("The field is missing or empty")
    NOT_A_STRING = "not_a_string", None, _("The field must be a string")
    INVALID = "invalid", None, _("The field's format is incorrect")
    DOMAIN = "domain", None, _("The site excludes email addresses of this domain")
    LENGTH = "length", None, _("Username must be between 2 and 20 characters")
    MAX_LENGTH = "max_length", None, _("The field is too long")
    CHARACTERS = "characters", None, _("The username has a character that can't be used, or mixes scripts")
    INVALID_CHOICE = "invalid_choice", None, _("The field must have one of the listed values")
    NULL_CHARACTERS = "null_characters_not_allowed", None, _("The field has a character that can't be used")
    PASSWORD_INCORRECT = "password_incorrect", None, NOT_CURRENT
    PASSWORD_TOO_SHORT = "password_too_short", None, _("Password must be at least 8 characters")
    PASSWORD_TOO_LONG = "password_too_long", None, _("Password must be at most 128 characters")
    PASSWORD_TOO_COMMON = "password_too_common", None, _("Choose a password that is harder to guess")
    PASSWORD_TOO_SIMILAR = (
        "password_too_similar", None, _("Choose a password that is less like your username or email address")
    )  # fmt: skip

    def __new__(cls, value: str, status: int | None = None, meaning: Any = "", advice: Any = "") -> Self:
        code = str.__new__(cls, value)
        code._value_ = value
        code.status, code.meaning, code.advice = status, meaning, advice
        return code


PROBLEMS = [code for code in ErrorCode if code.status]
REFUSALS = [ErrorCode(error.code) for error in TEXTS]  # by the services: both a problem and the error of a field
FIELD_ERRORS = [code for code in ErrorCode if not code.status] + REFUSALS
BY_STATUS = {code.status: code for code in reversed(PROBLEMS)}  # the first of each status is its general one
_OTHER_CODES = {exceptions.ParseError: ErrorCode.MALFORMED, exceptions.AuthenticationFailed: ErrorCode.INVALID_TOKEN}


class Problem(Exception):
    """
    An error that a call responds with, in the active language. `detail` and `status` replace those of the code,
    `errors` are the errors by field: `{field: [{"code": …, "message": …}]}`, and `extra` are members of a few codes.
    """

    def __init__(
        self, code: ErrorCode, *, detail: str = "", errors: Any = None, status: int | None = None, **extra: Any
    ) -> None:
        super().__init__(code)
        self.members: dict[str, Any] = {
            "type": f"/api/docs/#{code}",
            "title": str(code.meaning),
            "status": status or code.status,
            "detail": detail or str(code.advice or code.meaning),
            "code": str(code),
        } | extra
        if errors:
            self.members["errors"] = errors

    def response(self) -> JsonResponse:
        status = self.members["status"]
        as_text = {"ensure_ascii": False}
        response = JsonResponse(self.members, status=status, content_type=CONTENT_TYPE, json_dumps_params=as_text)
        if status == 401:
            response["WWW-Authenticate"] = "Token"
        return response


def field_errors(code: ErrorCode, *fields: str) -> dict[str, list[dict[str, str]]]:
    """The `errors` of a problem that these fields have."""
    return {field: [{"code": str(code), "message": str(code.meaning)}] for field in fields}


def validation_problem(errors: Any, **extra: Any) -> Problem:
    """
    A single refusal by the services is the problem itself, with its `extra` members; any other errors are a failed
    validation.
    """
    first, *others = [entry for entries in errors.values() for entry in entries]
    is_refusal = first["code"] in REFUSALS and not others  # a site's own validators have codes of their own
    code = ErrorCode(first["code"]) if is_refusal else ErrorCode.VALIDATION
    return Problem(code, detail=first["message"], errors=errors, **extra)


def exception_handler(error: Exception, context: Any) -> HttpResponse | None:
    """DRF's hook: the response to an exception of a call. None lets a bug or an outage through to Django."""
    match error:
        case Problem():
            problem = error
        case RateLimited():
            problem = Problem(ErrorCode.RATE_LIMITED, detail=slow_down(error.retry_after))
        case states.ResendTooSoon():
            problem = Problem(ErrorCode.RESEND_WAIT, detail=" ".join(explain(error).messages))
        case states.HandleLost():
            code = ErrorCode(error.code)
            in_path = "id" in context["kwargs"]  # the path names the request
            problem = Problem(code, status=404) if in_path else validation_problem(field_errors(code, "id"))
        case exceptions.APIException(status_code=status):
            problem = Problem(_OTHER_CODES.get(type(error), BY_STATUS[status]))
        case _:
            return None
    response = problem.response()
    if isinstance(error, RateLimited | states.ResendTooSoon):
        response["Retry-After"] = str(error.retry_after)
    return response


def error_page(request: HttpRequest, status: int) -> HttpResponse:
    """Django's error page below /api/, for a request that reached no call, or a call that failed."""
    with translation.override(accepted_language(request)):
        response = Problem(BY_STATUS.get(status, ErrorCode.BAD_REQUEST), status=status).response()
        response["Content-Language"] = translation.get_language()
    return response


def accepted_language(request: HttpRequest) -> str:
    """The language by Accept-Language, else LANGUAGE_CODE: cookies belong to the pages."""
    header_alone = HttpRequest()
    header_alone.META["HTTP_ACCEPT_LANGUAGE"] = request.META.get("HTTP_ACCEPT_LANGUAGE", "")
    return translation.get_language_from_request(header_alone)
