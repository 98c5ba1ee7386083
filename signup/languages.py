"""The language switch: Django's own, but for what the visitor has typed, which the new page shows again."""

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.views import i18n
from django.views.decorators.debug import sensitive_post_parameters

from . import drafts

PAGES = {"signup", "signup_verify", "login", "password_reset"}  # whose forms are worth a draft


@sensitive_post_parameters("password", "captcha")
def set_language(request: HttpRequest) -> HttpResponse:
    """
    Set the language cookie and go back to the page.

    The switch is part of the page's own form, so it sends what was typed; `?next=` stands for the page, as the form
    may have a `next` of its own.
    """
    typed = drafts.typed(request)
    if "next" in request.GET:
        fields = request.POST.copy()
        fields["next"] = request.GET["next"]
        request.POST = fields  # type: ignore[assignment]
    response = i18n.set_language(request)
    path = urlsplit(response.headers.get("Location", "")).path
    if request.method == "POST" and _is_page(path):
        drafts.keep(response, path=path, typed=typed)
    return response


def _is_page(path: str) -> bool:
    try:
        return resolve(path).url_name in PAGES
    except Resolver404:
        return False
