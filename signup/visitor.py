"""
The signed cookies of a browser: its sign-up requests, drafts of forms, and the accounts that it signed in to.

A visitor has no session before there is an account.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from core import email_addresses, lengths
from verification import codes
from verification import services as verification
from verification.models import CaptchaModel, is_handle

from .models import User

MAX_REQUESTS = 5
MAX_ACCOUNTS = 5
SHORT_NEXT = 300  # characters; only the first request of the cookie keeps a longer path to go to afterwards
MAX_COOKIE = 3_800  # characters; browsers drop a cookie that is over 4 KiB with its attributes
DRAFT_FIELDS = ("email", "username", "captcha")  # never a password

T = TypeVar("T")


@dataclass(frozen=True)
class SignedCookie:
    """A cookie that only this site can write, and that no script can read."""

    name: str
    salt: str
    max_age: int  # seconds
    path: str = "/"

    def read(self, request: HttpRequest, parse: Callable[[Any], T]) -> T | None:
        """Return the parsed value; None for a cookie that is missing, forged, too old or of another shape."""
        try:
            return parse(signing.loads(request.COOKIES.get(self.name, ""), salt=self.salt, max_age=self.max_age))
        except (signing.BadSignature, LookupError, TypeError, ValueError):
            return None

    def write(self, response: HttpResponse, value: Any) -> None:
        """Set the cookie, unless no browser would keep it."""
        signed = signing.dumps(value, salt=self.salt)
        if len(signed) <= MAX_COOKIE:
            secure = settings.SESSION_COOKIE_SECURE
            response.set_cookie(
                self.name, signed, self.max_age, path=self.path, secure=secure, httponly=True, samesite="Lax"
            )

    def delete(self, response: HttpResponse) -> None:
        response.delete_cookie(self.name, path=self.path, samesite="Lax")


SIGN_UPS = SignedCookie(settings.SIGNUP_COOKIE_NAME, "doorcode.signup.handles", settings.HANDLE_LIFETIME)
DEVICE = SignedCookie(settings.DEVICE_COOKIE_NAME, "doorcode.signup.devices", 180 * 86_400)


def draft_cookie(path: str) -> SignedCookie:
    """
    The draft of the form at `path`. It goes to that page alone, so its name can't have the prefix __Host-: a
    neighbouring subdomain could fill the form with a draft of its own, and do nothing else.
    """
    prefix = "__Secure-" if settings.SESSION_COOKIE_SECURE else ""
    name = f"{prefix}doorcode_draft{path.rstrip('/').replace('/', '-')}"
    return SignedCookie(name, "doorcode.signup.drafts", 300, path)


class Held(NamedTuple):
    """
    A sign-up request that a browser holds. `proof` stands for a code ("" without one); `next` is the page to go
    to afterwards. A request is the browser's own if it was begun or proven here. Else a mail's link brought it, and a
    stranger may have made the visitor open that link.
    """

    handle: str
    proof: str = ""
    next: str = ""
    own: bool = True


class Visitor:
    """The browser that sent a request. Methods that change its cookies set them on the response that they get."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    @cached_property
    def held(self) -> dict[str, Held]:
        """The requests that this browser holds, by handle, newest first."""
        return SIGN_UPS.read(self.request, lambda rows: {row[0]: Held(*row) for row in rows if is_handle(row[0])}) or {}

    @cached_property
    def sign_ups(self) -> list[CaptchaModel]:
        """
        The requests of this browser, the one that the page is about first: that of the posted address, else of the
        reference `ref`, else the newest that is not finished. Of two for one address a proven one comes first; else one
        that was begun here, because people type its code.
        """
        sign_ups = CaptchaModel.objects.by_handles(self.held)
        address, reference = self._address, self.request.GET.get("ref")
        addresses = [sign_up.address for sign_up in sign_ups]

        def order(sign_up: CaptchaModel) -> tuple[bool | int, ...]:
            held = self.held[sign_up.handle]
            return (  # False sorts before True
                sign_up.address != address,
                codes.reference_of(sign_up) != reference,
                sign_up.is_finished,
                addresses.index(sign_up.address),  # the newest first; of two for one address the next two decide
                not verification.holds_proof(sign_up, proof=held.proof),
                not held.own,
            )

        return sorted(sign_ups, key=order)

    @property
    def sign_up(self) -> CaptchaModel | None:
        """The request that the page is about."""
        return self.sign_ups[0] if self.sign_ups else None

    def is_about(self, sign_up: CaptchaModel) -> bool:
        """Whether the POST names no other address: it may come from the page of a request that is gone."""
        return self._address in ("", sign_up.address)

    @property
    def own_proofs(self) -> dict[str, str]:
        """
        The browser's own requests, handle -> proof or "": asking again uses one of them again. One that a link
        brought is not among them: the stranger who made it can use up the tries of its code.
        """
        return {held.handle: held.proof for held in self.held.values() if held.own}

    def keep(
        self, response: HttpResponse, sign_up: CaptchaModel, *, next: str = "", proof: str = "", own: bool = False
    ) -> HttpResponse:
        """
        Hold this request before all others, as the browser's `own` if it was begun or proven here. What isn't given
        stays as it was.
        """
        old = self.held.get(sign_up.handle, Held(sign_up.handle))
        first = Held(old.handle, proof or old.proof, next or old.next, own or old.own)
        return self._write(response, first, self.held.values())

    def open_link(self, response: HttpResponse, sign_up: CaptchaModel, proof: str) -> bool:
        """
        Hold a request whose mail's link this browser opened, before all others; return whether one was added. Others
        for the same address stay: `sign_ups` decides between them.
        """
        known, same_address = self.held.get(sign_up.handle), self._handles_for(sign_up.address)
        # A new one takes over the `next` page of the request that was begun here.
        pages = (held.next for held in self.held.values() if held.own and held.handle in same_address)
        first = known or Held(sign_up.handle, next=next(pages, ""), own=False)
        self._write(response, first._replace(proof=proof), self.held.values())
        return known is None

    def finish(self, response: HttpResponse, sign_up: CaptchaModel, user: User) -> HttpResponse:
        """
        Drop all other requests for the address of this one, and remember its account. This one stays for a double
        click: the second answer, which the browser may show, needs it.
        """
        same_address = self._handles_for(sign_up.address)
        others = [held for held in self.held.values() if held.handle not in same_address]
        self._write(response, self.held[sign_up.handle], others)
        return self.remember(response, user)

    def handle_for(self, form_id: str, address: str) -> str | None:
        """The same handle each time that this browser sends this form for this address, as by a double click."""
        browser = self.request.COOKIES.get(settings.CSRF_COOKIE_NAME, "")
        return codes.handle_for(form_id, browser, address) if form_id and browser else None

    @cached_property
    def typed(self) -> dict[str, str]:
        """The typed fields of the page's form: of this POST, else of the draft from before a change of language."""
        is_post = self.request.method == "POST"
        source = self.request.POST if is_post else draft_cookie(self.request.path).read(self.request, dict) or {}
        typed = {name: str(source.get(name, "")) for name in DRAFT_FIELDS}
        return {name: text for name, text in typed.items() if 0 < len(text) <= lengths.LOGIN_NAME}  # longer: a mistake

    @cached_property
    def _address(self) -> str:
        """The address that was typed, canonical; "" without one."""
        return email_addresses.canonical_or_none(self.typed.get("email", "")) or ""

    def drop_draft(self, response: HttpResponse) -> HttpResponse:
        """Delete the draft of this page, which has shown it."""
        cookie = draft_cookie(self.request.path)
        if cookie.name in self.request.COOKIES:
            cookie.delete(response)
        return response

    @cached_property
    def _device(self) -> list[Any]:
        """A random name of this browser, then the marks of the accounts that it signed in to, newest first."""
        return DEVICE.read(self.request, list) or [secrets.token_urlsafe(12)]

    def device_for(self, user: User | None) -> str:
        """The name of this browser if it signed in to the account before, else ""."""
        name, *accounts = self._device
        return str(name) if user and _mark(user) in accounts else ""

    def remember(self, response: HttpResponse, user: User) -> HttpResponse:
        """Remember in this browser's cookie that it signed in to the account. The cookie alone gives no access."""
        name, others = self._device[0], self._accounts_beside(user)
        DEVICE.write(response, [name, _mark(user), *others[: MAX_ACCOUNTS - 1]])
        return response

    def forget(self, response: HttpResponse, user: User) -> HttpResponse:
        """Forget an account that was deleted. A browser that remembers no other needs no name."""
        name, others = self._device[0], self._accounts_beside(user)
        if others:
            DEVICE.write(response, [name, *others])
        else:
            DEVICE.delete(response)
        return response

    def _accounts_beside(self, user: User) -> list[Any]:
        """The marks of the other accounts that this browser signed in to."""
        return [each for each in self._device[1:] if not str(each).startswith(str(user.public_id))]

    def _handles_for(self, address: str) -> set[str]:
        return {sign_up.handle for sign_up in self.sign_ups if sign_up.address == address}

    def _write(self, response: HttpResponse, first: Held, others: Iterable[Held]) -> HttpResponse:
        """
        Keep MAX_REQUESTS: the first, which the page is about, and the best of the others that are not lost, in their
        order. Requests that are not finished are better than finished ones, then the browser's own than those that
        links brought, then proven ones: no number of links ends a sign-up that was begun here. Only the first keeps a
        long `next`: browsers would drop a cookie with five.
        """
        finished = {sign_up.handle: sign_up.is_finished for sign_up in self.sign_ups}
        others = [each for each in others if each.handle != first.handle and each.handle in finished]
        by_worth = sorted(others, key=lambda each: (finished[each.handle], not each.own, not each.proof))
        best = by_worth[: MAX_REQUESTS - 1]
        kept = (each for each in others if each in best)
        short = (each if len(each.next) <= SHORT_NEXT else each._replace(next="") for each in kept)
        SIGN_UPS.write(response, [first, *short])
        return response


def _mark(user: User) -> str:
    """
    The mark of an account. It is valid until the next password, or a better hash of the same one: after that a thief's
    browser is unknown again. The hash has a random salt, so its digest reveals nothing about the password.
    """
    digest = hashlib.sha256((user.password + user.session_salt).encode()).hexdigest()
    return f"{user.public_id}:{digest[:16]}"
