"""The names of the outer limits, and whom they count; numbers are in the settings, the mechanism in core."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from django.http import HttpRequest
from django_ratelimit import UNSAFE

from core import client_ip, ratelimit
from core.ratelimit import Limit

from . import devices
from .models import User

P = ParamSpec("P")
R = TypeVar("R")

REQUESTS = Limit("requests_network", "LIMIT_REQUESTS_NETWORK")  # whatever makes a mail
VERIFY = Limit("verify_network", "LIMIT_VERIFY_NETWORK")
LOGIN_NETWORK = Limit("login_network", "LIMIT_LOGIN_NETWORK")
LOGIN_PAIR = Limit("login_pair", "LIMIT_LOGIN_PAIR")  # wrong passwords for one account from one network
LOGIN_ACCOUNT = Limit("login_account", "LIMIT_LOGIN_ACCOUNT")  # wrong passwords for one account


def count_request(request: HttpRequest) -> None:
    """Count a request that makes a mail. Raises RateLimited, alike for any address."""
    ratelimit.hit(REQUESTS, key=client_ip.client_network(request))


def count_code(request: HttpRequest) -> None:
    """Count a post of a code. Raises RateLimited."""
    ratelimit.hit(VERIFY, key=client_ip.client_network(request))


def count_sign_in(request: HttpRequest) -> None:
    """
    Count a request that brings a password, once however often it is asked for. Raises RateLimited.

    A view does so before it looks at anything; the authentication backend does so too, for a view that forgets it.
    """
    if not getattr(request, "is_sign_in_counted", False):
        request.is_sign_in_counted = True  # type: ignore[attr-defined]
        ratelimit.hit(LOGIN_NETWORK, key=client_ip.client_network(request))


def counted(
    charge: Callable[[HttpRequest], None],
) -> Callable[[Callable[Concatenate[HttpRequest, P], R]], Callable[Concatenate[HttpRequest, P], R]]:
    """Decorate a view: `charge` each request that sends something, before the view normalizes or queries anything."""

    def decorate(view: Callable[Concatenate[HttpRequest, P], R]) -> Callable[Concatenate[HttpRequest, P], R]:
        @wraps(view)
        def count_first(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if request.method in UNSAFE:
                charge(request)
            return view(request, *args, **kwargs)

        return count_first

    return decorate


class PasswordTry:
    """
    One try of a password for an account, by the name under which somebody calls it. Raises RateLimited.

    It is counted before the password is looked at, so that parallel tries don't get one for nothing, and given back
    where it was right. A browser that was signed in to the account before has a count of its own: strangers elsewhere
    can't lock the owner out. The name isn't resolved, or the limits would tell which email belongs to which username.
    """

    def __init__(self, request: HttpRequest, *, name: str, user: User | None) -> None:
        where = client_ip.client_network(request)
        device = devices.read(request)
        own = device is not None and user is not None and user.pk in device.accounts
        self._charged = [
            (LOGIN_PAIR, f"{name}|{where}"),
            (LOGIN_ACCOUNT, f"{device.name}|{name}" if device and own else name),
        ]
        for limit, key in self._charged:
            ratelimit.hit(limit, key=key)

    def was_right(self) -> None:
        for limit, key in self._charged:
            ratelimit.undo(limit, key=key)
