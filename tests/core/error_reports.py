"""Error reports: where the error was, and no value."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import sentry_sdk
import structlog
from celery.signals import before_task_publish
from django.test import Client
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from core.observability import error_reports
from tests.factories import ALICE, PASSWORD, right
from tests.steps import ask, verify
from worker.tasks import deliver

pytestmark = pytest.mark.django_db


class Sent(Transport):
    """Keeps the reports instead of sending them."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.texts.append(envelope.serialize().decode())


@pytest.fixture
def sent(settings, monkeypatch) -> Iterator[Sent]:
    settings.SENTRY_DSN = "https://public@sentry.example.com/1"
    transport = Sent()
    with monkeypatch.context() as patched:
        patched.setattr(sentry_sdk, "init", partial(sentry_sdk.init, transport=transport))
        error_reports.start()
    yield transport
    sentry_sdk.get_global_scope().set_client(None)
    sentry_sdk.init()


def test_without_a_dsn_nothing_is_started(settings, monkeypatch) -> None:
    """That it isn't even loaded is tested in test_error_reports.py: this file loads it."""
    settings.SENTRY_DSN = ""
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: pytest.fail("started"))
    error_reports.start()


def test_a_crash_in_the_web_is_reported_without_a_value(client: Client, sent: Sent, monkeypatch) -> None:
    """In the middle of a verification, with all its secrets in the text of the exception."""
    sign_up = ask(client)
    code, secret = right(sign_up), "a-local-secret-9f"

    def crash(*args: object) -> bool:
        hidden = secret
        raise RuntimeError(f"{hidden} {code} {sign_up.handle} {sign_up.nonce} {args} {PASSWORD} {ALICE}")

    monkeypatch.setattr("verification.codes.same", crash)
    client.raise_request_exception = False
    answer = client.post(
        "/signup/verify/?next=/x-query-secret/",
        {"email": ALICE, "captcha": code, "username": "alice", "password": PASSWORD},
        headers={"x-request-id": "edge-7_0042", "authorization": "Token header-secret"},
    )
    assert answer.status_code == 500
    [text] = sent.texts
    for known in (secret, f'"{code}"', f" {code} ", sign_up.handle, sign_up.nonce, PASSWORD, ALICE, "query-secret"):
        assert known not in text
    assert "header-secret" not in text
    assert client.cookies["doorcode_signup"].value not in text
    event = json.loads(text.splitlines()[-1])
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"], event["tags"]["request_id"]) == ("RuntimeError", "", "edge-7_0042")
    assert any(frame["function"] == "prove" for frame in error["stacktrace"]["frames"])
    assert not any("vars" in frame for frame in error["stacktrace"]["frames"])
    assert event["transaction"] == "/signup/verify/"
    assert not {"request", "user", "breadcrumbs", "extra", "contexts", "modules"} & set(event)


def test_a_crash_in_a_task_is_reported_without_its_arguments(sent: Sent, monkeypatch) -> None:
    """The task's name, not what it was given."""

    def crash(**given: object) -> int:
        raise RuntimeError("the words of a mail server to alice@example.com")

    monkeypatch.setattr("worker.sending.deliver", crash)
    deliver.apply(args=[987654], throw=False)
    texts = "".join(sent.texts)
    assert "worker.tasks.deliver" in texts
    assert "987654" not in texts
    assert "alice@" not in texts
    assert "mail server" not in texts


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (lambda: logging.getLogger("a").error("a seat for %s", "the-argument"), "a seat for %s"),
        (lambda: logging.getLogger("a").error(ValueError("the-argument")), "ValueError"),
        (lambda: structlog.get_logger("a").error("a seat", number="the-argument"), "a seat"),
    ],
    ids=["text", "exception", "structlog"],
)
def test_an_error_in_the_log_is_reported_by_its_text_alone(sent: Sent, log: Callable[[], None], text: str) -> None:
    """Not by its arguments. Another app of the project may log in any of these ways."""
    log()
    [report] = sent.texts
    assert json.loads(report.splitlines()[-1])["logentry"] == {"message": text}
    assert "the-argument" not in report


def test_a_link_is_not_reported(client: Client, sent: Sent, monkeypatch) -> None:
    """Its token is in the URL of the request that crashed."""
    monkeypatch.setattr("worker.suppression.read", lambda token: 1 / 0)
    client.raise_request_exception = False
    client.get("/signup/mute/abcdefghijkl.mnopqrstuvwx/")
    [text] = sent.texts
    assert "abcdefghijkl" not in text
    assert "ZeroDivisionError" in text


def test_what_a_stranger_sends_is_not_reported(client: Client, sent: Sent) -> None:
    """Django logs it as an error of security; anybody could fill the reports."""
    assert client.get("/signup/", headers={"host": "evil.example"}).status_code == 400
    fields, kind = "a=&" * 2_000, "application/x-www-form-urlencoded"
    assert client.post("/signup/", fields, content_type=kind).status_code == 400
    assert sent.texts == []


def test_without_an_error_nothing_is_reported(client: Client, sent: Sent) -> None:
    """A whole sign-up sends no report."""
    assert verify(client, ask(client)).status_code == 303
    assert sent.texts == []


def test_mail_services_and_broker_learn_nothing_of_sentry(sent: Sent) -> None:
    """By default all that they are sent has headers with the release, the environment and the key of the DSN."""
    headers: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers.extend(self.headers)
            self.send_response(204)
            self.end_headers()

    def note(sender: object, headers: dict[str, object], **kwargs: object) -> None:
        given.update(headers)

    given: dict[str, object] = {}
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with closing(HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as connection:
            connection.request("POST", "/send")
            assert connection.getresponse().status == 204
    before_task_publish.connect(note)
    deliver.apply_async(args=[7])
    before_task_publish.disconnect(note)
    assert "Host" in headers
    assert given["task"] == "worker.tasks.deliver"
    assert not [name for name in [*headers, *given] if "sentry" in name or "baggage" in name]
