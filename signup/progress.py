"""The state of a sign-up request and of its mail, for its page and for the API."""

import math
from typing import Any

from django.conf import settings

from core import clock
from verification import codes, guess_limits
from verification.models import CaptchaModel
from verification.states import State, state_of
from worker.models import Delivery

from . import error_messages, typos


def delivery_state(sign_up: CaptchaModel, delivery: Delivery | None = None) -> dict[str, Any]:
    """The state of the newest mail of a request, and the seconds until another may be requested."""
    delivery = delivery or _latest_mail(sign_up)
    return {
        "state": delivery.visible_state,
        "sent_at": clock.whole_seconds(delivery.sent_at) if delivery.sent_at else None,
        "resend_after": sign_up.resend_wait,
    } | ({"leaves_at": clock.whole_seconds(delivery.leaves_at)} if delivery.leaves_at else {})


def page_context(sign_up: CaptchaModel, *, proven: bool) -> dict[str, Any]:
    """The template context of a request's page, the same for a decoy. A visitor who has `proven` it needs no code."""
    delivery, state, now = _latest_mail(sign_up), state_of(sign_up), clock.now()
    ago = max(0, int((now - (delivery.sent_at or now)).total_seconds()))
    needs_code = not proven and state not in (State.LOST, State.EXPIRED)
    tries = settings.CAPTCHA_MAX_ATTEMPTS - sign_up.attempts
    return {
        "sign_up": sign_up,
        "delivery": delivery_state(sign_up, delivery),
        "leaves_in": delivery.leaves_at and math.ceil((delivery.leaves_at - now).total_seconds() / 60),  # minutes
        "sent_ago": ago,
        "sent_minutes_ago": ago // 60,
        "minutes": -(-sign_up.seconds_left // 60),
        "code_state": state.value,
        "longer": sign_up.length > settings.CAPTCHA_LENGTH,
        "link_only": needs_code and guess_limits.required(address=sign_up.address, at=now).link_only,
        "tries_left": error_messages.attempts_left(tries) if sign_up.attempts and state is State.OPEN else "",
        "reference": codes.reference_of(sign_up),
        "suggestion": typos.suggest(sign_up.address),
    }


def _latest_mail(sign_up: CaptchaModel) -> Delivery:
    return Delivery.objects.latest_about(sign_up) or Delivery(state=Delivery.State.FAILED)  # an operator deleted it
