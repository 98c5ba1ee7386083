"""Rules that hold for every answer."""

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

from . import network
from .ratelimit import RateLimited
from .views import error_page, healthz, metrics_page, readyz, too_many_requests

GetResponse = Callable[[HttpRequest], HttpResponse]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


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


class RequestLog(RequestMiddleware):
    """
    One line a request, by the name of its route. Its id, the proxy's X-Request-ID where that is well-formed, is in
    every line of the request and of the task that it causes, and in the answer.
    """

    def prepare(self, request: HttpRequest) -> None:
        structlog.contextvars.clear_contextvars()
        if not _REQUEST_ID.fullmatch(request.META.get("HTTP_X_REQUEST_ID", "")):
            request.META["HTTP_X_REQUEST_ID"] = secrets.token_hex(16)
        structlog.contextvars.bind_contextvars(network=network.fingerprint(request))
        request._begun = time.monotonic()  # type: ignore[attr-defined]
        super().prepare(request)

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        response.headers["X-Request-ID"] = request.META["HTTP_X_REQUEST_ID"]
        took = (time.monotonic() - request._begun) * 1000  # type: ignore[attr-defined]
        user = getattr(request, "_cached_user", None)  # who was looked up anyway
        structlog.contextvars.bind_contextvars(ms=round(took, 1), **({"user_id": user.pk} if user and user.pk else {}))
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """No query, and of a path with a token in it the pattern."""
        match = request.resolver_match
        return f"{request.method} {f'/{match.route}' if match else request.path}"

    def process_got_request_exception(self, *args: Any, **kwargs: Any) -> None:
        """django.request tells the traceback; here a crash is an answer as any other."""


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
