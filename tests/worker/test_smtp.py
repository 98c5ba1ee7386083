"""What a mail server may say, and what it means."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from smtplib import SMTPConnectError, SMTPException, SMTPServerDisconnected
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from django.core.mail import EmailMessage, send_mail

from core import clock, mail_urls
from core.circuit_breaker import CircuitBreaker
from tests.servers import wait_until
from tests.worker.sink import Sink
from worker import mailers, smtp, smtp_pool
from worker.classification import LONGEST_REPLY, Outcome, Reply
from worker.mailers import Mailer
from worker.models import Delivery
from worker.smtp_pool import Connection

MESSAGE = b"Subject: hello\r\n\r\n.dot\r\n..two\r\nend\r\n"


@pytest.fixture
def sink(settings) -> Iterator[Callable[..., Sink]]:
    """Start a mail server."""
    sinks: list[Sink] = []

    def start(**script: list[str]) -> Sink:
        sinks.append(Sink(script))
        settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", sinks[-1].url)]
        if re.search("hang|late ", str(script)):  # all others may be as slow as this machine
            settings.SMTP_TIMEOUT = 1
        return sinks[-1]

    yield start
    for each in sinks:
        each.close()


class Written(EmailMessage):
    """A message that is written already."""

    def message(self, **_: object) -> SimpleNamespace:
        return SimpleNamespace(as_bytes=lambda: MESSAGE.replace(b"\r\n", b"\n"))


def mail() -> EmailMessage:
    return Written(from_email="Doorcode <noreply@doorcode.test>", to=["alice@example.com"])


def main() -> Mailer:
    """The way of EMAIL_URL."""
    return mailers.every()[0]


def send(*, probe: bool = False) -> Reply:
    return main().submit(mail(), probe=probe)


def test_a_mail_arrives_as_it_is(sink) -> None:
    """Lines that begin with a dot included (RFC 5321 §4.5.2)."""
    server = sink()
    assert send() == Reply(Outcome.ACCEPTED, "250 taken")
    assert server.mails == [MESSAGE.replace(b"\r\n.", b"\r\n..")]
    assert "mail from:<noreply@doorcode.test>" in [line.lower() for line in server.said]


def test_a_code_that_the_server_quotes_is_taken_out(sink) -> None:
    """Or it would be in the log and in the table of mails, while it can still be typed."""
    sink(DOT=["451 4.7.1 2916 is your code: no content filter, 29160 4x2916"])
    message = mail()
    message.subject = "2916 is your code"
    assert main().submit(message).text == "451 4.7.1 … is your code: no content filter, 29160 4x2916"


@pytest.mark.parametrize("path", ["signup/link", "signup/mute", "password-reset/MQ"])
def test_a_link_that_the_server_quotes_opens_nothing(sink, path: str) -> None:
    """As of a filter that refuses it: the link proves the mailbox, or sets a new password."""
    sink(DOT=[f"554 5.7.1 listed: https://doorcode.test/{path}/abcdefgh.ijklmnop/?lang=en"])
    assert send().text == f"554 5.7.1 listed: https://doorcode.test/{path}/…/?lang=en"


@pytest.mark.parametrize("verb", ["CONNECT", "MAIL", "RCPT", "DOT"])
def test_a_reply_of_any_length_is_cut(sink, verb: str) -> None:
    """It goes to the log, and journald breaks a line of more than 48 KB, which is no JSON then."""
    sink(**{verb: ["550-" + "no " * 1_000 + "\r\n550 no"]})
    assert len(send().text) == LONGEST_REPLY


@pytest.mark.parametrize("script", [{}, {"RCPT": ["550 no"]}, {"RCPT": ["450 later"]}, {"CONNECT": ["554 away"]}])
def test_asking_for_a_recipient_answers_as_sending_does(sink, script: dict[str, list[str]]) -> None:
    """And no message is handed over."""
    server = sink(**script)
    asked = send(probe=True)
    assert server.mails == []
    assert "data" not in [line.lower() for line in server.said]
    assert asked.outcome is send().outcome


def test_the_backend_is_one_of_djangos(sink, settings, django_sends_by) -> None:
    """Mails leave by Django's own functions too: they get the number of accepted ones, or an exception."""
    server = sink(RCPT=["250 fine", "550 no"])
    django_sends_by("worker.smtp.EmailBackend", **settings.MAIL_ROUTES[0].options)
    assert send_mail("hello", "body", "noreply@doorcode.test", ["alice@example.com"]) == 1
    with pytest.raises(SMTPException, match="550 no"):
        send_mail("hello", "body", "noreply@doorcode.test", ["alice@example.com"])
    with smtp.EmailBackend(fail_silently=True) as backend:
        assert backend.send_messages([mail()]) == 0
    wait_until(lambda: server.open == 0, "the end of the connection")


