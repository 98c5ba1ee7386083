"""How a sign-up stands: what its page and its status tell the browser that holds it."""

import math
from datetime import datetime
from typing import Any

from django.conf import settings

from core import clock
from verification import keys, lookup
from verification.models import CaptchaModel
from verification.states import State
from worker.models import Delivery

from . import typos, words


def delivery_state(captcha: CaptchaModel) -> dict[str, Any]:
    """How the newest mail of a request fares, and the seconds until another may be asked for."""
    return _state(captcha, Delivery.objects.latest_about(captcha))


def page_context(captcha: CaptchaModel, *, proven: bool) -> dict[str, Any]:
    """
    All that the page for the code shows of a request: by the state of the handle alone, the same for a decoy.

    Who has `proven` it needs no code, and is not told what codes must be.
    """
    delivery, state = Delivery.objects.latest_about(captcha), lookup.current_state(captcha)
    sent_at = (delivery.sent_at if delivery else None) or clock.now()
    ago = max(0, int((clock.now() - sent_at).total_seconds()))
    tries = settings.CAPTCHA_MAX_ATTEMPTS - captcha.attempts
    return {
        "captcha": captcha,
        "delivery": _state(captcha, delivery),
        "leaves_in": _minutes_until(delivery.leaves_at if delivery else None),
        "sent_ago": ago,
        "sent_minutes_ago": ago // 60,
        "minutes": lookup.minutes_left(captcha),
        "code_state": state.value,
        "longer": captcha.length > settings.CAPTCHA_LENGTH,
        "link_only": not proven and lookup.takes_link_only(captcha),
        "tries_left": words.attempts_left(tries) if captcha.attempts and state is State.OPEN else "",
        "reference": keys.reference_of(captcha),
        "suggestion": typos.suggest(captcha.address),
    }


def _minutes_until(time: datetime | None) -> int | None:
    """Rounded up."""
    return math.ceil((time - clock.now()).total_seconds() / 60) if time else None


def _state(captcha: CaptchaModel, delivery: Delivery | None) -> dict[str, Any]:
    leaves_at = delivery.leaves_at if delivery else None
    return {
        "state": delivery.visible_state if delivery else "failed",
        "sent_at": clock.told(delivery.sent_at) if delivery and delivery.sent_at else None,
        "resend_after": lookup.resend_wait(captcha),
        **({"leaves_at": clock.told(leaves_at)} if leaves_at else {}),
    }
