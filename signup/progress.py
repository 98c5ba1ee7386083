"""How a sign-up stands: what its page and its status tell the browser that holds it."""

import math
from datetime import datetime
from typing import Any

from django.conf import settings

from core import clock
from verification import codes, guess_limits
from verification.models import CaptchaModel
from verification.states import State, state_of
from worker.models import Delivery

from . import error_messages, typos


def delivery_state(sign_up: CaptchaModel) -> dict[str, Any]:
    """How the newest mail of a request fares, and the seconds until another may be asked for."""
    return _state(sign_up, Delivery.objects.latest_about(sign_up))


def page_context(sign_up: CaptchaModel, *, proven: bool) -> dict[str, Any]:
    """
    All that the page for the code shows of a request: by the state of the handle alone, the same for a decoy.

    Who has `proven` it needs no code, and is not told what codes must be.
    """
    delivery, state = Delivery.objects.latest_about(sign_up), state_of(sign_up)
    sent_at = (delivery.sent_at if delivery else None) or clock.now()
    ago = max(0, int((clock.now() - sent_at).total_seconds()))
    tries = settings.CAPTCHA_MAX_ATTEMPTS - sign_up.attempts
    return {
        "sign_up": sign_up,
        "delivery": _state(sign_up, delivery),
        "leaves_in": _minutes_until(delivery.leaves_at if delivery else None),
        "sent_ago": ago,
        "sent_minutes_ago": ago // 60,
        "minutes": -(-sign_up.seconds_left // 60),
        "code_state": state.value,
        "longer": sign_up.length > settings.CAPTCHA_LENGTH,
        "link_only": not proven and _takes_link_only(sign_up, state),
        "tries_left": error_messages.attempts_left(tries) if sign_up.attempts and state is State.OPEN else "",
        "reference": codes.reference_of(sign_up),
        "suggestion": typos.suggest(sign_up.address),
    }


def _minutes_until(time: datetime | None) -> int | None:
    """Rounded up."""
    return math.ceil((time - clock.now()).total_seconds() / 60) if time else None


def _state(sign_up: CaptchaModel, delivery: Delivery | None) -> dict[str, Any]:
    leaves_at = delivery.leaves_at if delivery else None
    return {
        "state": delivery.visible_state if delivery else "failed",
        "sent_at": clock.whole_seconds(delivery.sent_at) if delivery and delivery.sent_at else None,
        "resend_after": sign_up.resend_wait,
        **({"leaves_at": clock.whole_seconds(leaves_at)} if leaves_at else {}),
    }


def _takes_link_only(sign_up: CaptchaModel, state: State) -> bool:
    """Whether no code proves this request any more, but its mail's link does."""
    if state in (State.LOST, State.EXPIRED):
        return False
    return guess_limits.required(address=sign_up.address, at=clock.now()).link_only
