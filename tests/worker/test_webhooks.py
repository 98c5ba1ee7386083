"""What mail services report: each in its own form, signed or with our password."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anymail.exceptions import AnymailImproperlyInstalled
from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from tests.factories import ALICE, make_captcha, make_delivery
from tests.servers import Postgres, System
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
    """Mailgun signs the time and a token, which are in the body. The digits of a reply stand beside its text."""
    now = str(at or time.time())
    digits, _space, text = said.partition(" ")
    status = {"code": int(digits), "message": text, "description": ""}
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


def amazon_ses(event: str, message_id: str, **more: Any) -> HttpResponse:
    """Amazon SES reports by SNS, whose headers repeat what the body says, and knows our password."""
    facts = {"eventType": event, "mail": {"messageId": message_id, "destination": [ALICE]}, event.lower(): more}
    body = {"Type": "Notification", "MessageId": "1", "Message": json.dumps(facts)}
    headers = {"X-Amz-Sns-Message-Type": "Notification", "X-Amz-Sns-Message-Id": "1", **password()}
    return Client().post("/anymail/amazon_ses/tracking/", json.dumps(body), "text/plain", headers=headers)


def returned_by_ses(message_id: str, kind: str, said: str) -> HttpResponse:
    recipients = [{"emailAddress": ALICE, "diagnosticCode": said}]
    return amazon_ses("Bounce", message_id, bounceType=kind, bounceSubType="General", bouncedRecipients=recipients)


def mailjet(*events: dict[str, Any]) -> HttpResponse:
    """Mailjet reports many mails at once, and knows our password."""
    batch = [{"time": int(time.time()), "email": ALICE, **each} for each in events]
    return Client().post("/anymail/mailjet/tracking/", json.dumps(batch), "application/json", headers=password())


def brevo(event: str, message_id: str, said: str = "mailbox unavailable") -> HttpResponse:
    """Brevo knows our password."""
    facts = {"event": event, "message-id": message_id, "email": ALICE, "reason": said}
    return Client().post("/anymail/brevo/tracking/", json.dumps(facts), "application/json", headers=password())


def mailtrap(said: str) -> HttpResponse:
    """Mailtrap reports many mails at once, and knows our password."""
    facts = {"event": "bounce", "message_id": ID, "email": ALICE, "timestamp": int(time.time()), "response": said}
    body = json.dumps({"events": [facts]})
    return Client().post("/anymail/mailtrap/tracking/", body, "application/json", headers=password())


def resend(event: str, **more: Any) -> HttpResponse:
    """Resend knows our password."""
    facts = {
        "type": event,
        "created_at": datetime.now(UTC).isoformat(),
        "data": {"email_id": ID, "to": [ALICE], **more},
    }
    return Client().post("/anymail/resend/tracking/", json.dumps(facts), "application/json", headers=password())


@pytest.fixture(autouse=True)
def without_boto3(monkeypatch) -> None:
    """Amazon SES's view needs it for other things than reports."""
    monkeypatch.setattr("anymail.webhooks.amazon_ses._get_anymail_boto3_params", lambda **_: ({}, {}))


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
    "mailgun": lambda id_: mailgun("complained", id_, **{"delivery-status": None}),  # no other server replied
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
        lambda: postmark("Bounce", "SoftBounce", ID, "Undeliverable"),
        lambda: mailersend("soft_bounced", ID),
        lambda: brevo("soft_bounce", ID),
        lambda: mailjet({"event": "bounce", "MessageID": ID, "hard_bounce": False, "error": "quota exceeded"}),
        lambda: returned_by_ses(ID, "Transient", "smtp; 550 5.1.1 user unknown"),
        lambda: returned_by_ses(ID, "Permanent", "smtp; 452 4.2.2 mailbox full"),
        lambda: returned_by_ses(ID, "Permanent", "smtp; 550 5.7.1 blocked by our policy"),
        lambda: returned_by_ses(ID, "Undetermined", ""),
        lambda: mailgun("failed", ID, "550 5.7.1 is on our block list (S3150)", severity="permanent", reason="bounce"),
        lambda: mailgun("failed", ID, "550 5.4.5 Daily sending quota exceeded", severity="permanent", reason="bounce"),
        lambda: resend("email.bounced", bounce={"message": "a general bounce", "type": "Transient"}),
        lambda: resend(
            "email.bounced", bounce={"message": "a hard bounce message", "diagnosticCode": ["smtp; 550 5.7.1 blocked"]}
        ),
        lambda: brevo("hard_bounce", ID, " RecipientError: 550 5.7.1 blocked by our policy"),
        lambda: brevo("hard_bounce", ID, " RecipientError: 550 spam detected"),
        lambda: mailtrap("bounced (550 5.7.1 blocked by our policy)"),
        lambda: resend("email.failed", failed={"reason": "reached_daily_quota"}),
        lambda: amazon_ses("Reject", ID, reason="Bad content"),
    ],
)
def test_a_bounce_that_may_pass_or_is_because_of_us_suppresses_nothing(mail: Delivery, report: Any) -> None:
    """Each service says so in its own way."""
    assert report().status_code == 200
    assert (state(mail)[0], suppressed()) == ("bounced", {})


