"""Rules that hold for every answer."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from .ratelimit import RateLimited
from .views import error_page, healthz, metrics_page, readyz, too_many_requests

GetResponse = Callable[[HttpRequest], HttpResponse]


def private_pages(get_response: GetResponse) -> GetResponse:
    """Keep pages out of shared caches: each has a language, and most a flow, in it (Vary does not name the cookie)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return middleware


def probes(get_response: GetResponse) -> GetResponse:
    """
    Answer liveness, readiness and metrics before the Host is checked: who asks does so by address, not by name. No
    session, no language, no CSRF.
    """
    views = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics_page}

    def middleware(request: HttpRequest) -> HttpResponse:
        return views.get(request.path, get_response)(request)

    return middleware


def limit_body(get_response: GetResponse) -> GetResponse:
    """Answer 413 to a body over DATA_UPLOAD_MAX_MEMORY_SIZE bytes, 415 to one that isn't UTF-8, before it is read."""

    def middleware(request: HttpRequest) -> HttpResponse:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return error_page(request, 400)
        if (request.content_params or {}).get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
            return error_page(request, 415)  # others decode to what no text is, half surrogates for one
        if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return error_page(request, 413)
        return get_response(request)

    return middleware


class RateLimits:
    """Answer 429 where a limit is reached, whoever of the views noticed."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, RateLimited):
            return too_many_requests(request, exception.retry_after)
        return None
