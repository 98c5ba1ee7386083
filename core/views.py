"""Pages that belong to no app: errors, liveness, readiness and metrics; and the context of every page."""

import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from . import brand, clock, languages, lengths
from .health import proxies, registry
from .observability import metrics

RETRY_AFTER = 30  # seconds: a database restart is over by then
READ_ONLY = "25006"  # PostgreSQL's SQLSTATE: it takes no writes, as a standby, or one whose disk is full

_FAULT = _("There's a problem with the service. Try again later")
_TEXTS = {
    **dict.fromkeys((400, 405, 411, 415), (_("There is a problem with the request"), _("Go back and try again"))),
    403: (_("You can't open this page"), _("Sign in with an account that may open it")),
    404: (_("Page not found"), _("Check the address, or go to the start page")),
    413: (_("The request is too large"), _("Go back and send less")),
    500: (_FAULT, _("It's safe to try again")),
    503: (_FAULT, _("Wait a minute, then send it again")),
}

ErrorView = Callable[[HttpRequest, int], HttpResponse]
_error_views: dict[str, ErrorView] = {}


def site(request: HttpRequest) -> dict[str, Any]:
    """The context processor of all pages."""
    paths = request.get_full_path(), request.path
    return {
        # The action of forms, as browsers add the fragment to an empty one. And `next` of each language in the menu, so
        # that a long query is left out; if it is empty, Django goes back to the Referer.
        "here": next((path for path in paths if len(path) <= lengths.NEXT), ""),
        "brand": languages.site_name(),
        "brand_color": settings.BRAND_COLOR,
        "site_url": settings.SITE_URL,
        "signup_open": settings.SIGNUP_OPEN,
        "demo": settings.DEMO,
        "operator_languages": [each for each in settings.LANGUAGES if each[0] in settings.OPERATOR_LANGUAGES],
    }


def register_errors(prefix: str, view: ErrorView) -> None:
    """Have `view(request, status)` respond to errors at paths that begin with `prefix`."""
    _error_views[prefix] = view


def error_page(request: HttpRequest, status: int, texts: tuple[Any, Any] | None = None) -> HttpResponse:
    """An error page in the visitor's language. It uses neither database nor session: they may be what failed."""
    for prefix, view in _error_views.items():
        if request.path.startswith(prefix):
            return view(request, status)
    title, text = texts or _TEXTS[status]
    context = {"title": title, "text": text, "status": status, "can_sign_in": status == 403 and texts is None}
    return render(request, "error.html", context, status=status)


def error_handler(status: int) -> Callable[[HttpRequest, Exception], HttpResponse]:
    """Django's handler for an error of the client, as `handler404`."""
    return lambda request, exception: error_page(request, status)


@csrf_exempt
def not_found(request: HttpRequest, path: str) -> HttpResponse:
    """Respond 404 at a path that Django, or a package, would answer by itself."""
    return error_page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500; or 503 with Retry-After if the database is down or read-only, which passes by itself."""
    error = sys.exc_info()[1]
    is_read_only = getattr(error and error.__cause__, "sqlstate", None) == READ_ONLY
    if not (is_read_only or isinstance(error, (OperationalError, InterfaceError))):
        return error_page(request, 500)
    response = error_page(request, 503)
    response["Retry-After"] = str(RETRY_AFTER)
    return response


def slow_down(retry_after: int) -> str:
    """The text of a limit for people, in minutes or hours."""
    if hours := clock.hours(retry_after):
        return ngettext(
            "Too many requests. Try again in %(n)d hour", "Too many requests. Try again in %(n)d hours", hours
        ) % {"n": hours}
    minutes = clock.minutes(retry_after)
    return ngettext(
        "Too many requests. Try again in %(n)d minute", "Too many requests. Try again in %(n)d minutes", minutes
    ) % {"n": minutes}


def too_many_requests(request: HttpRequest, retry_after: int) -> HttpResponse:
    """429 with the wait: `retry_after` seconds in the header, minutes or hours in the text."""
    response = error_page(request, 429, (slow_down(retry_after), _("Go back then and send it again")))
    response["Retry-After"] = str(retry_after)
    return response


@require_safe
@cache_control(public=True, max_age=3_600)
def brand_css(request: HttpRequest) -> HttpResponse:
    """The site's colour, as a style sheet after ours; its URL has the colour in it, so that a new one is not cached."""
    return HttpResponse(brand.style_sheet(brand.color()), content_type="text/css")


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Liveness: the process answers, whatever else is down. The doctor's signed request gets what the site saw."""
    return JsonResponse({"status": "ok", **proxies.seen_by_site(request)})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Readiness: each dependency by name, "ok" or "down"; 503 when one is down. Checked at most once a second."""
    states = registry.cached_readiness()
    ready = all(state == "ok" for state in states.values())
    return JsonResponse({"status": "ok" if ready else "down", "checks": states}, status=200 if ready else 503)


@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Metrics for Prometheus; 404 without the token."""
    if not metrics.is_allowed(request):
        return HttpResponseNotFound("Not found\n", content_type="text/plain")
    return HttpResponse(metrics.render(), content_type=metrics.CONTENT_TYPE)
