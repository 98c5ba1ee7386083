"""
Error reports, to Sentry where SENTRY_DSN is set: which exception, where in the code, for which route. No value leaves:
no words of an exception, no variable, body, cookie, header, query, address or user. The request's id finds the rest in
the log.
"""

import re
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.views.debug import SafeExceptionReporterFilter

from . import redaction

_KEPT = {
    "event_id",
    "timestamp",
    "platform",
    "level",
    "logger",
    "environment",
    "release",
    "server_name",
    "sdk",
    "transaction",
    "tags",
    "exception",
    "logentry",
}


class NoValues(SafeExceptionReporterFilter):
    """
    Hides every posted value and every local variable's, not only those that somebody thought of marking: codes and
    passwords pass through many frames, Django's own among them. URLs of services hold passwords, and are hidden too.
    """

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|LOCATION", re.IGNORECASE)

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        if request is None or not self.is_active(request):
            return super().get_post_parameters(request)
        hidden = QueryDict(mutable=True)
        for name in request.POST:
            hidden[name] = self.cleansed_substitute
        return hidden

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        if not self.is_active(request):
            return super().get_traceback_frame_variables(request, tb_frame)
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]


def start(**options: Any) -> None:
    """Begin to report, where SENTRY_DSN is set; `options` are for tests."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk  # only here: who reports nothing loads nothing
    from sentry_sdk.integrations.logging import ignore_logger

    for name in ("doorcode.requests", "django_structlog.*"):
        ignore_logger(name)  # they tell of crashes that are reported as such
    given: dict[str, Any] = {
        "dsn": settings.SENTRY_DSN,
        "before_send": clean,
        "before_send_transaction": lambda event, hint: None,
        "include_local_variables": False,
        "include_source_context": False,
        "max_request_body_size": "never",
        "max_breadcrumbs": 0,  # queries and log lines of the way to the error
        "auto_session_tracking": False,
        "send_client_reports": False,
        **options,
    }
    sentry_sdk.init(**given)


def clean(event: Any, hint: Any) -> Any:
    """What of an event may leave: a list of what is known to be harmless, not of what is known to be secret."""
    kept = {name: value for name, value in event.items() if name in _KEPT}
    for error in (kept.get("exception") or {}).get("values") or []:
        error["value"] = ""
    if "logentry" in kept:  # the words of the call, without what was filled in
        kept["logentry"] = {"message": str((event["logentry"] or {}).get("message", ""))}
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    kept["tags"] = {**(kept.get("tags") or {}), **({"request_id": request_id} if request_id else {})}
    return redaction.scrub_all(kept)
