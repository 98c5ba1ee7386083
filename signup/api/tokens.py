"""
Tokens: knox keeps their hash alone. A token dies at sign-out, by age, with its account's password (`User.save`), and
when more than TOKEN_LIMIT_PER_USER newer ones exist.
"""

import re
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from knox.settings import knox_settings
from rest_framework.exceptions import AuthenticationFailed

from signup.models import User

_TOKEN = re.compile(rb"[0-9a-f]{64}")


class Issued(NamedTuple):
    """A token as it is told once, and the moment from which it is dead."""

    token: str
    expires_at: datetime


class Authentication(TokenAuthentication):
    """`Authorization: Token …`. What can't be a token never reaches the database, which takes no NUL."""

    def authenticate_credentials(self, token: bytes) -> tuple[Any, Any]:
        if not _TOKEN.fullmatch(token):
            raise AuthenticationFailed
        found: tuple[Any, Any] = super().authenticate_credentials(token)
        return found


@transaction.atomic
def issue(*, user: User) -> Issued | None:
    """
    Return a new token of an account; None where since `user` was read its password changed, or it was disabled.

    The row is held, so that a change of the password comes before (and refuses) or after (and takes the token back).
    """
    now = User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
    if now is None or now.password != user.password or not now.is_active:
        return None
    row, token = AuthToken.objects.create(user=now)
    others = AuthToken.objects.filter(user=now).exclude(pk=row.pk).order_by("-created")
    kept = list(others.values_list("pk", flat=True)[: knox_settings.TOKEN_LIMIT_PER_USER - 1])
    others.exclude(pk__in=kept).delete()
    return Issued(token, row.expiry.replace(microsecond=0))  # as every time that is told
