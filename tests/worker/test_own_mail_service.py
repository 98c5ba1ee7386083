"""A mail service that Anymail does not know, by a backend and a webhook of the site's own (docs/how-to/mail-providers.md)."""

import json
import time
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from anymail.backends.base_requests import AnymailRequestsBackend, RequestsPayload
from anymail.message import AnymailRecipientStatus
from anymail.signals import AnymailTrackingEvent, EventType, tracking
from anymail.webhooks.base import AnymailBaseWebhookView
from django.conf import settings as django_settings
from django.core.mail.backends.base import BaseEmailBackend
from django.http import HttpResponse
from django.test import RequestFactory

from core.mail_urls import Route
from tests.factories import ALICE, make_captcha, make_delivery, right
from tests.worker.mail_api import MailApi
from tests.worker.test_webhooks import UNKNOWN_USER, password
from worker import mailers, sending, webhooks
from worker.models import Delivery

pytestmark = pytest.mark.django_db


class Payload(RequestsPayload):
    def get_api_endpoint(self) -> str:
        return "mails"

    def init_payload(self) -> None:
        self.data: dict[str, Any] = {}

    def serialize_data(self) -> str:
        return self.serialize_json(self.data)

    def set_from_email(self, email: Any) -> None:
        self.data["from"] = email.address

    def set_to(self, emails: list[Any]) -> None:
        self.data["to"] = [each.addr_spec for each in emails]

    def set_reply_to(self, emails: list[Any]) -> None:
        self.data["reply_to"] = [each.address for each in emails]

    def set_subject(self, subject: str) -> None:
        self.data["subject"] = subject

    def set_extra_headers(self, headers: Any) -> None:
        self.data["headers"] = dict(headers)

    def set_text_body(self, body: str) -> None:
        self.data["text"] = body

    def set_html_body(self, body: str) -> None:
        self.data["html"] = body


class Backend(AnymailRequestsBackend):
    esp_name = "Clubs"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(django_settings.CLUBS_API, **kwargs)

    def build_message_payload(self, message: Any, defaults: Any) -> Payload:
        return Payload(message, defaults, self)

    def parse_recipient_status(self, response: Any, payload: Payload, message: Any) -> Any:
        mail_id = self.deserialize_json_response(response, payload, message)["id"]
        return dict.fromkeys(payload.data["to"], AnymailRecipientStatus(mail_id, "queued"))


class TrackingView(AnymailBaseWebhookView):
    esp_name = "Clubs"
    signal = tracking

    def parse_events(self, request: Any) -> list[AnymailTrackingEvent]:
        said = json.loads(request.body)
        at = datetime.fromtimestamp(said["at"], UTC)
        kind = EventType.BOUNCED
        return [AnymailTrackingEvent(event_type=kind, timestamp=at, message_id=said["id"], mta_response=said["reply"])]


def report(**headers: str) -> HttpResponse:
    body = {"id": "clubs-1", "at": time.time(), "reply": UNKNOWN_USER}
    request = RequestFactory().post("/anymail/clubs/tracking/", body, "application/json", headers=headers)
    return webhooks.answer(TrackingView.as_view())(request)


def test_its_mails_leave_and_its_bounces_are_recorded(settings) -> None:
    """Reports need the password; one that comes before the answer to its mail is on record is asked for again."""
    api = MailApi((200, {"id": "clubs-1"}))
    settings.CLUBS_API = f"http://127.0.0.1:{api.server.server_port}/"
    settings.MAIL_ROUTES = [Route(f"{__name__}.Backend")]
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up)
    assert report(**password()).status_code == 429
    try:
        assert sending.deliver() == 1
    finally:
        mailers.every()[0].backend.close()
        api.close()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.provider_id, delivery.last_reply) == ("sent", "clubs-1", "250 Clubs: queued")
    [taken] = api.taken
    assert taken["to"] == [ALICE]
    assert right(sign_up) in taken["text"].splitlines()
    assert (report().status_code, report(**password()).status_code) == (400, 200)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.last_reply) == (Delivery.State.BOUNCED, UNKNOWN_USER)


class Plain(BaseEmailBackend):
    sent: ClassVar[list[Any]] = []

    def send_messages(self, email_messages: Any) -> int:
        self.sent.extend(email_messages)
        return len(email_messages)


def test_a_backend_of_another_kind_sends_no_mail_again_and_again(settings) -> None:
    """Its answer can't be read, so each try would send the mail once more."""
    settings.MAIL_ROUTES = [Route(f"{__name__}.Plain")]
    delivery = make_delivery(make_captcha(accepted=False))
    assert sending.deliver() == 1
    delivery.refresh_from_db()
    assert (Plain.sent, delivery.state, delivery.last_reply) == ([], "pending", "TypeError while building")
