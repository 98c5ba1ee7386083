"""The cookie `doorcode_signup`: the sign-up requests that this browser began, or whose mail it opened."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from verification import keys

COOKIE = "doorcode_signup"
MOST = 5  # requests
NEXT_LENGTH = 300  # characters; longer ones are dropped, a cookie holds 4 KiB
_HANDLE = re.compile(r"[A-Za-z0-9_-]{24}")
_LINK_PROOF = re.compile(r"[A-Za-z0-9_-]{32}")
_SALT = "doorcode.signup.handles"


@dataclass(frozen=True)
class Entry:
    """One request: its handle, the proof from the mail's link if this browser opened it, and where to go after."""

    handle: str
    link_proof: str = ""
    next: str = ""


def read(request: HttpRequest) -> list[Entry]:
    """Return the entries, newest first; none for a cookie that is missing, forged, too old or of another make."""
    try:
        rows = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=settings.HANDLE_LIFETIME)
        return [Entry(*row) for row in rows if _HANDLE.fullmatch(row[0])]
    except (signing.BadSignature, LookupError, TypeError, ValueError):
        return []


def write(response: HttpResponse, entries: Sequence[Entry]) -> None:
    """Put the newest MOST entries into the browser, or take the cookie away where none is left."""
    if not entries:
        response.delete_cookie(COOKIE, samesite="Lax")
        return
    rows = [(each.handle, each.link_proof, each.next) for each in entries[:MOST]]
    response.set_cookie(
        COOKIE,
        signing.dumps(rows, salt=_SALT),
        max_age=settings.HANDLE_LIFETIME,
        secure=settings.SIGNUP_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def is_handle(text: str) -> bool:
    """Whether a text can be a handle at all."""
    return bool(_HANDLE.fullmatch(text))


def find(entries: Sequence[Entry], handle: str) -> Entry | None:
    """Return this handle's entry, if the browser has one."""
    return next((each for each in entries if each.handle == handle), None)


def link_proofs(entries: Sequence[Entry]) -> dict[str, str]:
    """What the browser holds of each request: handle -> link proof or ""."""
    return {each.handle: each.link_proof for each in entries}


def without(entries: Sequence[Entry], handle: str) -> list[Entry]:
    return [each for each in entries if each.handle != handle]


def first(entries: Sequence[Entry], handle: str) -> list[Entry]:
    """The same entries, with this handle's before all others."""
    return sorted(entries, key=lambda each: each.handle != handle)


def from_token(token: str) -> Entry | None:
    """
    Return the entry that a mail link's token makes, None for what is no token of ours; whether it proves anything is
    for the services to say.
    """
    handle, link_proof = keys.split_link(token)
    return Entry(handle, link_proof) if _HANDLE.fullmatch(handle) and _LINK_PROOF.fullmatch(link_proof) else None
