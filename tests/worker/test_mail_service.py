"""Mail by the API of a mail service: what it answers means the same as what a mail server says."""

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from anymail.exceptions import AnymailAPIError
from django.db.models.functions import Now

from core import mail_urls
from core.circuit_breaker import CircuitBreaker
from tests.factories import ALICE, BOB, FrozenClock, make_captcha, make_delivery, make_muted, right
from tests.worker.mail_api import MailApi, accepted
from worker import mail_service, mailers, messages, sending
from worker.classification import Cause, Outcome, Reply
from worker.models import Delivery


@pytest.fixture
def service(settings) -> Iterator[MailApi]:
    """The first way of all mails."""
    api = MailApi(lambda mail: accepted(mail, "id-1"))
    route = mail_urls.read("EMAIL_URL", api.url)
    settings.MAIL_ROUTES = [route]
    settings.ANYMAIL = settings.ANYMAIL | route.anymail | {"REQUESTS_TIMEOUT": 0.5}
    yield api
    mailers.every()[0].backend.close()
    api.close()


def send(kind: str = "password_changed", language: str = "zh-hans") -> Reply:
    message = messages.build(messages.sample(kind=kind, language=language, recipient=ALICE))
    return mailers.every()[0].submit(message)


@pytest.mark.django_db
def test_a_mail_arrives_with_all_that_it_has(service: MailApi, settings, frozen_clock: FrozenClock) -> None:
    """The names in their own script, both texts, the headers; the id of the service is kept."""
    settings.FROM_EMAILS, settings.REPLY_TO_EMAILS = (
        {"zh-hans": "北京大学附属中学 <noreply@school.cn>"},
        {"": "帮助 <help@school.cn>"},
    )
    settings.EMAIL_REPLY_TO = "帮助 <help@school.cn>"
    sign_up = make_captcha(accepted=False)
    delivery = make_delivery(sign_up, language="zh-hans")
    assert sending.deliver() == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.provider_id, delivery.last_reply) == ("sent", "id-1", "250 Postmark: sent")
    [taken] = service.taken
    headers = {each["Name"]: each["Value"] for each in taken["Headers"]}
    assert (taken["From"], taken["To"]) == ("北京大学附属中学 <noreply@school.cn>", ALICE)
    assert taken["ReplyTo"] == "帮助 <help@school.cn>"
    assert right(sign_up) in taken["Subject"]
    assert right(sign_up) in taken["TextBody"].splitlines()
    assert right(sign_up) in taken["HtmlBody"]
    assert (headers["Message-ID"], headers["Content-Language"]) == (delivery.message_id, "zh-Hans")


@pytest.mark.parametrize(
    ("status", "body", "outcome", "cause"),
    [
        (200, {"ErrorCode": 300, "Message": "Invalid 'To' address: 'x'."}, Outcome.REFUSED, Cause.MAILBOX),
        (422, {"ErrorCode": 406, "Message": "You tried to send to recipient(s) that have been marked as inactive.\n Found inactive addresses: alice@example.com.\n Inactive recipients are ones that …"}, Outcome.REFUSED, Cause.MAILBOX),
        (422, {"ErrorCode": 400, "Message": "The 'From' address you supplied is not a Sender Signature"}, Outcome.DEFERRED, None),
        (422, {"ErrorCode": 1, "Message": "550 5.1.1 no such user"}, Outcome.REFUSED, Cause.MAILBOX),
        (401, {"ErrorCode": 10, "Message": "Bad or missing API token"}, Outcome.UNAVAILABLE, None),
        (402, b"", Outcome.UNAVAILABLE, None),
        (403, b"", Outcome.UNAVAILABLE, None),
        (404, b"no such domain", Outcome.UNAVAILABLE, None),
        (429, {"ErrorCode": 429, "Message": "Rate limit exceeded"}, Outcome.THROTTLED, None),
        (500, b"oops", Outcome.UNAVAILABLE, None),
        (503, b"<html>", Outcome.UNAVAILABLE, None),
        (504, b"<html>", Outcome.UNKNOWN, None),
        (524, b"<html>", Outcome.UNKNOWN, None),
        (420, b"Exceed Sending Limit", Outcome.THROTTLED, None),
        (422, {"ErrorCode": 405, "Message": "Your account has run out of credits"}, Outcome.UNAVAILABLE, None),
        (422, {"ErrorCode": 412, "Message": "Your account is pending approval"}, Outcome.UNAVAILABLE, None),
        (200, b"not JSON", Outcome.UNKNOWN, None),
        (201, b"<html>", Outcome.UNKNOWN, None),
        (422, {"ErrorCode": 406, "Message": "in other words"}, Outcome.DEFERRED, None),
    ],
)  # fmt: skip
def test_what_an_answer_means(service: MailApi, status: int, body: Any, outcome: Outcome, cause: Cause | None) -> None:
    """A wrong setting of ours loses no mail; a dead mailbox is told as one."""
    service.answer = (status, body)
    reply = send()
    assert reply.outcome is outcome
    if cause:
        assert reply.cause is cause


