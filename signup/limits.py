"""The outer limits by their names; the settings hold the numbers, core.ratelimit counts."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django_ratelimit import UNSAFE

from core import client_ip, ratelimit
from core.ratelimit import Limit


class NetworkLimit(Limit):
    """A limit on the requests of one network."""

    def hit(self, request: HttpRequest) -> None:
        """Count the request. Raises RateLimited."""
        ratelimit.hit(self, key=client_ip.client_network(request))


MAIL_REQUESTS = NetworkLimit("requests_network", "LIMIT_REQUESTS_NETWORK")  # counts every address alike
VERIFY = NetworkLimit("verify_network", "LIMIT_VERIFY_NETWORK")
# Not VERIFY: a person who types slowly causes a check for each letter, and the checks of a school class behind one
# network must not use up the requests that create their accounts.
USERNAME_CHECKS = NetworkLimit("username_checks", "LIMIT_VERIFY_NETWORK")
LOGIN_NETWORK = NetworkLimit("login_network", "LIMIT_LOGIN_NETWORK")
LOGIN_PAIR = Limit("login_pair", "LIMIT_LOGIN_PAIR")  # wrong passwords for one account from one network
LOGIN_ACCOUNT = Limit("login_account", "LIMIT_LOGIN_ACCOUNT")  # wrong passwords for one account
PASSWORD_CHANGES = Limit("password_changes", "LIMIT_PASSWORD_CHANGES")  # chosen with the current password


def count_sign_in(request: HttpRequest) -> None:
    """Count a request that brings a password, once however often this is called. Raises RateLimited."""
    if not getattr(request, "is_sign_in_counted", False):
        request.is_sign_in_counted = True  # type: ignore[attr-defined]
        LOGIN_NETWORK.hit(request)


def sign_ins_counted(view: Callable[..., Any]) -> Callable[..., Any]:
    """
    Count the sign-ins of a view before it looks at the request, its session or the database. The authentication backend
    counts for a view that lacks this.
    """

    @wraps(view)
    def count_first(request: HttpRequest, /, *args: Any, **kwargs: Any) -> Any:
        if request.method in UNSAFE:
            count_sign_in(request)
        return view(request, *args, **kwargs)

    return count_first
