"""What each kind of mail says. The words are in templates/mail/; secrets are made when a mail is built."""

from datetime import timedelta

from django.conf import settings
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core import clock, passwords
from verification import keys
from verification.models import CaptchaModel
from worker import messages, mutes
from worker.messages import Context, Unbuildable
from worker.models import Delivery


def register() -> None:
    messages.register(Delivery.Kind.CODE, code)
    messages.register(Delivery.Kind.REGISTERED, registered)
    messages.register(Delivery.Kind.PASSWORD_RESET, password_reset)
    messages.register(Delivery.Kind.PASSWORD_CHANGED, password_changed)


def code(delivery: Delivery) -> Context:
    captcha = delivery.captcha
    digits = keys.code_of(captcha) if captcha else None
    token = keys.link_token(captcha) if captcha else None
    if captcha is None or digits is None or token is None:
        raise Unbuildable("the code can't be derived any more")
    return {"code": digits, "minutes": _minutes(captcha), "link": _url("signup_link", token), **_request(captcha)}


def registered(delivery: Delivery) -> Context:
    ways = {"login_url": _url("login"), "reset_url": _url("password_reset")}
    return ways | (_request(delivery.captcha) if delivery.captcha else {})


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


def _minutes(captcha: CaptchaModel) -> int:
    """Minutes that the code works after this mail is accepted, rounded up."""
    life = timedelta(seconds=settings.CAPTCHA_TTL)
    if captcha.first_accepted_at:
        end = captcha.first_accepted_at + timedelta(seconds=settings.CAPTCHA_MAX_LIFETIME)
        life = min(life, end - clock.now())
    return max(1, -int(-life.total_seconds() // 60))


def _request(captcha: CaptchaModel) -> Context:
    """What tells the reader which request a mail is about, and lets them disown it."""
    return {"reference": keys.reference_of(captcha), "mute_url": _url("signup_mute", mutes.token_for(captcha))}


def _url(name: str, *args: str) -> str:
    """A link into the site, by SITE_URL: what a request says of its host never reaches a mail."""
    return f"{settings.SITE_URL}{reverse(name, args=args)}"
