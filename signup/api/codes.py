"""
Every code that an answer of the API may carry: the one list that the schema and the docs are made from.

A problem has one of PROBLEMS as its `code`; each entry of its `errors` has one of FIELDS. A service's refusal, such as
`mismatch`, is both: it is the problem, and it stands at its field.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext_lazy as _

from signup.words import TEXTS


class Code(StrEnum):
    # The request
    VALIDATION = "validation"
    MALFORMED = "malformed"
    BAD_REQUEST = "bad_request"
    NOT_AUTHENTICATED = "not_authenticated"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - none of these is a password
    LOGIN_FAILED = "login_failed"
    FORBIDDEN = "forbidden"
    SIGNUP_CLOSED = "signup_closed"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    RESEND_WAIT = "resend_wait"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    # The sign-up
    SESSION_LOST = "session_lost"
    ALREADY_REDEEMED = "already_redeemed"
    MISMATCH = "mismatch"
    TOO_MANY = "too_many"
    LENGTHENED = "lengthened"
    LINK_ONLY = "link_only"
    EXPIRED = "expired"
    EMAIL_REGISTERED = "email_registered"
    USERNAME_TAKEN = "username_taken"
    # The fields
    REQUIRED = "required"
    NOT_A_STRING = "not_a_string"
    INVALID = "invalid"
    DOMAIN = "domain"
    LENGTH = "length"
    MAX_LENGTH = "max_length"
    CHARACTERS = "characters"
    NULL_CHARACTERS = "null_characters_not_allowed"
    PASSWORD_TOO_SHORT = "password_too_short"  # noqa: S105
    PASSWORD_TOO_LONG = "password_too_long"  # noqa: S105
    PASSWORD_TOO_COMMON = "password_too_common"  # noqa: S105
    PASSWORD_TOO_SIMILAR = "password_too_similar"  # noqa: S105


@dataclass(frozen=True)
class Problem:
    """What a code means: the status it comes with, its title, and the way out, where the title doesn't say it."""

    status: int
    title: Any
    detail: Any = ""


_REFUSALS = {Code(error.code): Problem(400, text) for error, text in TEXTS.items()}

PROBLEMS: dict[Code, Problem] = {
    Code.VALIDATION: Problem(400, _("There is a problem"), _("Each field in errors says what is wrong with it")),
    Code.MALFORMED: Problem(400, _("The body can't be read"), _("Send one JSON object in UTF-8, each key once")),
    Code.BAD_REQUEST: Problem(400, _("There is a problem with the request"), _("Check its address and its headers")),
    **_REFUSALS,
    Code.NOT_AUTHENTICATED: Problem(401, _("Sign in first"), _("Send the token: Authorization: Token …")),
    Code.INVALID_TOKEN: Problem(401, _("The token doesn't work any more"), _("Sign in again")),
    Code.LOGIN_FAILED: Problem(401, _("Email, username or password is incorrect")),
    Code.FORBIDDEN: Problem(403, _("You can't do this")),
    Code.SIGNUP_CLOSED: Problem(403, _("Sign-up is closed at the moment")),
    Code.NOT_FOUND: Problem(404, _("No such call"), _("Check the path; each ends with a slash")),
    Code.METHOD_NOT_ALLOWED: Problem(405, _("This path has no such method"), _("Allow lists those that it has")),
    Code.TOO_LARGE: Problem(413, _("The request is too large"), _("Send at most 64 KiB")),
    Code.UNSUPPORTED_MEDIA_TYPE: Problem(
        415, _("The body is not JSON"), _("Send JSON in UTF-8, with Content-Type: application/json")
    ),
    Code.RATE_LIMITED: Problem(429, _("Too many requests"), _("Retry-After says for how many seconds to wait")),
    Code.RESEND_WAIT: Problem(429, _("It is too early for another email"), _("Wait for as long as Retry-After says")),
    Code.SERVER_ERROR: Problem(500, _("There's a problem with the service. Try again later")),
    Code.UNAVAILABLE: Problem(503, _("There's a problem with the service. Try again later")),
}

BY_STATUS: dict[int, Code] = {  # what a status means where no call was reached, or one failed
    400: Code.BAD_REQUEST,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    429: Code.RATE_LIMITED,
    500: Code.SERVER_ERROR,
    503: Code.UNAVAILABLE,
}

FIELDS: dict[Code, Any] = {
    Code.REQUIRED: _("The field is missing or empty"),
    Code.NOT_A_STRING: _("The field must be a string"),
    Code.INVALID: _("The field's format is not correct"),
    Code.DOMAIN: _("The site excludes email addresses of this domain"),
    Code.LENGTH: _("Username must be between 2 and 20 characters"),
    Code.MAX_LENGTH: _("The field is too long"),
    Code.CHARACTERS: _("The username has a character that can't be used, or mixes scripts"),
    Code.NULL_CHARACTERS: _("The field has a character that can't be used"),
    Code.PASSWORD_TOO_SHORT: _("Password must be at least 8 characters"),
    Code.PASSWORD_TOO_LONG: _("Password must be at most 128 characters"),
    Code.PASSWORD_TOO_COMMON: _("Choose a password that is harder to guess"),
    Code.PASSWORD_TOO_SIMILAR: _("Choose a password that is less like your username or email address"),
    **{code: problem.title for code, problem in _REFUSALS.items()},
}
