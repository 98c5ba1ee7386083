"""
Error reports, to Sentry if SENTRY_DSN is set: which exception, where in the code, for which request and route. They
contain no value: no text of an exception, no variable, body, cookie, header, query, address or user.
"""

import re
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from . import redaction

# The keys that a report may have, of the process and of the error; a list of secrets to remove would never be complete.
_KEPT = {"platform", "environment", "release", "server_name", "sdk"}
_KEPT |= {"event_id", "timestamp", "level", "logger", "transaction", "tags", "exception", "logentry"}


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Hides all posted values and variables, marked as sensitive or not, and URLs of services with their passwords."""

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|LOCATION", re.IGNORECASE)

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        given = super().get_post_parameters(request)
        return dict.fromkeys(given, self.cleansed_substitute) if self.is_active(request) else given

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        if not self.is_active(request):
            return super().get_traceback_frame_variables(request, tb_frame)
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]


def start() -> None:
    """Start to report, if SENTRY_DSN is set."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk  # only here: without a DSN it is not loaded
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.logging import ignore_logger
    from sentry_sdk.utils import BadDsn, Dsn

    # The first two log crashes that are reported as such; the third what strangers sent, such as another Host.
    for name in ("doorcode.requests", "django_structlog.*", "django.security.*"):
        ignore_logger(name)
    try:
        Dsn(settings.SENTRY_DSN)
    except BadDsn as error:
        raise ImproperlyConfigured(f"SENTRY_DSN can't be read / 无法读取 SENTRY_DSN：{error}") from error
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        before_send=clean,
        before_send_transaction=lambda event, hint: None,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,  # queries and log lines before the error
        # The release, the key of the DSN and a visitor's own baggage are no business of broker and mail services.
        trace_propagation_targets=[],
        integrations=[CeleryIntegration(propagate_traces=False)],
        auto_session_tracking=False,
        send_client_reports=False,
    )


def clean(event: Any, hint: Any) -> Any:
    """Return what a report may contain of an event."""
    kept = {name: value for name, value in event.items() if name in _KEPT}
    for error in (kept.get("exception") or {}).get("values") or []:
        error["value"] = ""
    if "logentry" in kept:  # the text of the call, without its arguments; structlog has both in one
        text = hint["log_record"].msg
        text = text["event"] if isinstance(text, dict) else text
        kept["logentry"] = {"message": text if isinstance(text, str) else type(text).__name__}  # logger.error(error)
    if request_id := structlog.contextvars.get_contextvars().get("request_id"):
        kept["tags"] = {**(kept.get("tags") or {}), "request_id": request_id}
    return redaction.scrub_all(kept)
