"""Signing in by email address or username."""

import secrets
from functools import cache
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from core import lengths
from signup import limits
from signup.models import User


class EmailOrUsernameBackend(ModelBackend):
    """Django's own backend, but for how the account is found and how often a password may be tried."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        identifier = username or kwargs.get(User.USERNAME_FIELD)
        if not identifier or password is None:
            return None
        if request:
            limits.count_sign_in(request)
        # Nobody's. Refused before the account is looked up, or the time would tell whether there is one.
        if len(identifier) > lengths.LOGIN_NAME or len(password) > lengths.PASSWORD:
            return None
        name, user = _find(identifier)
        attempt = limits.PasswordTry(request, name=name, user=user) if request else None
        nobody = _nobody()  # made for a known account too, or a process's first unknown one would take longer
        if user is None:
            nobody.check_password(password)  # an unknown account takes as long as a wrong password
            return None
        if not user.check_password(password) or not self.user_can_authenticate(user):
            return None
        if attempt:
            attempt.was_right()
        return user


@cache
def _nobody() -> User:
    """An account that no password opens, and whose hash is as any other."""
    return User(password=make_password(secrets.token_urlsafe()))


def _find(identifier: str) -> tuple[str, User | None]:
    """Return the folded name that an account is called by, and the account if there is one."""
    try:
        name = User.objects.natural_key(identifier)
        return name, User.objects.get_by_natural_key(name)
    except User.DoesNotExist:
        return name, None
    except ValidationError:
        return identifier.casefold(), None
