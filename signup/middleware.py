"""The language of a response."""

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.http import escape_leading_slashes
from django.utils.translation import get_language_from_path

from core import languages

from .accounts import services

CALL = re.compile(r"/api/(?!docs/|$)")  # has its language by Accept-Language alone, whatever a browser adds


class Language(LocaleMiddleware):
    """
    The language of the account, when signed in; else that of the cookie, of Accept-Language, or LANGUAGE_CODE. Below
    the admin it is one that operators' texts are in. `?lang=` on any page chooses as the language switch does, and
    redirects to the page without it.

    Pages keep the account's language in the cookie, and forms go by that: a form over its limit must cost no query.
    """

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:  # type: ignore[override]
        super().process_request(request)  # first: the account's may fail with the database
        if request.method in ("GET", "HEAD") and not CALL.match(request.path_info):
            code = languages.supported(request.GET.get("lang", ""))
            if code:
                services.keep_language(user=request.user, language=code)
                if not request.path_info.startswith("/signup/link/"):  # it redirects itself: its token leaves the URL
                    return _without_lang(request, code)
            # A path that begins with a language, by another app's `i18n_patterns`, has its page in that one alone.
            elif settings.SESSION_COOKIE_NAME in request.COOKIES and not get_language_from_path(request.path_info):
                code = languages.supported(getattr(request.user, "language", ""))
            request.kept_language = code  # type: ignore[attr-defined]
            _activate(request, code)
        if request.path_info.startswith("/admin/"):
            _activate(request, languages.for_operators(languages.active()))
        return None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        code = getattr(request, "kept_language", None)
        if code and request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME) != code:
            _keep(response, code)
        return super().process_response(request, response)


def _without_lang(request: HttpRequest, code: str) -> HttpResponseBase:
    fields = request.GET.copy()
    del fields["lang"]
    path = escape_leading_slashes(request.path)  # //evil.example/ would be another site
    response = HttpResponseRedirect(f"{path}?{fields.urlencode()}" if fields else path)
    return _keep(response, code)


def _keep(response: HttpResponseBase, code: str) -> HttpResponseBase:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite="Lax",
    )
    return response


def _activate(request: HttpRequest, code: str | None) -> None:
    if code:
        translation.activate(code)
        request.LANGUAGE_CODE = code
