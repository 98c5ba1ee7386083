"""The state of a sign-up request and of its mail, for its page and for the API."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from core import clock, languages
from verification import codes, guess_limits
from verification.models import CaptchaModel
from verification.states import State, resend_wait, state_of
from worker.models import Delivery

from . import error_messages, mail_providers

_GET_A_NEW_CODE = pgettext_lazy("button", "Get a new code")
_TITLES = {
    "enter": _("Enter the code"),
    "link": _("Open the link in the email to continue"),
    "expired": _GET_A_NEW_CODE,
    "exhausted": _GET_A_NEW_CODE,
    "failed": _("Email not delivered"),
    "limited": _("Email delayed"),
}


def delivery_state(sign_up: CaptchaModel, delivery: Delivery | None = None) -> dict[str, Any]:
    """
    The state of a request: until it is proven, that of its newest mail. With the seconds until another mail may be
    requested; and, until it is proven, with `reason` if that mail failed, bounced or was refused for now, and with
    `leaves_at` if the mailbox's limit delays it.
    """
    delivery = delivery or _latest_mail(sign_up)
    proven = "finished" if sign_up.is_finished else "proven" if sign_up.proven_at else None
    state: dict[str, Any] = {
        "state": proven or delivery.visible_state,
        "sent_at": clock.whole_seconds(delivery.sent_at) if delivery.sent_at else None,
        "resend_after": resend_wait(sign_up),
    }
    if delivery.visible_reason and not proven:
        state["reason"] = delivery.visible_reason
    if delivery.leaves_at and not proven:
        state["leaves_at"] = clock.whole_seconds(delivery.leaves_at)
    return state


def page_context(sign_up: CaptchaModel, *, proven: bool) -> dict[str, Any]:
    """The template context of a request's page, the same for a decoy. A visitor who has `proven` it needs no code."""
    delivery = _latest_mail(sign_up)
    state = state_of(sign_up)
    stage = _stage(sign_up, state, delivery, proven=proven)
    ago = max(0, int((clock.now() - delivery.sent_at).total_seconds())) if delivery.sent_at else 0
    leaves_in = clock.seconds_until(delivery.leaves_at) if delivery.leaves_at else 0
    counted = leaves_in or (sign_up.seconds_left if sign_up.expires_at else 0)
    reference = codes.reference_of(sign_up)
    return {
        "sign_up": sign_up,
        "stage": stage,
        "title": _TITLES[stage],
        "delivery": delivery_state(sign_up, delivery),
        "leaves_in": clock.minutes(leaves_in),
        "leaves_in_hours": clock.hours(leaves_in),
        # Seconds until the page says something else without news of its mail: a minute less, or that the code expired.
        "changes_in": (counted % 60 or 60) if counted else sign_up.seconds_left,
        "sent_ago": ago,
        "sent_minutes_ago": ago // 60,
        "minutes": clock.minutes(sign_up.seconds_left),
        "longer": sign_up.length > settings.CAPTCHA_LENGTH,
        # The mail's own language would show that the address has an account.
        "sender": languages.sender(languages.active()),
        "code_hint": _code_hint(sign_up, state, reference),
        "reference": reference,
        "suggestion": None if proven else mail_providers.suggest(sign_up.address),
        "webmail": mail_providers.webmail(sign_up.address),
    }


def _code_hint(sign_up: CaptchaModel, state: State, reference: str) -> str:
    """The text at the field of the code: after a wrong one how many may be tried, else which mail has it."""
    if sign_up.attempts and state is State.OPEN:
        return error_messages.attempts_left(settings.CAPTCHA_MAX_ATTEMPTS - sign_up.attempts)
    text = ngettext(
        "%(n)d digit, from the email with the reference %(reference)s",
        "%(n)d digits, from the email with the reference %(reference)s",
        sign_up.length,
    )
    return text % {"n": sign_up.length, "reference": reference}


def _stage(sign_up: CaptchaModel, state: State, delivery: Delivery, *, proven: bool) -> str:
    """
    What the page is about: "enter" the code; "link", as only that still proves; "expired" and "exhausted" codes;
    "failed" (or bounced) and "limited" mails that brought no code.
    """
    if delivery.visible_state == "bounced" and not sign_up.proven_at:
        return "failed"
    if state is State.EXPIRED:
        return state
    if not proven and guess_limits.required(address=sign_up.address).link_only:
        return "link"
    if state is State.EXHAUSTED:
        return state
    if delivery.visible_state == "failed" and not _has_arrived(sign_up):
        return "failed"
    return "limited" if state is State.WAITING and delivery.leaves_at else "enter"


def _has_arrived(sign_up: CaptchaModel) -> bool:
    """Whether its code may be in the mailbox: it was right, or a mail with it may have arrived and did not bounce."""
    mails = Delivery.objects.filter(sign_up=sign_up, generation=sign_up.generation)
    is_out = sign_up.first_accepted_at or sign_up.mailed_at
    return bool(sign_up.proven_at or (is_out and not mails.filter(state=Delivery.State.BOUNCED).exists()))


def _latest_mail(sign_up: CaptchaModel) -> Delivery:
    return Delivery.objects.latest_about(sign_up) or Delivery(state=Delivery.State.FAILED)  # an operator deleted it
