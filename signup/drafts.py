"""
What a visitor has typed, carried over a change of language or address, in a cookie of their own browser.

Nothing is kept on the server, and never a password. A draft is for one page, once. Its cookie goes to that page alone,
so its name can't have the prefix __Host-: a neighbouring subdomain could fill a form with a draft of its own, no more.
"""

from collections.abc import Mapping

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

FIELDS = ("email", "new_email", "username", "captcha")
LIFETIME = 300  # seconds
LENGTH = 254  # characters of a field; more is no draft but a mistake
MOST = 3_000  # characters of a draft; browsers drop a cookie over 4 KiB
_SALT = "doorcode.signup.drafts"


def typed(request: HttpRequest, *fields: str) -> dict[str, str]:
    """Return what a POST holds of `fields`, or of all FIELDS."""
    found = {field: request.POST.get(field, "") for field in fields or FIELDS}
    return {field: text for field, text in found.items() if 0 < len(text) <= LENGTH}


def keep(response: HttpResponse, *, path: str, typed: Mapping[str, str]) -> None:
    """Put a draft for the page at `path` into the browser, if there is anything in it that a cookie can hold."""
    draft = signing.dumps(dict(typed), salt=_SALT, compress=True)
    if typed and len(draft) <= MOST:
        response.set_cookie(
            _name(path),
            draft,
            max_age=LIFETIME,
            path=path,
            secure=settings.SIGNUP_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def read(request: HttpRequest) -> dict[str, str]:
    """Return the draft for this page; nothing where there is none, or one that we didn't write."""
    try:
        draft = signing.loads(request.COOKIES.get(_name(request.path), ""), salt=_SALT, max_age=LIFETIME)
        return {field: str(text) for field, text in draft.items() if field in FIELDS}
    except (signing.BadSignature, AttributeError):
        return {}


def drop(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Take the draft for this page out of the browser: the page has shown it."""
    if _name(request.path) in request.COOKIES:
        response.delete_cookie(_name(request.path), path=request.path, samesite="Lax")
    return response


def _name(path: str) -> str:
    return "doorcode_draft" + path.rstrip("/").replace("/", "-")
