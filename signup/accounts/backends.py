"""The authentication backend: sign-in by email address or username, and its limits."""

import secrets
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth import load_backend
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from core import client_ip, lengths, passwords, ratelimit
from signup import limits
from signup.models import User
from signup.visitor import Visitor


class EmailOrUsernameBackend(ModelBackend):
    """Django's own backend, except for how it finds the account and how often a password may be tried."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        identifier = username or kwargs.get(User.USERNAME_FIELD)
        if not identifier or password is None:
            return None
        if request:
            limits.count_sign_in(request)
        # Refused before the account is looked up: the time must not show whether it exists.
        if len(identifier) > lengths.LOGIN_NAME or len(passwords.normalize(password)) > lengths.PASSWORD:
            return None
        name, user = _find(identifier)
        # Counted before the password is checked, so that parallel tries are not free; undone if it is right.
        counters = _counters(request, name, user) if request else []
        for limit, key in counters:
            ratelimit.hit(limit, key=key)
        unknown = _hash_of_nobody()  # also for a known account: a process's first unknown name must not take longer
        # An unknown name takes as long as a wrong password. Making the object is a part of that, by some 50 µs.
        found = user or User(password=unknown)
        if not found.check_password(password) or user is None or not self.user_can_authenticate(user):
            return None
        for limit, key in counters:
            ratelimit.undo(limit, key=key)
        return user

    # The same for async views, as ModelBackend's own looks up email addresses alone, and has no limits.
    aauthenticate = BaseBackend.aauthenticate  # type: ignore[assignment]


def session_backend() -> str:
    """The path of the first backend that can load a session's account. That of django-axes can't."""
    return next(path for path in settings.AUTHENTICATION_BACKENDS if hasattr(load_backend(path), "get_user"))


def _counters(request: HttpRequest, name: str, user: User | None) -> list[tuple[ratelimit.Limit, str]]:
    """
    The limits that count a password, each with its key: the typed name and not the account, or the limits would show
    which email belongs to which username. A browser that signed in to the account before has counters of its own, so
    that strangers can't lock the owner out, not even from the same network.
    """
    device = Visitor(request).device_for(user)
    who = f"{device}|{name}" if device else name
    return [(limits.LOGIN_PAIR, f"{who}|{client_ip.client_network(request)}"), (limits.LOGIN_ACCOUNT, who)]


@cache
def _hash_of_nobody() -> str:
    """A hash like any other, that no password opens."""
    return make_password(secrets.token_urlsafe())


def _find(identifier: str) -> tuple[str, User | None]:
    """Return the canonical form of an email address or username, and its account if there is one."""
    try:
        name = User.objects.canonical_name(identifier)
        return name, User.objects.get_by_natural_key(name)
    except User.DoesNotExist:
        return name, None
    except ValidationError:
        return identifier.casefold(), None
