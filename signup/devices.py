"""The cookie `doorcode_device`: the accounts that this browser signed in to before. It opens nothing by itself."""

import secrets
from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from .models import User

LIFETIME = 180 * 86_400  # seconds
MOST = 5  # accounts
_SALT = "doorcode.signup.devices"


@dataclass(frozen=True)
class Device:
    """A browser by a random name, and the ids of its accounts, newest first."""

    name: str
    accounts: tuple[int, ...] = ()


def read(request: HttpRequest) -> Device | None:
    """Return the browser's device; None for a cookie that is missing, forged or too old."""
    try:
        name, *accounts = signing.loads(
            request.COOKIES.get(settings.DEVICE_COOKIE_NAME, ""), salt=_SALT, max_age=LIFETIME
        )
    except (signing.BadSignature, TypeError, ValueError):
        return None
    return Device(str(name), tuple(accounts))


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Let the browser show later that it was signed in to this account."""
    known = read(request) or Device(secrets.token_urlsafe(12))
    accounts = [user.pk, *(each for each in known.accounts if each != user.pk)][:MOST]
    response.set_cookie(
        settings.DEVICE_COOKIE_NAME,
        signing.dumps([known.name, *accounts], salt=_SALT),
        max_age=LIFETIME,
        secure=settings.SIGNUP_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