def test_a_mail_of_another_app_may_have_several_recipients(sink, settings, django_sends_by) -> None:
    """Each gets it, Bcc too; it counts as one, and as none where a recipient is refused."""
    server = sink(RCPT=["250 fine", "250 fine", "250 fine", "550 no", "250 fine"])
    django_sends_by("worker.smtp.EmailBackend", **settings.MAIL_ROUTES[0].options)
    people = {"to": ["alice@example.com"], "cc": ["bob@example.com"], "bcc": ["Carol <carol@example.com>"]}
    assert EmailMessage("hello", "body", "noreply@doorcode.test", **people).send() == 1
    names = ("alice", "bob", "carol")
    said = [line.lower() for line in server.said if "rcpt" in line.lower()]  # its case is another in each Python
    assert said == [f"rcpt to:<{name}@example.com>" for name in names]
    two = EmailMessage("hello", "body", "noreply@doorcode.test", ["alice@example.com", "bob@example.com"])
    assert smtp.EmailBackend(fail_silently=True).send_messages([two]) == 0


def test_a_mail_of_another_app_may_go_to_a_domain_in_any_script(sink, settings, django_sends_by) -> None:
    """As by Django's own backend; the address alone is in the envelope."""
    server = sink()
    django_sends_by("worker.smtp.EmailBackend", **settings.MAIL_ROUTES[0].options)
    assert send_mail("hello", "body", "Büro <info@büro.example>", ["Anna <anna@例子.example>"]) == 1
    said = [line.lower() for line in server.said]
    assert "mail from:<info@xn--bro-hoa.example>" in said
    assert "rcpt to:<anna@xn--fsqu00a.example>" in said


@pytest.mark.parametrize("name", ["accounts.example.com", "[192.0.2.1]"])
def test_it_is_greeted_by_the_name_of_the_site(sink, settings, name: str) -> None:
    """Strict servers refuse an address of this machine's own, such as [127.0.0.1]."""
    settings.EMAIL_HELO = name
    server = sink()
    assert send().outcome is Outcome.ACCEPTED
    assert server.said[0] == f"ehlo {name}"


def test_a_server_without_ehlo_hears_the_name_too(sink, settings) -> None:
    """By HELO (RFC 5321 §3.2)."""
    settings.EMAIL_HELO = "accounts.example.com"
    server = sink(EHLO=["502 what?"])
    assert send().outcome is Outcome.ACCEPTED
    assert server.said[:2] == ["ehlo accounts.example.com", "helo accounts.example.com"]


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("550 not from here", Outcome.UNAVAILABLE),
        ("451 try later", Outcome.UNAVAILABLE),
        ("421 too many connections", Outcome.BUSY),
    ],
)
def test_a_refusal_of_the_greeting_is_reported_in_its_words(sink, words: str, outcome: Outcome) -> None:
    """Exim and others hang up after it, so that a HELO would end in an error without words."""
    server = sink(EHLO=[words], HELO=["close"])
    reply = send()
    assert (reply.outcome, reply.text) == (outcome, words)
    assert len(server.said) == 1


