"""What mail services report: each in its own form, signed or with our password."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from tests.factories import ALICE, make_captcha, make_delivery
from worker.models import Delivery, Suppression

pytestmark = pytest.mark.django_db

ID = "<id-of-the-service>"  # of a mail
UNKNOWN_USER = "550 5.1.1 The email account that you tried to reach does not exist"


def signed(key: str, data: bytes) -> str:
    return hmac.new(settings.ANYMAIL[key].encode(), data, hashlib.sha256).hexdigest()


def password(secret: str = "") -> dict[str, str]:
    """The header of our password."""
    return {
        "authorization": "Basic " + base64.b64encode((secret or settings.ANYMAIL["WEBHOOK_SECRET"]).encode()).decode()
    }


def mailgun(
    event: str, message_id: str, said: str = UNKNOWN_USER, at: float | None = None, **more: Any
) -> HttpResponse:
    """Mailgun signs the time and a token, which are in the body."""
    now = str(at or time.time())
    status = {"code": int(said[:3]) if said[:3].isdigit() else 0, "message": said, "description": ""}
    data = {
        "signature": {"timestamp": now, "token": "t" * 50, "signature": signed("MAILGUN_WEBHOOK_SIGNING_KEY", f"{now}{'t' * 50}".encode())},
        "event-data": {
            "event": event,
            "timestamp": float(now),
            "recipient": ALICE,
            "message": {"headers": {"message-id": message_id.strip("<>")}},
            "delivery-status": status,
            **more,
        },
    }  # fmt: skip
    return Client().post("/anymail/mailgun/tracking/", json.dumps(data), "application/json", headers=password())


def postmark(
    record: str, kind: str, message_id: str, said: str = UNKNOWN_USER, headers: Any = None, at: str = ""
) -> HttpResponse:
    """Postmark knows our password."""
    data = {
        "RecordType": record,
        "Type": kind,
        "ID": 1,
        "MessageID": message_id,
        "Description": "The server was unable to deliver your message",
        "Details": f"smtp;{said}",
        "Email": ALICE,
        "BouncedAt": at or datetime.now(UTC).isoformat(),
    }
    given = password() if headers is None else headers
    return Client().post("/anymail/postmark/tracking/", json.dumps(data), "application/json", headers=given)


def mailersend(
    kind: str, message_id: str, said: str = "Unknown user", key: str = "MAILERSEND_SIGNING_SECRET"
) -> HttpResponse:
    """MailerSend signs the whole body."""
    facts = {
        "type": kind,
        "created_at": datetime.now(UTC).isoformat(),
        "email": {"message": {"id": message_id}, "recipient": {"email": ALICE}},
        "morph": {"object": "recipient_bounce", "reason": said},
    }
    data = json.dumps({"type": f"activity.{kind}", "data": facts}).encode()
    headers = {"Signature": signed(key, data), **password()}
    return Client().post("/anymail/mailersend/tracking/", data, "application/json", headers=headers)


@pytest.fixture
def mail() -> Delivery:
    """A mail that a service accepted."""
    delivery = make_delivery(make_captcha())
    facts = {"state": "sent", "sent_at": delivery.created_at, "provider_id": ID, "last_reply": "250 ok"}
    Delivery.objects.filter(pk=delivery.pk).update(**facts)
    return delivery


def state(mail: Delivery) -> tuple[str, str]:
    mail.refresh_from_db()
    return mail.state, mail.cause


def suppressed() -> dict[str, str]:
    return dict(Suppression.objects.values_list("address", "reason"))


BOUNCES = {
    "mailgun": lambda id_: mailgun("failed", id_, severity="permanent", reason="bounce"),
    "postmark": lambda id_: postmark("Bounce", "HardBounce", id_),
    "mailersend": lambda id_: mailersend("hard_bounced", id_),
}
COMPLAINTS = {
    "mailgun": lambda id_: mailgun("complained", id_),
    "postmark": lambda id_: postmark("SpamComplaint", "SpamComplaint", id_),
    "mailersend": lambda id_: mailersend("spam_complaint", id_),
}


@pytest.mark.parametrize("service", BOUNCES)
def test_a_bounce_is_recorded_and_its_address_suppressed(mail: Delivery, service: str) -> None:
    """Once, however often it is reported."""
    for _ in range(2):
        assert BOUNCES[service](ID).status_code == 200
    assert state(mail) == ("bounced", "mailbox")
    assert suppressed() == {ALICE: "bounced"}
    assert Suppression.objects.get().times == 1


@pytest.mark.parametrize("service", COMPLAINTS)
@pytest.mark.parametrize("bounced_first", [True, False])
def test_a_complaint_outweighs_a_bounce(mail: Delivery, service: str, bounced_first: bool) -> None:
    """Whichever came first."""
    reports = [BOUNCES[service], COMPLAINTS[service]]
    for report in reports if bounced_first else reversed(reports):
        report(ID)
    assert state(mail)[0] == "complained"


@pytest.mark.parametrize(
    ("said", "cause", "is_suppressed"),
    [
        (UNKNOWN_USER, "mailbox", True),
        ("552 5.2.2 mailbox full", "mailbox", True),
        ("452 4.2.2 mailbox full", "mailbox", False),
        ("550 5.7.1 blocked by our policy", "policy", False),
        ("554 5.7.1 Connection frequency limited", "rate", False),
    ],
)
def test_a_bounce_has_a_cause_and_only_the_mailboxs_own_suppresses_it(
    mail: Delivery, said: str, cause: str, is_suppressed: bool
) -> None:
    """By the words of the other mail server."""
    postmark("Bounce", "HardBounce", ID, said)
    assert (state(mail), bool(suppressed())) == (("bounced", cause), is_suppressed)


@pytest.mark.parametrize(
    "report",
    [
        lambda: mailgun("failed", ID, "450 4.2.0 greylisted", severity="temporary"),
        lambda: mailgun("delivered", ID, "250 OK"),
        lambda: mailgun("opened", ID),
        lambda: postmark("Bounce", "Transient", ID),
        lambda: postmark("Delivery", "", ID),
        lambda: mailersend("sent", ID),
    ],
)
def test_other_events_change_nothing(mail: Delivery, report: Any) -> None:
    """The service still tries, or the mail arrived."""
    assert report().status_code == 200
    assert state(mail) == ("sent", "")


@pytest.mark.parametrize(
    "headers", [{}, password("mail:wrong"), {"authorization": "Basic %%%"}, {"authorization": "x"}]
)
def test_a_report_without_our_password_is_refused(mail: Delivery, headers: dict[str, str]) -> None:
    """Nothing is read of it."""
    assert postmark("Bounce", "HardBounce", ID, headers=headers).status_code == 400
    assert state(mail) == ("sent", "")


@pytest.mark.parametrize("service", ["mailgun", "mailersend"])
def test_a_forged_signature_is_refused(mail: Delivery, monkeypatch, service: str) -> None:
    """Where the service signs, our password alone does not do."""
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "signed", lambda key, data: "0" * 64)
        assert BOUNCES[service](ID).status_code == 400
    assert state(mail) == ("sent", "")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"1", b'{"RecordType": 1}', b"\xff", b'{"event-data": []}']
)
@pytest.mark.parametrize("service", ["mailgun", "postmark", "mailersend"])
def test_garbage_is_no_fault_of_ours(service: str, body: bytes) -> None:
    """From whoever knows the password."""
    signature = {"Signature": signed("MAILERSEND_SIGNING_SECRET", body)}
    answer = Client().post(f"/anymail/{service}/tracking/", body, "application/json", headers=password() | signature)
    assert answer.status_code in (200, 400)


def test_what_comes_before_its_mail_is_on_record_is_asked_for_again(mail: Delivery) -> None:
    """Later it is about a mail that another program sent, and is forgotten."""
    answer = mailgun("failed", "<unknown>", severity="permanent")
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    old = (datetime.now(UTC) - timedelta(minutes=11)).timestamp()
    assert mailgun("failed", "<unknown>", at=old, severity="permanent").status_code == 200


def test_a_service_that_is_not_set_has_no_webhook(client) -> None:
    """Nor is there any for incoming mail."""
    for path in ("/anymail/sparkpost/tracking/", "/anymail/postmark/inbound/", "/anymail/"):
        assert client.post(path, b"{}", "application/json", headers=password()).status_code == 404


def test_a_batch_of_reports_may_be_large_and_other_bodies_may_not(client) -> None:
    """Services report many mails at once."""
    large = b'{"x": "' + b"a" * 900_000 + b'"}'
    assert client.post("/anymail/postmark/tracking/", large, "application/json", headers=password()).status_code < 413
    assert (
        client.post("/anymail/postmark/tracking/", large * 2, "application/json", headers=password()).status_code == 413
    )
    assert client.post("/api/login/", large, "application/json").status_code == 413
