"""Signing in by email address or username."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from .models import User


class EmailOrUsernameBackend(ModelBackend):
    """Django's own backend, but for how the account is found."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        identifier = username or kwargs.get(User.USERNAME_FIELD)
        if not identifier or password is None:
            return None
        try:
            user = User.objects.get_by_natural_key(identifier)
        except (User.DoesNotExist, ValidationError):
            make_password(password)  # an unknown account takes as long as a wrong password
            return None
        if user.check_password(password) and self.user_can_authenticate(user):
            return user
        return None
