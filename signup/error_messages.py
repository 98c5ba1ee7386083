"""The messages of refusals by the services: the same in forms, pages and API."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from core import clock
from verification import states
from worker import outbox

from .services import AlreadyRegistered, Resent, UsernameTaken

TEXTS: dict[type[states.SignUpError], Any] = {
    states.HandleLost: gettext_lazy("Your sign-up timed out. Start again"),
    states.AlreadyRedeemed: gettext_lazy("This sign-up is finished. Sign in"),
    states.CodeMismatch: gettext_lazy("That code does not match this email address"),
    states.TooManyAttempts: gettext_lazy("Too many wrong codes. Get a new code"),
    states.CodeTooShort: gettext_lazy("For your safety we've sent a longer code"),
    states.LinkOnly: gettext_lazy("Open the link in the email to continue"),
    states.CodeExpired: gettext_lazy("That code has expired. Get a new code"),
    AlreadyRegistered: gettext_lazy("This email address is already registered"),
    UsernameTaken: gettext_lazy("That username is taken. Choose another"),
}


def explain(error: states.SignUpError) -> ValidationError:
    """Return the refusal in the visitor's language, with the error's stable code."""
    if isinstance(error, states.ResendTooSoon):
        return ValidationError(_("Get a new email in %(n)s s") % {"n": error.retry_after}, code=error.code)
    text = str(TEXTS[type(error)])
    if isinstance(error, states.CodeMismatch) and error.attempts_left is not None:
        # Translators: two sentences, one after the other
        text = _("%(first)s. %(second)s") % {"first": text, "second": attempts_left(error.attempts_left)}
    return ValidationError(text, code=error.code)


def resent(result: Resent) -> str:
    """The answer to a request for another mail."""
    if result.is_new_code:
        return _("We've sent a new code")
    if result.waiting is None:
        return _("We've sent the email again. The code is the same")
    seconds = outbox.seconds_until_try(result.waiting)
    return still_waiting(seconds) if seconds else _("The email is on its way")


def still_waiting(seconds: int) -> str:
    """The text about a mail whose next try is in some seconds."""
    if hours := clock.hours(seconds):
        text = ngettext(
            "The email is still waiting. It is tried again in %(n)d hour",
            "The email is still waiting. It is tried again in %(n)d hours",
            hours,
        )
        return text % {"n": hours}
    minutes = clock.minutes(seconds)
    text = ngettext(
        "The email is still waiting. It is tried again in %(n)d minute",
        "The email is still waiting. It is tried again in %(n)d minutes",
        minutes,
    )
    return text % {"n": minutes}


def attempts_left(left: int) -> str:
    """How many more codes may be tried."""
    if left == 0:
        return _("Get a new code")
    return ngettext("You can try %(n)d more time", "You can try %(n)d more times", left) % {"n": left}
