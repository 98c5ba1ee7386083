"""What mail services report at /anymail/<service>/tracking/, which django-anymail checks and reads."""

from datetime import timedelta
from typing import Any

import anymail.urls
from anymail.exceptions import AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from django.conf import settings
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from core import clock

from . import bounces
from .classification import Cause, classify
from .models import Delivery

# A service may report a bounce before its answer to the mail is on record: until then it is asked to try again.
SOON = timedelta(minutes=10)
RETRY = 60  # seconds

# What the service gave as the reason, where the other mail server's words are missing or unclear.
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


class UnknownYet(Exception):
    """An event of the last minutes is about no mail that is known."""


@receiver(tracking)
def _record(sender: Any, event: AnymailTrackingEvent, esp_name: str, **kwargs: Any) -> None:
    """Record a bounce or a complaint; other events say nothing about a mail's end. Raises UnknownYet."""
    if event.event_type not in STATES or not event.message_id:
        return
    outcome = bounces.record(_report(event))
    if outcome is bounces.Outcome.UNKNOWN and event.timestamp and clock.now() - event.timestamp < SOON:
        raise UnknownYet


def _report(event: AnymailTrackingEvent) -> bounces.Report:
    state, said = STATES[event.event_type], (event.mta_response or event.description or "").removeprefix("smtp;")
    if state == Delivery.State.COMPLAINED:
        return bounces.Report(state, said, provider_id=event.message_id)
    cause = classify(said)
    if cause in (None, Cause.UNCLEAR):
        cause = CAUSES.get(event.reject_reason, Cause.UNCLEAR)
    # A soft bounce, as of a full mailbox, is a bounce too; what the mail server said tells them apart.
    is_permanent = not said.startswith("4") and "soft" not in f"{event.description}".lower()
    return bounces.Report(state, said or f"{event.reject_reason}", cause, is_permanent, provider_id=event.message_id)


def _answer(view: Any) -> Any:
    @csrf_exempt
    def webhook(request: HttpRequest) -> HttpResponse:
        try:
            response: HttpResponse = view(request)
        except UnknownYet:
            return HttpResponse(status=503, headers={"Retry-After": str(RETRY)})
        except AnymailWebhookValidationFailure:
            raise  # Django answers 400
        except (ValueError, LookupError, TypeError, AttributeError):  # not what the service sends
            return HttpResponseBadRequest()
        return response

    return webhook


_views = {f"{each.pattern}": each.callback for each in anymail.urls.urlpatterns}
urlpatterns = [path(at, _answer(_views[at])) for at in (f"{name}/tracking/" for name in settings.MAIL_WEBHOOKS)]
