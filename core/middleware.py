"""Rules that hold for every request and response."""

import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.utils.cache import patch_cache_control
from django.utils.deprecation import MiddlewareMixin

from . import client_ip, lengths, paths
from .observability import metrics
from .ratelimit import RateLimited
from .views import error_page, healthz, metrics_page, readyz, too_many_requests

GetResponse = Callable[[HttpRequest], HttpResponse]

logger = structlog.stdlib.get_logger("doorcode.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class PrivatePages(MiddlewareMixin):
    """
    Keep pages out of shared caches: they depend on the language and on cookies, which Vary does not name. And let no
    proxy rewrite them, as Cloudflare does with email addresses.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if response.cookies:  # such as one that ends a session, beside a public file
            response.headers.pop("Cache-Control", None)
        response.headers.setdefault("Cache-Control", "private, no-store")
        if "no-store" in response["Cache-Control"]:  # also by Django's never_cache: sign-in, resets, the admin
            patch_cache_control(response, no_transform=True)
        return response


class Probes(MiddlewareMixin):
    """Answer liveness, readiness and metrics before the Host is checked: probes use the address, not the name."""

    views = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics_page}

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        view = self.views.get(request.path)
        return view(request) if view else None


def record_requests(get_response: GetResponse) -> GetResponse:
    """
    Count each request for `/metrics`, and log one line of it: the pattern of its route, as a path may have a token in
    it, and no query. The request's id, a well-formed X-Request-ID of the proxy or a new one, is in every line of the
    request and of the task that it causes, and in the response.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        start = time.monotonic()
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(16)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, network=client_ip.pseudonym(request))
        response = get_response(request)
        seconds = time.monotonic() - start
        metrics.count_request(request, response, seconds)
        response.headers["X-Request-ID"] = request_id
        route = f"/{request.resolver_match.route}" if request.resolver_match else request.path
        fields = {"ms": round(seconds * 1000, 1)}
        session = getattr(request, "session", None)
        # A session that was used is loaded, and costs no query here; after a server error it may be what failed.
        if session is not None and session.accessed and response.status_code < 500 and SESSION_KEY in session:
            fields["user_id"] = int(session[SESSION_KEY])
        log = logger.error if response.status_code >= 500 else logger.info
        log("request_finished", code=response.status_code, request=f"{request.method} {route}", **fields)
        structlog.contextvars.clear_contextvars()
        return response

    return middleware


class LimitBody(MiddlewareMixin):
    """
    Refuse a body before it is parsed: 413 if too large, 415 if not in UTF-8, 411 if it came in unread chunks, 400 if a
    part of it did not come.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return error_page(request, 400)
        limit = paths.body_limit(request.path_info)
        is_utf8 = (request.content_params or {}).get("charset", "utf-8").lower() in ("utf-8", "utf8")
        if limit and not is_utf8:
            refusal = 415  # some charsets decode to half surrogates, which are no text
        elif "HTTP_TRANSFER_ENCODING" in request.META:
            return error_page(request, 411)
        elif limit and length > limit:
            refusal = 413
        elif limit and length and is_cut_off(request, length):
            return error_page(request, 400)
        else:
            return None
        if length <= lengths.DISCARDED:  # closing a connection with unread bytes may lose the answer
            with suppress(UnreadablePostError):  # the client closed it
                request.read(length)
        return error_page(request, refusal)


def is_cut_off(request: HttpRequest, length: int) -> bool:
    """Whether the client left in the middle of its body: gunicorn hands on what came, and half a form is another."""
    try:
        return len(request.body) < length
    except UnreadablePostError:
        return True


class LimitFields(MiddlewareMixin):
    """Bound the fields of query and form before a view, or Django's own code, reads them."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        # A mail service's own form, behind its own password, or one of another app: nothing of it may be cut.
        if request.path_info.startswith(paths.WEBHOOKS) or not paths.is_ours(request.path_info):
            return None
        request.GET = bound_fields(request.GET)  # type: ignore[assignment]
        try:
            request.POST = bound_fields(request.POST)  # type: ignore[assignment]
        except (UnreadablePostError, TypeError):  # closed by the client; a part whose parameters Python can't sort
            return error_page(request, 400)
        if request.path_info.startswith(paths.PERMISSION_FORMS):
            return None
        numbers = [sum(len(values) for _name, values in fields.lists()) for fields in (request.GET, request.POST)]
        return error_page(request, 400) if max(numbers) > lengths.FIELDS else None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The client closed the connection while a view read the body, as only the API's and other apps' views do."""
        return error_page(request, 400) if isinstance(exception, UnreadablePostError) else None


def bound_fields(fields: QueryDict) -> QueryDict:
    """
    Return a copy whose values are cut to `lengths.FIELD` characters, which every field that people fill in refuses as
    too long. A long `next`, which Django's own views read, is left out instead: half a path leads elsewhere.
    """
    short = fields.copy()
    for name, values in fields.lists():
        short.setlist(name, [value[: lengths.FIELD] for value in values])
    if any(len(value) > lengths.NEXT for value in short.getlist("next")):
        del short["next"]
    return short


class TooManyRequests(MiddlewareMixin):
    """Respond 429 if a view, a form or the authentication backend raised RateLimited."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return too_many_requests(request, exception.retry_after) if isinstance(exception, RateLimited) else None


class MethodNotAllowed(MiddlewareMixin):
    """Give 405 a page: Django's own is blank, and people open the path of a form from the address bar or by `next`."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if response.status_code != 405 or response.content:
            return response
        page = error_page(request, 405)
        page["Allow"] = response["Allow"]
        return page