@pytest.mark.parametrize(
    "body",
    [None, 5, "taken", [[1]], {"ErrorCode": 300, "Message": 5}, {"ErrorCode": 0, "Message": "OK", "MessageID": "1", "To": "a\0"}],
)  # fmt: skip
def test_an_answer_that_cant_be_read_is_unknown(service: MailApi, body: Any) -> None:
    """The service answered 200, so it may have taken the mail. The reply fits into the row."""
    service.answer = (200, body)
    reply = send()
    assert reply.outcome is Outcome.UNKNOWN
    assert reply.text.isprintable()


@pytest.mark.parametrize(("given", "kept"), [(7, "7"), ("a\0", "a"), ("a\ud800", "a")])
def test_any_id_can_be_recorded(service: MailApi, given: Any, kept: str) -> None:
    """One that PostgreSQL can't take would keep the answers of a whole group from being recorded."""
    service.answer = lambda mail: (200, accepted(mail, "")[1] | {"MessageID": given})
    assert send().provider_id == kept


def test_an_answer_that_cant_be_unpacked_is_unknown(service: MailApi) -> None:
    service.answer, service.headers = (200, b"no gzip"), {"Content-Encoding": "gzip"}
    assert send().outcome is Outcome.UNKNOWN


def test_silence_is_unknown(service: MailApi) -> None:
    """It may have been accepted, so it is not sent again at once."""
    service.delay = 1.0
    assert send().outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("proxy", [False, True])
def test_a_connection_that_breaks_before_the_answer_is_unknown(
    service: MailApi, settings, monkeypatch, proxy: bool
) -> None:
    """As silence is."""
    service.answer = (0, b"")
    if proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{service.server.server_port}")
        settings.ANYMAIL = settings.ANYMAIL | {"POSTMARK_API_URL": "http://api.mail.test/"}
    assert send().outcome is Outcome.UNKNOWN
    assert len(service.taken) == 1


def break_in(gateway: socket.socket, context: ssl.SSLContext) -> None:
    """Take a mail over TLS, and answer in plain text."""
    connection = context.wrap_socket(gateway.accept()[0], server_side=True)
    while b'"TextBody"' not in connection.recv(65_536):
        pass
    with socket.socket(fileno=connection.detach()) as plain:
        plain.sendall(b"HTTP/1.1 504 Gateway Timeout\r\n\r\n")


