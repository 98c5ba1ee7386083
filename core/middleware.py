"""Rules that hold for every answer."""

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from whitenoise.middleware import WhiteNoiseMiddleware

from . import client_ip, lengths
from .ratelimit import RateLimited
from .views import error_page, healthz, metrics_page, readyz, too_many_requests

GetResponse = Callable[[HttpRequest], HttpResponse]

logger = structlog.stdlib.get_logger("doorcode.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class StaticFiles(WhiteNoiseMiddleware):
    """Serve the static files. Those with a hash in their name are kept for a year, as long as HTTP knows "for ever"."""

    FOREVER = 31_536_000  # seconds


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


def request_log(get_response: GetResponse) -> GetResponse:
    """
    One line a request, by the name of its route: no query, and of a path with a token in it the pattern. Its id, the
    proxy's X-Request-ID where that is well-formed, is in every line of the request and of the task that it causes, and
    in the answer.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        begun = time.monotonic()
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(16)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, client_ip=client_ip.pseudonym(request))
        response = get_response(request)
        response.headers["X-Request-ID"] = request_id
        _tell(request, response, ms=round((time.monotonic() - begun) * 1000, 1))
        structlog.contextvars.clear_contextvars()
        return response

    return middleware


def _tell(request: HttpRequest, response: HttpResponse, **told: Any) -> None:
    user = getattr(request, "_cached_user", None)  # who was looked up anyway
    if user and user.pk:
        told["user_id"] = user.pk
    match = request.resolver_match
    route = f"/{match.route}" if match else request.path
    tell = logger.error if response.status_code >= 500 else logger.info
    tell("request_finished", code=response.status_code, request=f"{request.method} {route}", **told)


def limit_body(get_response: GetResponse) -> GetResponse:
    """
    Answer 413 to a body over DATA_UPLOAD_MAX_MEMORY_SIZE bytes, 415 to one that isn't UTF-8, before it is read; 411 to
    one that came in chunks which the server did not read (core/wsgi.py).
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return error_page(request, 400)
        if (request.content_params or {}).get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
            return error_page(request, 415)  # others decode to what no text is, half surrogates for one
        if "HTTP_TRANSFER_ENCODING" in request.META:
            return error_page(request, 411)
        if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return error_page(request, 413)
        return get_response(request)

    return middleware


def limit_fields(get_response: GetResponse) -> GetResponse:
    """
    Bound the fields of query and form (core/lengths.py) before a view, or Django's own code, reads them. A query or a
    body that is short as a whole has no long field.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if len(request.META.get("QUERY_STRING", "")) > lengths.NEXT:
            request.GET = lengths.bound_fields(request.GET)  # type: ignore[assignment]
        if int(request.META.get("CONTENT_LENGTH") or 0) > lengths.NEXT:
            try:
                request.POST = lengths.bound_fields(request.POST)  # type: ignore[assignment]
            except UnreadablePostError:  # the client left
                return error_page(request, 400)
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
