"""Build a mail from its delivery: in the delivery's language, from templates/mail/<kind>/, secrets made on the spot."""

import re
from collections.abc import Callable
from datetime import timedelta
from email.utils import formataddr, formatdate, parseaddr
from functools import cache
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core import clock, passwords
from verification import keys
from verification.models import CaptchaModel

from . import frames, mime, mutes
from .models import Delivery

Context = dict[str, Any]


class Unbuildable(Exception):
    """What the mail is about is gone, or the key of its code has left the settings: it can never be sent."""


def sender() -> str:
    """The envelope's sender: the bare address of DEFAULT_FROM_EMAIL."""
    return _from(settings.DEFAULT_FROM_EMAIL)[0]


def build(delivery: Delivery) -> bytes:
    """Return the message, ready for SMTP. Raises Unbuildable."""
    context = {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "email": delivery.recipient,
        "rtl": translation.get_language_info(delivery.language)["bidi"],
        "language": translation.to_locale(delivery.language).replace("_", "-"),
        **_CONTEXTS[delivery.kind](delivery),
    }
    subject, text, html = frames.render(delivery.kind, delivery.language, context)
    headers = {
        "Subject": " ".join(subject.split()),
        "From": _from(settings.DEFAULT_FROM_EMAIL)[1],
        "To": delivery.recipient,
        "Date": formatdate(),
        "Message-ID": delivery.message_id,
        "Auto-Submitted": "auto-generated",
        "Content-Language": context["language"],
    }
    boundary = f"=_{delivery.message_id.strip('<>').partition('@')[0]}"  # as unlikely in a part as in another mail
    return mime.compose(headers, text=text, html=html, boundary=boundary)


def _code(delivery: Delivery) -> Context:
    captcha = delivery.captcha
    code = keys.code_of(captcha) if captcha else None
    token = keys.link_token(captcha) if captcha else None
    if captcha is None or code is None or token is None:
        raise Unbuildable("the code can't be derived any more")
    life = timedelta(seconds=settings.CAPTCHA_TTL)
    if captcha.first_accepted_at:
        end = captcha.first_accepted_at + timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
        life = min(life, end - clock.now())
    minutes = max(1, -int(-life.total_seconds() // 60))
    return {"code": code, "minutes": minutes, "link": _url("signup_link", token), **_request(captcha)}


def _registered(delivery: Delivery) -> Context:
    ways = {"login_url": _url("login"), "reset_url": _url("password_reset")}
    return ways | (_request(delivery.captcha) if delivery.captcha else {})


def _request(captcha: CaptchaModel) -> Context:
    """What tells whoever gets a mail which request it is about, and lets them disown it."""
    return {"reference": keys.reference_of(captcha), "mute_url": _url("signup_mute", mutes.token_for(captcha))}


def _password_reset(delivery: Delivery) -> Context:
    if delivery.user is None:
        raise Unbuildable("the account is gone")
    if not delivery.user.is_active:
        raise Unbuildable("the account is disabled")
    uid = urlsafe_base64_encode(force_bytes(delivery.user.pk))
    token = passwords.reset_tokens.make_token(delivery.user)
    return {
        "username": delivery.user.get_username(),
        "link": _url("password_reset_confirm", uid, token),
        "minutes": settings.PASSWORD_RESET_TIMEOUT // 60,
    }


def _password_changed(delivery: Delivery) -> Context:
    return {"changed_at": delivery.created_at, "reset_url": _url("password_reset")}


_CONTEXTS: dict[str, Callable[[Delivery], Context]] = {
    Delivery.Kind.CODE: _code,
    Delivery.Kind.REGISTERED: _registered,
    Delivery.Kind.PASSWORD_RESET: _password_reset,
    Delivery.Kind.PASSWORD_CHANGED: _password_changed,
}


def _url(name: str, *args: str) -> str:
    """A link into the site, by SITE_URL: what a request says of its host never reaches a mail."""
    path = re.sub(r"~(\d)~", lambda place: quote(args[int(place[1])]), _path(name, len(args)))
    return f"{settings.SITE_URL}{path}"


@cache
def _path(name: str, args: int) -> str:
    """A path with a place for each argument."""
    return reverse(name, args=[f"~{number}~" for number in range(args)])


@cache
def _from(value: str) -> tuple[str, str]:
    """The address of a From header, and the header in ASCII."""
    name, address = parseaddr(value)
    return address, formataddr((name if name.isascii() else mime.words(name, "From"), address))
