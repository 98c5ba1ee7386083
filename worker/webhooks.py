"""Reports of mail services at /anymail/<service>/tracking/, which django-anymail checks and parses."""

import logging
import re
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import anymail.urls
from anymail.exceptions import AnymailConfigurationError, AnymailError, AnymailImproperlyInstalled
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import DataError
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, UnreadablePostError
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from core import clock

from . import bounces
from .classification import Cause, cause_of, without_addresses
from .models import Delivery

logger = logging.getLogger(__name__)

# A service may report a bounce before its answer to the mail is on record: until then it is asked to try again. By 429,
# as Amazon SNS repeats after no other 4xx, and a 5xx would be an error in the log.
RECENT = timedelta(minutes=10)
RETRY = 60  # seconds

# Reasons that a service names, used if the other mail server's words are missing or unclear.
CAUSES = {
    RejectReason.INVALID: Cause.MAILBOX,
    RejectReason.BOUNCED: Cause.MAILBOX,
    RejectReason.TIMED_OUT: Cause.SERVICE,
    RejectReason.BLOCKED: Cause.POLICY,
    RejectReason.SPAM: Cause.CONTENT,
    RejectReason.UNSUBSCRIBED: Cause.POLICY,
}
STATES = {
    EventType.BOUNCED: Delivery.State.BOUNCED,
    EventType.REJECTED: Delivery.State.BOUNCED,  # it took the mail, and then did not send it
    EventType.FAILED: Delivery.State.BOUNCED,
    EventType.COMPLAINED: Delivery.State.COMPLAINED,
}
# What Resend says of a mail that it took and did not send. Anymail 15.2 does not know these.
NOT_SENT = {"email.suppressed": RejectReason.BOUNCED, "email.failed": RejectReason.OTHER}
# What services call a transient bounce, such as that of a full mailbox: Amazon SES and Resend, Mailjet, all others.
TRANSIENT = re.compile(r"\b(transient|undetermined)\b|'hard_bounce': False|\bsoft[ _]?bounce", re.IGNORECASE)
# Where the other mail server's reply begins in the words of a service: "smtp;550 …", "RecipientError: 550 …" of Brevo,
# "bounced (550 …)" of Mailtrap. An address such as 421-x@example.com is none.
REPLY = re.compile(r"(?:^|[:;(])\s*([45]\d\d(?: |-(?!\S*@)).*)", re.DOTALL)
NO_COMPLAINTS = ("not-spam", "auth-failure")  # of RFC 5965 §7.3, as Amazon SES reports them among the complaints
# Errors of a request that the service did not send: a wrong password or signature (SuspiciousOperation), or another
# body, such as none at all, or one with a NUL, which PostgreSQL does not take (DataError).
FORGED = (
    *(SuspiciousOperation, AnymailError, UnreadablePostError, DataError),
    *(ValueError, LookupError, TypeError, AttributeError, RecursionError),
)

# Whether the request has a report of the last minutes about no mail that is known.
_is_early: ContextVar[bool] = ContextVar("is_early")


@receiver(tracking)
def _record(sender: Any, event: AnymailTrackingEvent, esp_name: str, **kwargs: Any) -> None:
    """Record a bounce or a complaint; other events say nothing about a mail's end."""
    kind = event.esp_event.get("type") if esp_name == "Resend" else None
    if kind in NOT_SENT:
        event.event_type, event.reject_reason = EventType.FAILED, NOT_SENT[kind]
        event.description = f"{event.esp_event['data'].get(kind.removeprefix('email.'), '')}"
    if event.event_type not in STATES or not event.message_id or event.description in NO_COMPLAINTS:
        return
    effect = bounces.record(_report(event, esp_name))
    if effect is bounces.Effect.UNKNOWN and event.timestamp and abs(clock.now() - event.timestamp) < RECENT:
        _is_early.set(True)


def _report(event: AnymailTrackingEvent, esp_name: str) -> bounces.Report:
    state = STATES[event.event_type]
    said = (event.mta_response or event.description or "").removeprefix("smtp;").strip()
    if esp_name == "Resend":  # Anymail 15.2 does not know this list
        said = " ".join((event.esp_event["data"].get("bounce") or {}).get("diagnosticCode") or []) or said
    if esp_name == "Mailgun":  # the digits of the reply stand beside its text
        code = (event.esp_event.get("event-data", {}).get("delivery-status") or {}).get("code")
        said = f"{code or ''} {said.removeprefix(f'{code}')}".strip()
    if reply := REPLY.search(said):
        said = reply[1]
    if state == Delivery.State.COMPLAINED:
        return bounces.Report(state, said, provider_id=event.message_id)
    cause = cause_of(said)
    if cause in (None, Cause.UNCLEAR):
        cause = CAUSES.get(event.reject_reason, Cause.UNCLEAR)
    is_permanent = not said.startswith("4") and not TRANSIENT.search(without_addresses(f"{event.esp_event}"))
    return bounces.Report(state, said or event.reject_reason or "", cause, is_permanent, provider_id=event.message_id)


def answer(view: Any) -> Any:
    """Anymail's view, made to refuse whatever a stranger sends instead of failing."""

    @csrf_exempt
    def webhook(request: HttpRequest) -> HttpResponse:
        _is_early.set(False)
        try:
            response: HttpResponse = view(request)
        except AnymailImproperlyInstalled:  # the service reports again until that is mended
            raise
        except AnymailConfigurationError as error:  # a mail that came in: the service is told the wrong address for it
            logger.warning("a report at %s is refused: %s", request.path, error)
            return HttpResponseBadRequest()
        except FORGED as error:  # without its text, which may hold the password, or all that was sent
            logger.warning("a report at %s is refused: %s", request.path, type(error).__name__)
            return HttpResponseBadRequest()
        return HttpResponse(status=429, headers={"Retry-After": str(RETRY)}) if _is_early.get() else response

    return webhook


_views = {f"{each.pattern}": each.callback for each in anymail.urls.urlpatterns}
urlpatterns = [path(at, answer(_views[at])) for at in (f"{name}/tracking/" for name in settings.MAIL_WEBHOOKS)]
