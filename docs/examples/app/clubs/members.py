from typing import Any

from clubs.models import Member


def of(user: Any) -> Member:
    """The member of an account. For an account that is older than this app it is made here."""
    return Member.objects.get_or_create(account=user)[0]


def welcome(user: Any, **kwargs: Any) -> None:
    """Called once for each account, by a sign-up, an operator or code."""
    of(user)