@pytest.mark.parametrize(
    "report",
    [
        lambda: postmark("Bounce", "HardBounce", ID, "Unknown at Microsoft's servers"),
        lambda: brevo("hard_bounce", ID),
        lambda: mailjet({"event": "bounce", "MessageID": ID, "hard_bounce": True, "error": "user unknown"}),
        lambda: returned_by_ses(ID, "Permanent", "smtp; 550 5.1.1 user unknown"),
        lambda: resend("email.bounced", bounce={"message": "none", "diagnosticCode": ["smtp; 550 5.1.1 user unknown"]}),
        lambda: brevo("hard_bounce", ID, " RecipientError: 550 5.5.0 Requested action not taken: mailbox unavailable."),
        lambda: brevo("hard_bounce", ID, "unknown user: 421-x@example.com"),
        lambda: mailtrap(
            "bounced (550 5.1.1 The email account that you tried to reach does not exist. a67bc12345def.22 - gsmtp)"
        ),
        lambda: resend("email.suppressed", suppressed={"message": "it is on the account-level suppression list"}),
    ],
)
def test_a_bounce_for_good_suppresses_its_address(mail: Delivery, report: Any) -> None:
    """Each service says so in its own way."""
    assert report().status_code == 200
    assert (state(mail), suppressed()) == (("bounced", "mailbox"), {ALICE: "bounced"})


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (lambda: resend("email.failed", failed={"reason": "reached_daily_quota"}), "reached_daily_quota"),
        (lambda: resend("email.bounced", bounce={"message": "a general bounce", "type": "Transient"}), "a general bounce"),
    ],
)  # fmt: skip
def test_an_operator_reads_what_a_service_says_itself(mail: Delivery, report: Any, words: str) -> None:
    """Where it repeats no words of another mail server."""
    report()
    mail.refresh_from_db()
    assert words in mail.last_reply


@pytest.mark.parametrize("address", ["nobody+transient@example.com", "soft_bounce@example.com"])
def test_the_address_of_a_visitor_does_not_decide(mail: Delivery, monkeypatch, address: str) -> None:
    """Whether a bounce may pass, which each service says somewhere in its report."""
    monkeypatch.setitem(globals(), "ALICE", address)
    Delivery.objects.update(recipient=address)
    postmark("Bounce", "HardBounce", ID)
    assert suppressed() == {address: "bounced"}


@pytest.mark.parametrize(
    "report",
    [
        lambda: mailgun("failed", ID, "450 4.2.0 greylisted", severity="temporary"),
        lambda: mailgun("delivered", ID, "250 OK"),
        lambda: mailgun("opened", ID),
        lambda: postmark("Bounce", "Transient", ID),
        lambda: postmark("Delivery", "", ID),
        lambda: mailersend("sent", ID),
        lambda: resend("email.sent"),
        lambda: amazon_ses("Complaint", ID, complainedRecipients=[{"emailAddress": ALICE}], complaintFeedbackType="not-spam"),
    ],
)  # fmt: skip
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


GARBAGE = [b"", b"{", b"[]", b"null", b"1", b'{"RecordType": 1}', b"\xff", b'{"event-data": []}', b"[" * 200_000]


