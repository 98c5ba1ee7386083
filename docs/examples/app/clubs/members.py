from typing import Any

from clubs.models import Member


def welcome(user: Any, **kwargs: Any) -> None:
    """Called once for each account, by a sign-up, an operator or code."""
    Member.objects.get_or_create(account=user)
