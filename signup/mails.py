"""What each kind of mail says. The words are in templates/mail/; secrets are made when a mail is built."""

from datetime import timedelta

from django.conf import settings
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core import clock, passwords
from verification import codes
from verification.models import CaptchaModel
from worker import messages, suppression
from worker.messages import Context, Unbuildable
from worker.models import Delivery


def register() -> None:
    messages.register(Delivery.Kind.CODE, code)
    messages.register(Delivery.Kind.REGISTERED, registered)
    messages.register(Delivery.Kind.PASSWORD_RESET, password_reset)
    messages.register(Delivery.Kind.PASSWORD_CHANGED, password_changed)


def code(delivery: Delivery) -> Context:
    sign_up = delivery.sign_up
    digits = codes.code_of(sign_up) if sign_up else None
    token = codes.link_token(sign_up) if sign_up else None
    if sign_up is None or digits is None or token is None:
        raise Unbuildable("the code can't be derived any more")
    return {"code": digits, "minutes": _minutes(sign_up), "link": _url("signup_link", token), **_request(sign_up)}


def registered(delivery: Delivery) -> Context:
    ways = {"login_url": _url("login"), "reset_url": _url("password_reset")}
    return ways | (_request(delivery.sign_up) if delivery.sign_up else {})


def password_reset(delivery: Delivery) -> Context:
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


def password_changed(delivery: Delivery) -> Context:
    return {"changed_at": delivery.created_at, "reset_url": _url("password_reset")}


def _minutes(sign_up: CaptchaModel) -> int:
    """Minutes that the code works after this mail is accepted, rounded up."""
    life = timedelta(seconds=settings.CAPTCHA_TTL)
    if sign_up.first_accepted_at:
        end = sign_up.first_accepted_at + timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
        life = min(life, end - clock.now())
    return max(1, -int(-life.total_seconds() // 60))


def _request(sign_up: CaptchaModel) -> Context:
    """What tells the reader which request a mail is about, and lets them disown it."""
    return {"reference": codes.reference_of(sign_up), "mute_url": _url("signup_mute", suppression.token_for(sign_up))}


def _url(name: str, *args: str) -> str:
    """A link into the site, by SITE_URL: what a request says of its host never reaches a mail."""
    return f"{settings.SITE_URL}{reverse(name, args=args)}"
