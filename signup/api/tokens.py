"""
Tokens: knox stores their hash alone. A token ends when its owner signs out, it expires, the account is disabled or its
password changes (`User.save`, `UserQuerySet.update`), and when TOKEN_LIMIT_PER_USER newer ones exist.
"""

import re
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from knox.settings import knox_settings
from rest_framework.exceptions import AuthenticationFailed

from signup.accounts.services import AccountChanged
from signup.models import User

_TOKEN = re.compile(rb"[0-9a-f]{64}")


class Issued(NamedTuple):
    """A token, which is shown only once, and when it expires."""

    token: str
    expires_at: datetime


class Authentication(TokenAuthentication):
    """`Authorization: Token …`. Only what can be a token reaches the database: PostgreSQL raises at a NUL."""

    def authenticate_credentials(self, token: bytes) -> Any:
        if not _TOKEN.fullmatch(token):
            raise AuthenticationFailed
        return super().authenticate_credentials(token)


class TokenScheme(KnoxTokenScheme):
    target_class = "signup.api.tokens.Authentication"
    name = "token"


@transaction.atomic
def issue(*, user: User) -> Issued:
    """
    Return a new token of an account. Raises AccountChanged if its password changed or it was disabled since `user` was
    read. The row is locked, so that such a change comes before this (and refuses the token) or after it (and deletes
    it).
    """
    now = User.objects.lock_active(user)
    if now is None or now.get_session_auth_hash() != user.get_session_auth_hash():
        raise AccountChanged
    tokens = AuthToken.objects.filter(user=now)
    if limit := knox_settings.TOKEN_LIMIT_PER_USER:
        oldest = tokens.order_by("-created")[limit - 1 :]
        tokens.filter(pk__in=oldest.values("pk")).delete()
    row, token = AuthToken.objects.create(user=now)
    return Issued(token, row.expiry.replace(microsecond=0))  # whole seconds, like every time in a response