def test_a_gateway_that_breaks_into_the_answer_leaves_it_unknown(
    service: MailApi, settings, monkeypatch, tmp_path
) -> None:
    """The service has the mail, and another one would be a second."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as gateway, ThreadPoolExecutor(1) as pool:
        pool.submit(break_in, gateway, context)
        url = f"https://localhost:{gateway.getsockname()[1]}/"
        settings.ANYMAIL = settings.ANYMAIL | {"POSTMARK_API_URL": url}
        reply = send()
    assert (reply.outcome, "SSLError" in reply.text) == (Outcome.UNKNOWN, True)


def hang_up(gateway: socket.socket) -> None:
    connection, _ = gateway.accept()
    connection.close()


@pytest.mark.parametrize("proxy", ["", "http", "https"])
@pytest.mark.parametrize("is_silent", [False, True])
def test_a_connection_that_was_never_open_opens_the_circuit(
    service: MailApi, settings, monkeypatch, is_silent: bool, proxy: str
) -> None:
    """A gateway is silent or hangs up before the mail was sent: on the way through a proxy, or in TLS."""
    with socket.create_server(("127.0.0.1", 0)) as gateway, ThreadPoolExecutor(1) as pool:
        if not is_silent:
            pool.submit(hang_up, gateway)
        port = gateway.getsockname()[1]
        monkeypatch.setenv("https_proxy", proxy and f"{proxy}://127.0.0.1:{port}")
        host = "api.mail.test" if proxy else f"127.0.0.1:{port}"
        settings.ANYMAIL = settings.ANYMAIL | {"POSTMARK_API_URL": f"https://{host}/"}
        assert send().outcome is Outcome.UNAVAILABLE
    assert mailers.every()[0].breaker.is_open


def test_a_service_that_is_not_there_opens_the_circuit(service: MailApi) -> None:
    """As a mail server does that can't be reached."""
    service.close()
    assert send().outcome is Outcome.UNAVAILABLE
    assert mailers.every()[0].breaker.is_open


@pytest.mark.parametrize(
    ("status", "said", "is_any"),
    [
        (403, {"name": "invalid_api_key", "message": "API key is invalid"}, True),
        (403, {"__type": "UnrecognizedClientException", "message": "The security token … is invalid"}, True),
        (403, {"name": "validation_error", "message": "The example.org domain is not verified."}, False),
        (402, b"", True),
        (500, b"oops", True),
    ],
)
def test_a_key_that_was_revoked_or_an_outage_is_no_refusal_of_one_sender(
    service: MailApi, status: int, said: Any, is_any: bool
) -> None:
    """As where a language has a sender of its own, and another one's mails were taken before: the fallback is used."""
    mailers.every()[0]._senders.add("other@doorcode.test")
    service.answer = (status, said)
    assert send().outcome is Outcome.UNAVAILABLE
    assert mailers.every()[0].breaker.is_open is is_any


MAILJET_REFUSES = {
    "mj-0013": '"alice@example.com" is an invalid email address.',
    "send-0008": '"noreply@example.com" is not an authorized sender email address for your account.',
}


@pytest.mark.parametrize(("code", "outcome"), [("mj-0013", Outcome.REFUSED), ("send-0008", Outcome.DEFERRED)])
def test_a_refusal_by_mailjet_is_no_silence(service: MailApi, settings, code: str, outcome: Outcome) -> None:
    """It names no id, and Anymail raises no error."""
    route = mail_urls.read("EMAIL_URL", service.url.replace("postmark://token@", "mailjet://key:secret@"))
    settings.MAIL_ROUTES, settings.ANYMAIL = [route], settings.ANYMAIL | route.anymail
    error = {"ErrorCode": code, "StatusCode": 400, "ErrorMessage": MAILJET_REFUSES[code]}
    service.answer = (400, {"Messages": [{"Status": "error", "Errors": [error]}]})
    service.headers = {"Content-Type": "application/json"}  # only then Anymail reads it
    reply = send()
    assert reply.outcome is outcome
    assert MAILJET_REFUSES[code].split('" ')[1] in reply.text


def test_an_address_that_no_service_takes_is_refused_at_once(service: MailApi) -> None:
    """EMAIL_ALLOW_LOOSE_DOTS lets it in, for mail servers."""
    message = messages.build(messages.sample(kind="code", language="en", recipient="a..b@docomo.ne.jp"))
    reply = mailers.every()[0].submit(message)
    assert (reply.outcome, reply.cause, service.taken) == (Outcome.REFUSED, Cause.MAILBOX, [])