def test_the_connection_stays_open(sink, settings) -> None:
    """One greeting for three mails. The long wait for the answer to a mail holds for no other command."""
    server = sink()
    assert [send().outcome for _ in range(3)] == [Outcome.ACCEPTED] * 3
    assert server.connections == 1
    [kept] = main().backend.pool._idle
    assert kept.sock.gettimeout() == settings.SMTP_TIMEOUT


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ({"RCPT": ["550 5.1.1 no such user"]}, Outcome.REFUSED),
        ({"RCPT": ["450 4.2.1 greylisted"]}, Outcome.DEFERRED),
        ({"RCPT": ["552 no more here"]}, Outcome.DEFERRED),
        ({"RCPT": ["552 5.2.2 the mailbox is over its quota"]}, Outcome.DEFERRED),
        ({"RCPT": ["421 going down"]}, Outcome.DEFERRED),
        ({"DATA": ["554 no"]}, Outcome.REFUSED),
        ({"DATA": ["421 going down"]}, Outcome.DEFERRED),
        ({"DOT": ["554 spam"]}, Outcome.REFUSED),
        ({"RCPT": ["550 Connection frequency limited"]}, Outcome.DEFERRED),
        ({"DOT": ["550 RP:TRC 163 smtp4"]}, Outcome.DEFERRED),
        ({"DOT": ["451 try later"]}, Outcome.DEFERRED),
        ({"MAIL": ["550 not this sender"]}, Outcome.UNAVAILABLE),
        ({"MAIL": ["451 busy"]}, Outcome.UNAVAILABLE),
        ({"MAIL": ["450 4.7.1 Error: too much mail from 192.0.2.1"]}, Outcome.THROTTLED),
        ({"MAIL": ["454 Throttling failure: Daily message quota exceeded."]}, Outcome.THROTTLED),
        ({"MAIL": ["421 4.4.2 Message submission rate for this client has exceeded its limit"]}, Outcome.THROTTLED),
        ({"CONNECT": ["421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1"]}, Outcome.BUSY),
        ({"CONNECT": ["421 4.3.2 The maximum number of concurrent connections has exceeded a limit"]}, Outcome.BUSY),
        ({"CONNECT": ["421 going down"]}, Outcome.UNAVAILABLE),
        ({"CONNECT": ["421 mx.example.com: Too much load; please try again later"]}, Outcome.UNAVAILABLE),
        ({"CONNECT": ["554 no service"]}, Outcome.UNAVAILABLE),
        ({"CONNECT": ["hang"]}, Outcome.UNAVAILABLE),
        ({"CONNECT": ["close"]}, Outcome.UNAVAILABLE),
        ({"MAIL": ["hang"]}, Outcome.UNAVAILABLE),
        ({"MAIL": ["close"]}, Outcome.UNAVAILABLE),
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


@pytest.mark.parametrize("answer", ["552 5.2.2 mailbox full", "552 mailbox is full", "452 4.2.2 over quota"])
def test_a_full_mailbox_is_told_at_once_though_its_mail_is_tried_again(sink, answer: str) -> None:
    """The page knows it by the server's own code, which a 552 keeps though it counts as a 452."""
    sink(RCPT=[answer])
    reply = send()
    now = clock.now()
    row = Delivery(created_at=now, next_attempt_at=now, attempts=1, last_reply=reply.text, cause=reply.cause)
    assert (reply.outcome, reply.text, row.visible_reason) == (Outcome.DEFERRED, answer, "mailbox")


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
@pytest.mark.parametrize("answer", ["200 fine", "252 Cannot verify, but will try", "299 fine"])
def test_any_2xx_takes_a_sender_and_a_recipient(sink, verb: str, answer: str) -> None:
    """The first digit decides (RFC 5321 §4.2.1), and the mail is handed over."""
    server = sink(**{verb: [answer]})
    assert send() == Reply(Outcome.ACCEPTED, "250 taken")
    assert len(server.mails) == 1


