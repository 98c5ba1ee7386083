"""Errors as RFC 9457 has them: application/problem+json, in the caller's language, with a code for programs."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig, ValidationError
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import translation
from rest_framework import exceptions

from core.ratelimit import RateLimited
from core.views import slow_down
from signup import words
from signup.services import SignupError
from verification.services import ResendTooSoon
from verification.states import HandleLost, VerificationError

from .codes import BY_STATUS, PROBLEMS, Code
from .language import spoken

CONTENT_TYPE = "application/problem+json"

Errors = Mapping[str, list[dict[str, str]]]


class Refusal(Exception):
    """A call that is answered with a problem. `headers` go with it; without a `status` it has the code's own."""

    def __init__(
        self, code: Code, *, detail: str = "", errors: Errors | None = None, status: int | None = None, **headers: str
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.errors, self.status, self.headers = code, detail, errors, status, headers


def body(code: Code, *, detail: str = "", errors: Errors | None = None, status: int | None = None) -> dict[str, Any]:
    """Return the members of a problem, in the active language."""
    kind = PROBLEMS[code]
    members = {
        "type": f"/api/docs/#{code}",
        "title": str(kind.title),
        "status": status or kind.status,
        "detail": detail or str(kind.detail or kind.title),
        "code": str(code),
    }
    return members | ({"errors": dict(errors)} if errors else {})


def respond(refusal: Refusal) -> HttpResponse:
    """Return the answer to a refused call."""
    members = body(refusal.code, detail=refusal.detail, errors=refusal.errors, status=refusal.status)
    answer = JsonResponse(
        members, status=members["status"], content_type=CONTENT_TYPE, json_dumps_params={"ensure_ascii": False}
    )
    if answer.status_code == 401:
        answer["WWW-Authenticate"] = "Token"
    for name, value in refusal.headers.items():
        answer[name.replace("_", "-")] = value
    return answer


def page(request: HttpRequest, status: int) -> HttpResponse:
    """What stands for an error page below /api/, where no call was reached, or one failed."""
    with translation.override(spoken(request)):
        answer = respond(Refusal(BY_STATUS.get(status, Code.BAD_REQUEST), status=status))
        answer["Content-Language"] = translation.get_language()
    return answer


def handler(error: Exception, context: Any) -> HttpResponse | None:
    """Answer what a call raised; None, which raises it again, for what is a bug or an outage."""
    refusal = _translate(error)
    return respond(refusal) if refusal else None


def of_form(form: Form) -> Refusal:
    """
    Return what a form refuses, by its own codes and words. A single error that a service raised is the problem
    itself; all others together are a failed validation.
    """
    errors = {name: [_entry(error) for error in found] for name, found in form.errors.as_data().items()}
    (first, *others) = [entry for entries in errors.values() for entry in entries]
    own = Code(first["code"])
    code = own if own in PROBLEMS and not others else Code.VALIDATION
    return Refusal(code, detail=first["message"], errors=errors)


def _translate(error: Exception) -> Refusal | None:
    match error:
        case Refusal():
            return error
        case RateLimited(retry_after=seconds):
            return Refusal(Code.RATE_LIMITED, detail=slow_down(seconds), Retry_After=str(seconds))
        case ResendTooSoon(retry_after=seconds):
            return Refusal(Code.RESEND_WAIT, detail=" ".join(words.explain(error).messages), Retry_After=str(seconds))
        case HandleLost():
            return Refusal(Code(error.code), errors={"id": [_entry(words.explain(error))]})
        case VerificationError() | SignupError():
            return Refusal(Code(error.code))
    code = next((code for kind, code in _FRAMEWORK.items() if isinstance(error, kind)), None)
    return Refusal(code) if code else None


def _entry(error: ValidationError) -> dict[str, str]:
    return {"code": error.code or Code.INVALID, "message": " ".join(error.messages)}


_FRAMEWORK: dict[type[Exception], Code] = {
    exceptions.ParseError: Code.MALFORMED,
    exceptions.NotAuthenticated: Code.NOT_AUTHENTICATED,
    exceptions.AuthenticationFailed: Code.INVALID_TOKEN,
    exceptions.PermissionDenied: Code.FORBIDDEN,
    exceptions.MethodNotAllowed: Code.METHOD_NOT_ALLOWED,
    exceptions.UnsupportedMediaType: Code.UNSUPPORTED_MEDIA_TYPE,
    RequestDataTooBig: Code.TOO_LARGE,
    Http404: Code.NOT_FOUND,
}
