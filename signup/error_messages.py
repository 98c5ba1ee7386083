"""The words for what the services refuse: one place for forms, pages and the API."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from verification.services import ResendTooSoon
from verification.states import (
    AlreadyRedeemed,
    CodeExpired,
    CodeMismatch,
    CodeTooShort,
    HandleLost,
    LinkOnly,
    TooManyAttempts,
    VerificationError,
)

from .services import AlreadyRegistered, SignupError, UsernameTaken


def code_required(length: int) -> ValidationError:
    return ValidationError(_("Enter the %(n)s-digit code"), code="required", params={"n": length})


def code_format(length: int) -> ValidationError:
    return ValidationError(_("The code must be %(n)s numbers"), code="invalid", params={"n": length})


def explain(error: VerificationError | SignupError) -> ValidationError:
    """Return the refusal in the visitor's language, under its stable code."""
    match error:
        case CodeMismatch(attempts_left=int(left)):
            text = _join(TEXTS[CodeMismatch], attempts_left(left))
        case ResendTooSoon(retry_after=seconds):
            text = _("Get a new email in %(n)s s") % {"n": seconds}
        case _other:
            text = str(TEXTS[type(error)])
    return ValidationError(text, code=error.code)


TEXTS: dict[type[VerificationError | SignupError], Any] = {
    HandleLost: gettext_lazy("Your sign-up timed out. Start again"),
    AlreadyRedeemed: gettext_lazy("This sign-up is finished. Sign in"),
    CodeMismatch: gettext_lazy("That code does not match this email address"),
    TooManyAttempts: gettext_lazy("Too many wrong codes. Get a new code"),
    CodeTooShort: gettext_lazy("For your safety we've sent a longer code"),
    LinkOnly: gettext_lazy("Open the link in the email to continue"),
    CodeExpired: gettext_lazy("That code has expired. Get a new code"),
    AlreadyRegistered: gettext_lazy("This email address is already registered"),
    UsernameTaken: gettext_lazy("That username is taken. Choose another"),
}


def attempts_left(left: int) -> str:
    """How many tries a code has yet."""
    if left == 0:
        return _("Get a new code")
    return ngettext("You can try %(n)d more time", "You can try %(n)d more times", left) % {"n": left}


def _join(first: str, second: str) -> str:
    # Translators: two sentences, one after the other
    return _("%(first)s. %(second)s") % {"first": first, "second": second}