@pytest.mark.parametrize(("mails", "tries"), [(0, 1), (1, 2)])
def test_a_mail_is_not_accepted_before_it_was_handed_over(sink, mails: int, tries: int) -> None:
    """2xx to DATA answers another command; a kept connection gets one free try on a new one."""
    server = sink(DATA=[*["354 go on"] * mails, "250 fine"])
    assert {send().outcome for _ in range(mails)} <= {Outcome.ACCEPTED}
    assert send() == Reply(Outcome.DEFERRED, "no 354 to DATA: 250 fine")
    assert (len(server.mails), server.connections) == (mails, tries)


@pytest.mark.parametrize("script", [{"RCPT": ["550 no such user"]}, {"DATA": ["554 no"]}])
def test_a_refusal_stays_one_though_the_server_hangs_up(sink, script: dict) -> None:
    """What it said of the mail counts."""
    sink(**script, RSET=["close"])
    assert send().outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ({"RCPT": ["550 5.1.1 no such user"]}, "mailbox"),
        ({"DOT": ["554 DT:SPM 163 smtp14"]}, "content"),
        ({"DOT": ["550-5.7.26 This mail is\r\n550 5.7.26 unauthenticated"]}, "authentication"),
        ({"RCPT": ["550 Connection frequency limited"]}, "rate"),
        ({"RCPT": ["450 4.7.1 greylisted"]}, "rate"),
        ({"DOT": ["554 no"]}, "unclear"),
        ({"RCPT": ["close"]}, None),
        ({"DOT": ["close"]}, None),
        ({"MAIL": ["550 5.1.1 not this sender"]}, None),
        ({}, None),
    ],
)
def test_an_answer_about_a_mail_has_a_cause(sink, script: dict, cause: str | None) -> None:
    """Whose it is; no other answer has one."""
    sink(**script)
    assert send().cause == cause


def test_what_a_server_says_is_cleaned(sink) -> None:
    """No control character gets into the row."""
    sink(RCPT=["550 no\x00 \x1b[31m user"])
    assert send().text == "550 no [31m user"


def test_silence_after_the_dot_is_unknown(sink, monkeypatch) -> None:
    """The mail may have been taken."""
    monkeypatch.setattr(smtp, "AFTER_DOT", 0.3)
    sink(DOT=["hang"])
    assert send().outcome is Outcome.UNKNOWN


def test_the_answer_to_a_mail_may_come_later_than_any_other(sink) -> None:
    """Else the mail would be sent again: many servers look into a mail before they answer."""
    server = sink(DOT=["late 250 taken"])
    assert send() == Reply(Outcome.ACCEPTED, "250 taken")
    assert len(server.mails) == 1


@pytest.mark.parametrize("script", [{"RCPT": ["550 no", "250 fine"]}, {"DOT": ["451 later", "250 taken"]}])
def test_a_refused_recipient_keeps_the_connection(sink, script: dict) -> None:
    """The next mail goes over the same one."""
    server = sink(**script)
    send()
    assert send().outcome is Outcome.ACCEPTED
    assert server.connections == 1


