"""The context of each kind of mail for its templates in templates/mail/. Secrets are derived when a mail is built."""

from datetime import timedelta

from django.conf import settings
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from core import clock, email_addresses, languages, passwords
from verification import codes
from verification.models import CaptchaModel, max_lifetime
from worker import suppression
from worker.messages import CONTEXTS, Context, Unbuildable
from worker.models import Delivery


def code(delivery: Delivery) -> Context:
    sign_up = delivery.sign_up
    digits, token = (codes.code_of(sign_up), codes.link_token(sign_up)) if sign_up else (None, None)
    if not (sign_up and digits and token):
        raise Unbuildable("the code can't be derived any more")
    return {"code": digits, "minutes": _minutes(sign_up), "link": _url("signup_link", token), **_request(sign_up)}


def registered(delivery: Delivery) -> Context:
    ways = {"login_url": _url("login"), "reset_url": _url("password_reset")}
    return ways | (_request(delivery.sign_up) if delivery.sign_up else {})


def password_reset(delivery: Delivery) -> Context:
    user = delivery.user
    if user is None:
        raise Unbuildable("the account is gone")
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = passwords.reset_tokens.make_token(user)
    return {
        "username": email_addresses.shown(user.email),
        "link": _url("password_reset_confirm", uid, token),
        "minutes": clock.minutes(settings.PASSWORD_RESET_TIMEOUT),
        **_undo(delivery),
    }


def password_changed(delivery: Delivery) -> Context:
    return {"changed_at": delivery.created_at, "reset_url": _url("password_reset"), **_undo(delivery)}


def _minutes(sign_up: CaptchaModel) -> int:
    """The code's lifetime after acceptance of this mail, in minutes."""
    lifetime = timedelta(seconds=settings.CAPTCHA_TTL)
    if sign_up.first_accepted_at:
        lifetime = min(lifetime, sign_up.first_accepted_at + max_lifetime() - clock.now())
    return max(1, clock.minutes(lifetime.total_seconds()))


def _request(sign_up: CaptchaModel) -> Context:
    """The reference, which the page of the request shows too, and the link of "This wasn't me"."""
    return {"reference": codes.reference_of(sign_up), "mute_url": _url("signup_mute", suppression.token_for(sign_up))}


def _undo(delivery: Delivery) -> Context:
    """Return the end of an address's mute, and the link that undoes it: no sign-up mail could bring them."""
    if delivery.muted_until is None:
        return {}
    undo_url = _url("signup_mute", suppression.undo_token_for(delivery.recipient))
    return {"muted_until": delivery.muted_until, "undo_url": undo_url}


def _url(name: str, *args: str) -> str:
    """A link by SITE_URL, as the Host of a request never reaches a mail; its page is in the mail's language."""
    return f"{settings.SITE_URL}{reverse(name, args=args)}?lang={languages.active()}"


CONTEXTS |= {
    Delivery.Kind.CODE: code,
    Delivery.Kind.REGISTERED: registered,
    Delivery.Kind.PASSWORD_RESET: password_reset,
    Delivery.Kind.PASSWORD_CHANGED: password_changed,
}
