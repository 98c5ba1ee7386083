"""
Error reports to Sentry, where SENTRY_DSN says so: which exception, where in the code, for which route. No value leaves:
no words of an exception, no variable, body, cookie, header, query, address or user. The request's id finds the rest in
the log.
"""

from typing import Any

import structlog
from django.conf import settings

from . import logs

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
    return logs.scrub_all(kept)