@pytest.mark.parametrize(
    "script",
    [
        {"DOT": ["421 bye", "250 taken"]},
        {"MAIL": ["451 busy", "250 fine"]},
        {"DOT": ["close", "250 taken"]},
        {"RCPT": ["450 later", "250 fine"], "RSET": ["503 which mail?"]},
    ],
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
    monkeypatch.setattr(smtp_pool, "MAX_MAILS", 2)
    server = sink()
    for _ in range(3):
        send()
    assert server.connections == 2
    monkeypatch.setattr(smtp_pool, "MAX_AGE", -1.0)
    send()
    assert server.connections == 3


def test_exim_gets_no_more_mails_over_a_connection_than_it_delivers_at_once(sink) -> None:
    """The eleventh would wait there for the next queue run."""
    server = sink(CONNECT=["220 mx.example.com ESMTP Exim 4.96 Sun, 29 Nov 2026 12:00:00 +0000"])
    assert [send().outcome for _ in range(21)] == [Outcome.ACCEPTED] * 21
    assert server.connections == 3


@pytest.mark.parametrize(
    ("rset", "connections"), [(["250 here"], 1), (["close"], 2), (["421 bye"], 2), (["500 what"], 2)]
)
def test_an_idle_connection_is_asked_first(sink, monkeypatch, rset: list[str], connections: int) -> None:
    """By RSET, after IDLE_CHECK seconds of silence: a Sendmail that gets many NOOPs answers them late."""
    monkeypatch.setattr(smtp_pool, "IDLE_CHECK", 0.0)
    server = sink(RSET=rset)
    assert [send().outcome for _ in range(2)] == [Outcome.ACCEPTED] * 2
    assert server.connections == connections


@pytest.mark.parametrize(
    ("script", "outcome"), [({"RCPT": ["hang"]}, Outcome.DEFERRED), ({"EHLO": ["hang"]}, Outcome.UNAVAILABLE)]
)
def test_a_send_ends_at_its_deadline(sink, settings, monkeypatch, script: dict, outcome: Outcome) -> None:
    """Though each single wait could be longer: its socket is shut. The deadline is over once the server is silent."""
    server, [verb], settings.SMTP_TIMEOUT = sink(**script), script, 60

    def later() -> float:
        is_silent = any(line.upper().startswith(verb) for line in list(server.said))
        return time.monotonic() + is_silent * smtp.DEADLINE

    for module in (smtp, smtp_pool):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=later, sleep=time.sleep))
    begun = time.monotonic()
    assert send().outcome is outcome
    assert time.monotonic() - begun < settings.SMTP_TIMEOUT


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port at which nothing ever answers, as behind a firewall: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server


def test_a_server_of_which_some_addresses_are_silent_gets_mails(sink, settings, monkeypatch, silent) -> None:
    """Where IPv6 leads nowhere, say: there is time for the last address."""
    server, settings.SMTP_TIMEOUT, answer = sink(), 2, Sink._answer
    monkeypatch.setattr(Sink, "_answer", lambda *arguments: time.sleep(0.1) or answer(*arguments))
    monkeypatch.setattr(smtp, "DEADLINE", 4.0)
    real = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
    dead = socket.getaddrinfo(*silent.getsockname(), type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: dead * 3 + real)
    assert send().outcome is Outcome.ACCEPTED


def test_a_server_with_many_addresses_may_greet_late(sink, settings, monkeypatch) -> None:
    """As Postfix's postscreen does. Once one is connected, no other address is tried."""
    server, settings.SMTP_TIMEOUT = sink(CONNECT=["late 220 sink"]), 5
    monkeypatch.setattr(smtp, "DEADLINE", 9.0)
    real = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: real * 9)
    assert send().outcome is Outcome.ACCEPTED


def test_a_trickling_server_gets_no_second_deadline(sink, monkeypatch) -> None:
    """Its kept connection is shut, and nothing begins anew after the deadline."""
    server = sink()
    send()
    server.script = {"MAIL": ["trickle"]}
    monkeypatch.setattr(smtp, "DEADLINE", 0.5)
    begun = time.monotonic()
    assert send().outcome is Outcome.DEFERRED
    assert time.monotonic() - begun < 5
    assert server.connections == 1


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("MAIL", "421 enough"),
        ("RCPT", "421 enough"),
        ("DATA", "421 enough"),
        ("MAIL", "452 4.5.3 Too many recipients: Too many messages sent"),  # OpenSMTPD
    ],
)
def test_a_server_that_takes_so_many_mails_and_no_more(sink, verb: str, words: str) -> None:
    """This on a kept connection is a hang-up: the mail goes over a new one, at once, and no circuit breaker opens."""
    fine = "354 go on" if verb == "DATA" else "250 fine"
    server = sink(**{verb: [fine, words, fine]})
    assert [send().outcome for _ in range(2)] == [Outcome.ACCEPTED] * 2
    assert server.connections == 2
    assert not main().breaker.is_open


