"""What a mail server may say, and what it means."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.worker.sink import Sink
from worker import smtp
from worker.smtp import Outcome

MESSAGE = b"Subject: hello\r\n\r\n.dot\r\n..two\r\nend\r\n"


@pytest.fixture(params=["250 sink", "250-sink\r\n250 PIPELINING"], ids=["one by one", "pipelining"])
def sink(settings, request) -> Iterator[Callable[..., Sink]]:
    """Mail servers that take commands one by one, and such as take them together."""
    sinks: list[Sink] = []

    def start(**script: list[str]) -> Sink:
        sinks.append(Sink({"EHLO": [request.param], **script}))
        settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = sinks[-1].port, 1
        return sinks[-1]

    smtp.drop_connection()
    smtp.breaker.ok()
    yield start
    smtp.breaker.ok()
    smtp.drop_connection()
    for each in sinks:
        each.close()


def send() -> smtp.Reply:
    return smtp.send(sender="noreply@doorcode.test", recipient="alice@example.com", message=MESSAGE)


def test_a_mail_arrives_as_it_is(sink) -> None:
    """Lines that begin with a dot included (RFC 5321 §4.5.2)."""
    server = sink()
    assert send() == smtp.Reply(Outcome.ACCEPTED, "250 taken")
    assert server.mails == [MESSAGE.replace(b"\r\n.", b"\r\n..")]
    assert "mail from:<noreply@doorcode.test>" in [line.lower() for line in server.said]


@pytest.mark.parametrize("script", [{}, {"RCPT": ["550 no"]}, {"RCPT": ["450 later"]}, {"CONNECT": ["554 away"]}])
def test_asking_for_a_recipient_answers_as_sending_does(sink, script: dict[str, list[str]]) -> None:
    """And no message is handed over."""
    server = sink(**script)
    asked = smtp.send(sender="noreply@doorcode.test", recipient="alice@example.com", message=None)
    assert server.mails == []
    assert "data" not in [line.lower() for line in server.said]
    assert asked.outcome is send().outcome


def test_the_connection_stays_open(sink) -> None:
    """One greeting for three mails."""
    server = sink()
    assert [send().outcome for _ in range(3)] == [Outcome.ACCEPTED] * 3
    assert server.connections == 1


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ({"RCPT": ["550 5.1.1 no such user"]}, Outcome.REFUSED),
        ({"RCPT": ["450 4.2.1 greylisted"]}, Outcome.DEFERRED),
        ({"RCPT": ["552 too many recipients"]}, Outcome.DEFERRED),
        ({"RCPT": ["421 going down"]}, Outcome.DEFERRED),
        ({"DATA": ["554 no"]}, Outcome.REFUSED),
        ({"DOT": ["554 spam"]}, Outcome.REFUSED),
        ({"DOT": ["451 try later"]}, Outcome.DEFERRED),
        ({"MAIL": ["550 not this sender"]}, Outcome.UNAVAILABLE),
        ({"MAIL": ["451 busy"]}, Outcome.UNAVAILABLE),
        ({"CONNECT": ["554 no service"]}, Outcome.UNAVAILABLE),
        ({"CONNECT": ["hang"]}, Outcome.UNAVAILABLE),
        ({"CONNECT": ["close"]}, Outcome.UNAVAILABLE),
        ({"RCPT": ["hang"]}, Outcome.DEFERRED),
        ({"RCPT": ["close"]}, Outcome.DEFERRED),
        ({"DATA": ["close"]}, Outcome.DEFERRED),
        ({"DOT": ["close"]}, Outcome.UNKNOWN),
    ],
)
def test_what_an_answer_means(sink, script: dict, outcome: Outcome) -> None:
    """About this mail, about the service, or unknown after the final dot."""
    sink(**script)
    assert send().outcome is outcome


@pytest.mark.parametrize("script", [{"RCPT": ["550 no such user"]}, {"DATA": ["554 no"]}])
def test_a_refusal_stays_one_though_the_server_hangs_up(sink, script: dict) -> None:
    """What it said of the mail counts."""
    sink(**script, RSET=["close"])
    assert send().outcome is Outcome.REFUSED


def test_what_a_server_says_is_cleaned(sink) -> None:
    """No control character gets into the row."""
    sink(RCPT=["550 no\x00 \x1b[31m user"])
    assert send().text == "550 no  \u0020[31m user"


def test_silence_after_the_dot_is_unknown(sink, monkeypatch) -> None:
    """The mail may have been taken."""
    monkeypatch.setattr(smtp, "AFTER_DOT", 0.3)
    sink(DOT=["hang"])
    assert send().outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("script", [{"RCPT": ["550 no", "250 fine"]}, {"DOT": ["451 later", "250 taken"]}])
def test_a_refused_recipient_keeps_the_connection(sink, script: dict) -> None:
    """The next mail goes over the same one."""
    server = sink(**script)
    send()
    assert send().outcome is Outcome.ACCEPTED
    assert server.connections == 1


@pytest.mark.parametrize(
    "script", [{"DOT": ["421 bye", "250 taken"]}, {"MAIL": ["451 busy", "250 fine"]}, {"DOT": ["close", "250 taken"]}]
)
def test_after_any_doubt_the_connection_is_new(sink, script: dict) -> None:
    """No mail is written into a connection that may be broken."""
    server = sink(**script)
    send()
    assert send().outcome is Outcome.ACCEPTED
    assert server.connections == 2


def test_a_connection_closed_meanwhile_gets_one_free_try(sink) -> None:
    """The server hung up on a kept connection: the mail goes over a new one, at once."""
    server = sink(MAIL=["250 fine", "close", "250 fine"])
    assert [send().outcome for _ in range(2)] == [Outcome.ACCEPTED] * 2
    assert server.connections == 2


def test_a_connection_is_renewed_by_count_and_age(sink, monkeypatch) -> None:
    """After MAX_MAILS mails or MAX_AGE seconds."""
    monkeypatch.setattr(smtp, "MAX_MAILS", 2)
    server = sink()
    for _ in range(3):
        send()
    assert server.connections == 2
    monkeypatch.setattr(smtp, "MAX_AGE", -1.0)
    send()
    assert server.connections == 3


@pytest.mark.parametrize(("noop", "connections"), [(["250 here"], 1), (["close"], 2), (["421 bye"], 2)])
def test_an_idle_connection_is_asked_first(sink, monkeypatch, noop: list[str], connections: int) -> None:
    """NOOP after IDLE_CHECK seconds of silence."""
    monkeypatch.setattr(smtp, "IDLE_CHECK", 0.0)
    server = sink(NOOP=noop)
    assert [send().outcome for _ in range(2)] == [Outcome.ACCEPTED] * 2
    assert server.connections == connections


@pytest.mark.parametrize(
    ("script", "outcome"), [({"RCPT": ["hang"]}, Outcome.DEFERRED), ({"EHLO": ["hang"]}, Outcome.UNAVAILABLE)]
)
def test_a_send_ends_at_its_deadline(sink, settings, monkeypatch, script: dict, outcome: Outcome) -> None:
    """Though each single wait could be longer: the watchdog shuts the socket."""
    sink(**script)
    settings.EMAIL_TIMEOUT = 60
    monkeypatch.setattr(smtp, "DEADLINE", 0.3)
    begun = time.monotonic()
    assert send().outcome is outcome
    assert time.monotonic() - begun < 5


def test_a_trickling_server_gets_no_second_deadline(sink, settings, monkeypatch) -> None:
    """Its kept connection is shut, and nothing begins anew after the deadline."""
    server = sink()
    send()
    server.script = {"MAIL": ["trickle"]}
    monkeypatch.setattr(smtp, "DEADLINE", 0.5)
    begun = time.monotonic()
    assert send().outcome is Outcome.DEFERRED
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_a_server_that_takes_so_many_mails_and_no_more(sink, verb: str) -> None:
    """421 on a kept connection is a hang-up: the mail goes over a new one, at once, and no breaker opens."""
    server = sink(**{verb: ["250 fine", "421 enough", "250 fine"]})
    assert [send().outcome for _ in range(2)] == [Outcome.ACCEPTED] * 2
    assert server.connections == 2
    assert not smtp.breaker.is_open()


@pytest.mark.parametrize("answer", ["25", "hello"])
def test_garbage_after_the_dot_is_unknown(sink, answer: str) -> None:
    """The mail may have been taken."""
    sink(DOT=[answer])
    assert send().outcome is Outcome.UNKNOWN


def test_a_password_that_cant_be_sent_is_the_services_fault(sink, settings) -> None:
    """Characters outside ASCII: the operator's slip, not the mail's."""
    sink(EHLO=["250-sink\r\n250 AUTH PLAIN"])
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "doorcode", "pässword"
    assert send().outcome is Outcome.UNAVAILABLE


def test_nobody_there_is_the_services_fault(settings) -> None:
    """Refused connections say nothing about the recipient."""
    smtp.drop_connection()
    assert send().outcome is Outcome.UNAVAILABLE
