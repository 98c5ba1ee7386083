"""The cookie `doorcode_signup`: the sign-up requests that this browser began, or whose mail it opened."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from verification import codes

MOST = 5  # requests
NEXT_LENGTH = 300  # characters; longer ones are dropped, a cookie holds 4 KiB
_SALT = "doorcode.signup.handles"


@dataclass(frozen=True)
class Entry:
    """
    One request: its handle, the proof from the mail's link if this browser opened it, and where to go after. It is this
    browser's own if it was begun or proven here; else a link brought it, and strangers can make people open links.
    """

    handle: str
    link_proof: str = ""
    next: str = ""
    own: bool = True


def read(request: HttpRequest) -> list[Entry]:
    """Return the entries, newest first; none for a cookie that is missing, forged, too old or of another make."""
    try:
        rows = signing.loads(
            request.COOKIES.get(settings.SIGNUP_COOKIE_NAME, ""), salt=_SALT, max_age=settings.HANDLE_LIFETIME
        )
        return [Entry(*row) for row in rows if codes.is_handle(row[0])]
    except (signing.BadSignature, LookupError, TypeError, ValueError):
        return []


def write(response: HttpResponse, entries: Sequence[Entry]) -> None:
    """Put MOST of these entries, newest first, into the browser, or take the cookie away where none is left."""
    if not entries:
        response.delete_cookie(settings.SIGNUP_COOKIE_NAME, samesite="Lax")
        return
    # Older releases know three columns, so the fourth is only there where it says something.
    rows = [(each.handle, each.link_proof, each.next, *([] if each.own else [False])) for each in _kept(entries)]
    response.set_cookie(
        settings.SIGNUP_COOKIE_NAME,
        signing.dumps(rows, salt=_SALT),
        max_age=settings.HANDLE_LIFETIME,
        secure=settings.SIGNUP_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _kept(entries: Sequence[Entry]) -> list[Entry]:
    """
    The entries that stay: the first, which the page is about; then this browser's own, proven ones before others; what
    links brought goes first, so that no number of links ends a sign-up that was begun here.
    """
    wanted = [entries[0], *sorted(entries[1:], key=lambda each: (not each.own, not each.link_proof))][:MOST]
    return [each for each in entries if each in wanted]


def find(entries: Sequence[Entry], handle: str) -> Entry | None:
    """Return this handle's entry, if the browser has one."""
    return next((each for each in entries if each.handle == handle), None)


def link_proofs(entries: Sequence[Entry]) -> dict[str, str]:
    """
    What the browser holds of its own requests, which asking again goes on with: handle -> link proof or "". One that a
    link brought is somebody else's as well, who could use up the tries of its code.
    """
    return {each.handle: each.link_proof for each in entries if each.own}


def without(entries: Sequence[Entry], handle: str) -> list[Entry]:
    return [each for each in entries if each.handle != handle]


def first(entries: Sequence[Entry], handle: str) -> list[Entry]:
    """The same entries, with this handle's before all others."""
    return sorted(entries, key=lambda each: each.handle != handle)