def test_a_server_that_throttles_all_kept_connections_is_left_alone(sink, monkeypatch) -> None:
    """Another thread may have given one back meanwhile; the answer of the last one counts."""
    server, pool = sink(MAIL=["450 too much mail"]), smtp.EmailBackend().pool
    monkeypatch.setattr(pool, "close_idle", Mock())
    for connection in [pool.take(until=time.monotonic() + 5) for _ in range(2)]:
        connection.mails = 1
        pool.give_back(connection)
    assert send() == Reply(Outcome.THROTTLED, "450 too much mail")
    assert (server.connections, main().breaker.is_open) == (2, True)


def in_thread(call: Callable[[], Reply]) -> "Future[Reply]":
    """Run it beside this test."""
    future: Future[Reply] = Future()
    threading.Thread(target=lambda: future.set_result(call()), daemon=True).start()
    return future


def test_threads_share_connections(sink, settings) -> None:
    """No more than EMAIL_MAX_CONNECTIONS are open, however many threads send."""
    settings.EMAIL_MAX_CONNECTIONS = 2
    server = sink()
    sends = [in_thread(send) for _ in range(12)]
    assert {each.result(20).outcome for each in sends} == {Outcome.ACCEPTED}
    assert (len(server.mails), server.most) == (12, 2)


def test_idle_connections_are_closed_though_no_mail_comes(sink, monkeypatch) -> None:
    """In time and with QUIT; the one that is used stays."""
    monkeypatch.setattr(smtp_pool, "IDLE", 0.3)
    server = sink()
    held = [smtp.EmailBackend().pool.take(until=time.monotonic() + 5) for _ in range(3)]
    for each in held[1:]:
        smtp.EmailBackend().pool.give_back(each)
    wait_until(lambda: server.open == 1, "the end of the idle ones")
    smtp.EmailBackend().pool.give_back(held[0])
    wait_until(lambda: server.open == 0, "the end of the last one")
    assert server.said.count("quit") == 3
    assert send().outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("script", [{"CONNECT": ["220 sink", "421 too many"]}, {"CONNECT": ["220 sink", "close"]}])
def test_where_no_more_connections_are_taken_those_that_are_open_serve_all(sink, script: dict) -> None:
    """A refused connection is no broken server while another is open: the mail waits for that one."""
    server = sink(**script)
    held = smtp.EmailBackend().pool.take(until=time.monotonic() + 5)
    waiting = [in_thread(send) for _ in range(3)]
    wait_until(lambda: server.connections >= 2, "a refused connection")
    assert smtp.EmailBackend().pool.can_send()
    smtp.EmailBackend().pool.give_back(held)
    assert {each.result(20).outcome for each in waiting} == {Outcome.ACCEPTED}
    assert not main().breaker.is_open
    assert server.connections <= 4  # none is tried again at once


@pytest.mark.parametrize(
    ("error", "beside_another", "alone"),
    [
        (SMTPConnectError(421, b"too many connections"), Outcome.BUSY, Outcome.BUSY),
        (SMTPConnectError(450, b"come back later"), Outcome.BUSY, Outcome.UNAVAILABLE),
        (SMTPServerDisconnected("closed"), Outcome.BUSY, Outcome.UNAVAILABLE),
        (ConnectionRefusedError("refused"), Outcome.BUSY, Outcome.UNAVAILABLE),
        (TimeoutError("silent"), Outcome.BUSY, Outcome.UNAVAILABLE),
        (ssl.SSLError("no TLS"), Outcome.BUSY, Outcome.UNAVAILABLE),
        (SMTPConnectError(554, b"no service"), Outcome.UNAVAILABLE, Outcome.UNAVAILABLE),
        (socket.gaierror("no such host"), Outcome.UNAVAILABLE, Outcome.UNAVAILABLE),
    ],
    ids=str,
)
def test_only_what_may_pass_is_no_outage_while_a_connection_is_open(
    sink, monkeypatch, error: OSError, beside_another: Outcome, alone: Outcome
) -> None:
    """Else mails would wait for a server that refuses them all, or leave by the fallback while it takes them."""
    sink()
    monkeypatch.setattr(smtp_pool, "PATIENCE", 0.1)
    pool = smtp.EmailBackend().pool
    held = pool.take(until=time.monotonic() + 5)
    monkeypatch.setattr(Connection, "connect", Mock(side_effect=error))
    assert send().outcome is beside_another
    held.is_doubtful = True
    pool.give_back(held)
    pool._growth.succeeded()
    assert send().outcome is alone


