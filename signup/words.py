"""The words for what the services refuse: one place for forms, pages and the API."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from verification.services import ResendTooSoon
from verification.states import CodeExpired, CodeMismatch, HandleLost, TooManyAttempts, VerificationError

from .services import AlreadyRegistered, SignupError, UsernameTaken


def code_required(length: int) -> ValidationError:
    return ValidationError(_("Enter the %(n)s-digit code"), code="required", params={"n": length})


def code_format(length: int) -> ValidationError:
    return ValidationError(_("The code must be %(n)s numbers"), code="invalid", params={"n": length})


def explain(error: VerificationError | SignupError) -> ValidationError:
    """Return the refusal in the visitor's language, under its stable code."""
    return ValidationError(_text(error), code=error.code)


def _text(error: VerificationError | SignupError) -> str:
    match error:
        case HandleLost():
            return _("Your sign-up timed out. Start again")
        case CodeMismatch(attempts_left=None):
            return _("That code does not match this email address")
        case CodeMismatch(attempts_left=int(left)):
            return _join(_("That code does not match this email address"), _attempts_left(left))
        case TooManyAttempts():
            return _("Too many wrong codes. Get a new code")
        case CodeExpired():
            return _("That code has expired. Get a new code")
        case ResendTooSoon(retry_after=seconds):
            return _("Get a new email in %(n)s s") % {"n": seconds}
        case AlreadyRegistered():
            return _("This email address is already registered")
        case UsernameTaken():
            return _("That username is taken. Choose another")
    raise AssertionError(f"no words for {error!r}")


def _attempts_left(left: int) -> str:
    if left == 0:
        return _("Get a new code")
    return ngettext("You can try %(n)d more time", "You can try %(n)d more times", left) % {"n": left}


def _join(first: str, second: str) -> str:
    # Translators: two sentences, one after the other
    return _("%(first)s. %(second)s") % {"first": first, "second": second}
