"""
Tokens: knox keeps their hash alone. A token dies at sign-out, by age, with its account's password or when that is
disabled (`User.save`, `UserQuerySet.update`), and when more than TOKEN_LIMIT_PER_USER newer ones exist.
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

    The row is locked, so that either change comes before (and refuses) or after (and deletes the token).
    """
    now = User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
    if now is None or not now.is_active or now.get_session_auth_hash() != user.get_session_auth_hash():
        return None
    row, token = AuthToken.objects.create(user=now)
    others = AuthToken.objects.filter(user=now).exclude(pk=row.pk).order_by("-created")
    kept = list(others.values_list("pk", flat=True)[: knox_settings.TOKEN_LIMIT_PER_USER - 1])
    others.exclude(pk__in=kept).delete()
    return Issued(token, row.expiry.replace(microsecond=0))  # as every time that is told