def test_more_connections_are_tried_after_a_pause(sink, monkeypatch) -> None:
    """The limit may have been another's."""
    server = sink(CONNECT=["220 sink", "421 too many", "220 sink"])
    monkeypatch.setattr(smtp.EmailBackend().pool, "_growth", CircuitBreaker(first=0.2, longest=0.2))
    held = smtp.EmailBackend().pool.take(until=time.monotonic() + 5)
    assert send().outcome is Outcome.ACCEPTED
    smtp.EmailBackend().pool.give_back(held)
    assert (server.connections, server.open) == (3, 2)


def test_threads_wait_in_turn(sink, settings) -> None:
    """A thread that sends one mail after another keeps no other waiting."""
    settings.EMAIL_MAX_CONNECTIONS = 1
    server, is_over = sink(), threading.Event()
    busy = in_thread(lambda: [send() for _ in iter(is_over.is_set, True)][-1])
    wait_until(lambda: server.mails, "its first mail")
    try:
        assert [send().outcome for _ in range(5)] == [Outcome.ACCEPTED] * 5
    finally:
        is_over.set()
    assert busy.result(30).outcome is Outcome.ACCEPTED


def test_nobody_waits_for_ever(sink, settings, monkeypatch) -> None:
    """The mail is given back, and the circuit breaker stays closed."""
    settings.EMAIL_MAX_CONNECTIONS = 1
    monkeypatch.setattr(smtp_pool, "PATIENCE", 0.2)
    sink()
    held = smtp.EmailBackend().pool.take(until=time.monotonic() + 5)
    assert send() == Reply(Outcome.BUSY, "no connection was free")
    smtp.EmailBackend().pool.give_back(held)
    assert send().outcome is Outcome.ACCEPTED
    assert not main().breaker.is_open


def test_a_process_that_gets_no_connection_leaves_the_server_alone(sink) -> None:
    """Others have them all: it is no outage, and nothing is tried for a while."""
    server = sink(CONNECT=["421 too many connections"])
    assert [send().outcome for _ in range(3)] == [Outcome.BUSY] * 3
    assert server.connections == 1
    assert not smtp.EmailBackend().pool.can_send()
    assert not main().breaker.is_open


def test_a_server_that_throttles_is_left_alone_and_not_broken(sink) -> None:
    """Until it takes mails again."""
    server = sink(MAIL=["450 too much mail", "250 fine"])
    assert send().outcome is Outcome.THROTTLED
    assert (main().breaker.is_open, main().is_broken) == (True, False)
    assert send().outcome is Outcome.ACCEPTED
    assert not main().breaker.is_open
    server.script = {"MAIL": ["550 not this sender"]}
    assert send().outcome is Outcome.UNAVAILABLE
    assert main().is_broken


def test_after_a_hang_up_no_other_old_connection_is_tried(sink) -> None:
    """A server that was restarted has closed them all."""
    server = sink()
    held = [smtp.EmailBackend().pool.take(until=time.monotonic() + 5) for _ in range(3)]
    for each in held:
        each.sock.shutdown(socket.SHUT_RDWR)
        each.mails = 1
        smtp.EmailBackend().pool.give_back(each)
    assert send().outcome is Outcome.ACCEPTED
    assert server.connections == 4


def test_a_mistake_of_ours_leaves_no_connection_half_way(sink, monkeypatch) -> None:
    """Nor does it use up a place: the next mail goes over a new one."""
    server = sink()
    with monkeypatch.context() as patch:
        patch.setattr(smtp, "_after_dot", lambda connection: {}["mistake"])
        with pytest.raises(KeyError):
            send()
        patch.setattr(smtp_pool, "_tls", lambda: {}["mistake"])
        patch.setattr(main().backend.pool, "_server", replace(main().backend.server, use_ssl=True))
        with pytest.raises(KeyError):
            send()
    assert send().outcome is Outcome.ACCEPTED
    assert server.connections == 2
    wait_until(lambda: server.open == 1, "the end of the first one")