def test_a_connection_that_has_rested_is_not_used_again(service: MailApi, monkeypatch) -> None:
    """A router on the way may have forgotten it, and then nobody knows of the next mail whether it was taken."""
    for idle, connections in ((60.0, 1), (0.0, 3)):
        monkeypatch.setattr(mailers, "IDLE", idle)
        service.connections.clear()
        assert [send().outcome for _ in range(3)] == [Outcome.ACCEPTED] * 3
        assert len(service.connections) == connections


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("TooManyRequestsException", 429, Outcome.THROTTLED),
        ("ThrottlingException", 400, Outcome.THROTTLED),
        ("LimitExceededException: Daily message quota exceeded", 400, Outcome.THROTTLED),
        ("MessageRejected", 400, Outcome.DEFERRED),
        ("SendingPausedException", 400, Outcome.UNAVAILABLE),
        ("AccountSuspendedException", 400, Outcome.UNAVAILABLE),
        ("UnrecognizedClientException", 403, Outcome.UNAVAILABLE),
        ("InternalFailure", 500, Outcome.UNAVAILABLE),
        ("EndpointConnectionError", None, Outcome.UNAVAILABLE),
        ("ReadTimeoutError", None, Outcome.UNKNOWN),
    ],
)
def test_an_error_of_amazon_ses_means_the_same(code: str, status: int | None, outcome: Outcome) -> None:
    """Its errors are boto3's, and have no status of their own."""
    cause = type(code, (Exception,), {})()
    if status:
        cause.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def send_messages(messages: Any) -> None:
        raise AnymailAPIError(f"An error occurred ({code})") from cause

    backend = SimpleNamespace(open=lambda: None, send_messages=send_messages, esp_name="Amazon SES")
    assert mail_service.submit(backend, messages.build(messages.sample(kind="test", language="en"))).outcome is outcome


def test_an_answer_of_amazon_ses_without_an_id_is_unknown() -> None:
    """As one that is cut off: boto3 returns what it could read. The service has taken the mail."""
    message = messages.build(messages.sample(kind="test", language="en"))

    def send_messages(messages: Any) -> None:
        message.anymail_status = SimpleNamespace(esp_response={"ResponseMetadata": {"HTTPStatusCode": 200}})
        raise AnymailAPIError("'MessageId' parsing Amazon SES send result", email_message=message)

    backend = SimpleNamespace(open=lambda: None, send_messages=send_messages, esp_name="Amazon SES")
    assert mail_service.submit(backend, message).outcome is Outcome.UNKNOWN


@pytest.mark.django_db
def test_a_muted_mail_is_not_sent(service: MailApi, frozen_clock: FrozenClock) -> None:
    """A service can't be asked for a recipient: whoever asked sees the mail as sent, after the time of a send."""
    make_muted()
    make_delivery(make_captcha(accepted=False))
    sending.deliver()
    assert (service.taken, Delivery.objects.get().visible_state) == ([], "sent")


@pytest.mark.django_db
def test_a_muted_mail_waits_for_a_service_that_is_down(service: MailApi, monkeypatch) -> None:
    """As any other does: it is not sent while nobody knows whether the service is back."""
    make_muted()
    make_delivery(make_captcha(accepted=False))
    breaker = CircuitBreaker(first=1e-9, longest=30)
    breaker.failed()  # and its pause is over
    monkeypatch.setattr(mailers.every()[0], "breaker", breaker)
    sending.deliver()
    assert Delivery.objects.get().visible_state == "delayed"
    make_delivery(make_captcha(BOB, accepted=False), recipient=BOB)
    sending.deliver()
    Delivery.objects.filter(state="pending").update(next_attempt_at=Now())
    sending.deliver()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
