"""A mail of each kind as it would be sent, about nobody: nothing is read from the database and nothing written."""

import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model

from core import clock
from verification import keys
from verification.models import CaptchaModel

from . import mail, mutes, outbox
from .models import Delivery

RECIPIENT, NAME = "name@example.com", "name"


def build(*, kind: str, language: str) -> bytes:
    """Return the message; its code and links open nothing."""
    now = clock.now()
    captcha = CaptchaModel(
        pk=0,
        handle=secrets.token_urlsafe(18),
        address=RECIPIENT,
        nonce=secrets.token_hex(16),
        key_id=keys.current_key_id(),
        length=settings.CAPTCHA_LENGTH,
        created_at=now - timedelta(seconds=1),
        requested_at=now,
    )
    user = get_user_model()(pk=0, email=RECIPIENT, username=NAME, password="", is_active=True)
    about_signup = kind in mutes.KINDS
    return mail.build(
        Delivery(
            kind=kind,
            recipient=RECIPIENT,
            language=language,
            captcha=captcha if about_signup else None,
            generation=captcha.generation,
            user=None if about_signup else user,
            created_at=now,
            message_id=outbox.new_message_id(),
        )
    )