@pytest.mark.parametrize("answer", ["25", "hello", "650 what"])
def test_garbage_after_the_dot_is_unknown(sink, answer: str) -> None:
    """The mail may have been taken."""
    sink(DOT=[answer])
    assert send().outcome is Outcome.UNKNOWN


def test_a_password_that_cant_be_sent_is_the_services_fault(sink, settings) -> None:
    """Characters outside ASCII: the operator's slip, not the mail's."""
    server = sink(EHLO=["250-sink\r\n250 AUTH PLAIN"])
    settings.MAIL_ROUTES = [mail_urls.read("EMAIL_URL", f"smtp://doorcode:pässword@127.0.0.1:{server.port}")]
    assert send().outcome is Outcome.UNAVAILABLE


def test_nobody_there_is_the_services_fault() -> None:
    """Refused connections say nothing about the recipient."""
    assert send().outcome is Outcome.UNAVAILABLE


def connection_on(opened: socket.socket | None) -> Connection:
    """A connection that has this socket, and no server."""
    connection = Connection.__new__(Connection)
    connection.sock = opened
    return connection


def test_a_socket_is_shut_when_its_time_is_over() -> None:
    """Whoever reads from it sees the end, though the other side never spoke."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(10)
        begun = time.monotonic()
        with connection_on(left).deadline(time.monotonic() + 0.1):
            assert left.recv(1) == b""
        assert time.monotonic() - begun < 5


def test_an_encrypted_socket_that_is_shut_stays_encrypted() -> None:
    """Its user may be writing a mail meanwhile, and no part of it leaves as plain text."""
    left, right = socket.socketpair()
    with (
        right,
        ssl.create_default_context().wrap_socket(
            left, server_hostname="mail.example.com", do_handshake_on_connect=False
        ) as secured,
    ):
        with connection_on(secured).deadline(time.monotonic() + 0):
            assert right.recv(1) == b""
        with pytest.raises(ssl.SSLError):  # ValueError: "No SSL wrapper around", where there is none any more
            secured.unwrap()


def test_in_time_nothing_is_shut() -> None:
    """Nor where there is no socket, or it is closed already."""
    left, right = socket.socketpair()
    with left, right:
        with connection_on(left).deadline(time.monotonic() + 60):
            pass
        with connection_on(None).deadline(time.monotonic() + 0):
            time.sleep(0.6)
        right.sendall(b"x")
        assert left.recv(1) == b"x"
    with connection_on(left).deadline(time.monotonic() + 0):
        time.sleep(0.6)


@pytest.mark.parametrize("name", ["deadlines", "idle connections"])
def test_where_no_thread_can_be_started_no_mail_is_sent(sink, monkeypatch, name: str) -> None:
    """Else a mail that the server has accepted would count as unsent, and be repeated."""
    server, start, others = sink(), threading.Thread.start, {*smtp_pool._deadlines}

    def refuse(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(smtp_pool, "_watcher", None)
    with monkeypatch.context() as limit:
        limit.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            send()
    assert not server.mails
    assert {*smtp_pool._deadlines} <= others
    assert send().outcome is Outcome.ACCEPTED


def test_connections_opened_at_the_same_time_leave_one_thread_that_ends_them(monkeypatch) -> None:
    """A thread that begins is not alive yet, so each connection starts one."""
    before = {*threading.enumerate()}
    monkeypatch.setattr(smtp_pool, "TICK", 0.01)
    monkeypatch.setattr(smtp_pool, "_watcher", None)
    with monkeypatch.context() as beginning:
        beginning.setattr(threading.Thread, "is_alive", lambda self: False)
        for _ in range(3):
            with connection_on(None).deadline(time.monotonic() + 60):
                pass
    wait_until(lambda: len({*threading.enumerate()} - before) == 1, "the end of two", patience=5)