@pytest.mark.parametrize("service", settings.MAIL_WEBHOOKS)
@pytest.mark.parametrize("known", [password(), password("mail:wrong"), {}], ids=["known", "wrong", "none"])
def test_garbage_is_no_fault_of_ours(service: str, known: dict[str, str], caplog) -> None:
    """Nor does it fill the log: a line that holds nothing of it, and no error to report."""
    bodies = [(body, "application/json") for body in GARBAGE]
    bodies += [(b"a=b&" * 101, "application/x-www-form-urlencoded"), (b"--x", "multipart/form-data; boundary=x")]
    for body, kind in bodies:
        headers = {"Signature": signed("MAILERSEND_SIGNING_SECRET", body), **known}
        answer = Client().post(f"/anymail/{service}/tracking/", body, kind, headers=headers)
        assert answer.status_code in (200, 400, 401)
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []
    assert all(len(line.getMessage()) < 1_000 for line in caplog.records)


@pytest.mark.parametrize("report", [lambda: amazon_ses("Received", ID), lambda: postmark("Inbound", "", ID)])
def test_a_mail_that_came_in_is_no_fault_of_ours(report: Any, caplog) -> None:
    """The service was told to hand it to the address for reports, and the log says so."""
    assert report().status_code == 400
    assert "*inbound*" in caplog.text
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []


def missing(**options: Any) -> None:
    raise AnymailImproperlyInstalled("boto3")


def test_reports_wait_until_what_reads_them_is_installed(monkeypatch) -> None:
    """Amazon SES repeats what was answered with 500, and forgets what was refused."""
    monkeypatch.setattr("anymail.webhooks.amazon_ses._get_anymail_boto3_params", missing)
    with pytest.raises(AnymailImproperlyInstalled):
        returned_by_ses(ID, "Permanent", "smtp; 550 5.1.1 user unknown")


class BrokenOff:
    """A body whose sender hangs up."""

    def read(self, *args: Any) -> bytes:
        raise OSError("gone")

    readline = read


@pytest.mark.parametrize("service", settings.MAIL_WEBHOOKS)
def test_a_report_that_breaks_off_is_no_fault_of_ours(service: str) -> None:
    """The service sends it again."""
    more = {"headers": password(), "wsgi.input": BrokenOff()}
    answer = Client().post(f"/anymail/{service}/tracking/", b"{}", "application/json", **more)
    assert answer.status_code == 400


def test_an_early_report_holds_up_no_other_of_its_batch(mail: Delivery) -> None:
    """Another program's mails may be reported here too, with those of ours."""
    ours = {"event": "bounce", "MessageID": ID, "hard_bounce": True, "error": "user unknown"}
    assert mailjet(ours | {"MessageID": "unknown"}, ours).status_code == 429
    assert state(mail) == ("bounced", "mailbox")


def test_a_time_that_is_far_ahead_is_no_reason_to_ask_again() -> None:
    """A broken clock; of a report about no mail of ours."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert postmark("Bounce", "HardBounce", "<unknown>", at=tomorrow).status_code == 200


def test_what_comes_before_its_mail_is_on_record_is_asked_for_again(mail: Delivery) -> None:
    """Later it is about a mail that another program sent, and is forgotten."""
    answer = mailgun("failed", "<unknown>", severity="permanent")
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    old = (datetime.now(UTC) - timedelta(minutes=11)).timestamp()
    assert mailgun("failed", "<unknown>", at=old, severity="permanent").status_code == 200
    assert postmark("Bounce", "HardBounce", "").status_code == 200  # it names none


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


NUL = """
import base64, json
from django.test import Client
body = {"RecordType": "Bounce", "Type": "HardBounce", "MessageID": "a\\0b", "Details": "550 a\\0b"}
password = base64.b64encode(b"mail:a-password-of-tests").decode()
answer = Client(headers={"host": "127.0.0.1"}, raise_request_exception=False).post(
    "/anymail/postmark/tracking/", json.dumps(body), "application/json", headers={"authorization": f"Basic {password}"})
print("ANSWERED", answer.status_code)
"""


@pytest.mark.postgres
def test_nul_is_no_fault_of_ours(postgres: Postgres, tmp_path: Path) -> None:
    """PostgreSQL takes none in a text; SQLite does."""
    more = {"EMAIL_URL": "anymail+postmark://token@", "EMAIL_WEBHOOK_SECRET": "mail:a-password-of-tests"}
    system = System(database=postgres.migrated_database(), logs=tmp_path, **more)
    assert "ANSWERED 400" in system.shell(NUL)
