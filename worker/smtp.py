"""Hand a mail to the mail server over a connection that stays open, and say what its answer means."""

import logging
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from django.conf import settings

from core.breaker import Breaker

from . import envelope
from .watchdog import guard

logger = logging.getLogger(__name__)

IDLE_CHECK = 15.0  # seconds of silence after which a NOOP asks whether the server is still there
MAX_AGE = 300.0  # seconds, and
MAX_MAILS = 100  # mails, after which a connection is renewed
AFTER_DOT = 20.0  # seconds to wait for the answer to DATA; RFC 5321 §4.5.3.2.6 asks for minutes, the lease allows this
DEADLINE = 30.0  # seconds for one send in all, connecting included

breaker = Breaker(first=5.0, longest=30.0)  # seconds without a try after a fault of the service


class Outcome(Enum):
    ACCEPTED = "accepted"
    DEFERRED = "deferred"  # not now: 4xx, a time-out, a hang-up before the final dot
    REFUSED = "refused"  # this mail never: 5xx about the recipient or the content
    UNAVAILABLE = "unavailable"  # the service's own fault: connecting, TLS, signing in, our sender address
    DROPPED = "dropped"  # there is nothing to send
    UNKNOWN = "unknown"  # silence after the final dot: it may have been accepted


@dataclass(frozen=True)
class Reply:
    """What a mail server said, and what it means. `text` is its code and words, or the error that came instead."""

    outcome: Outcome
    text: str


class _Unavailable(Exception):
    """The mail server can't be used at all; carries the reason."""


class _Connection:
    """One thread's connection: opened when first needed, renewed by age, dropped after any doubt."""

    def __init__(self) -> None:
        self._smtp: smtplib.SMTP | None = None
        self._opened = self._used = 0.0
        self._mails = 0

    def get(self) -> tuple[smtplib.SMTP, bool]:
        """Return an open connection and whether it is fresh. Raises _Unavailable."""
        now = time.monotonic()
        if self._smtp and (self._mails >= MAX_MAILS or now - self._opened > MAX_AGE or not self._alive(now)):
            self.drop()
        fresh = self._smtp is None
        if self._smtp is None:
            self._open(now)
        assert self._smtp  # noqa: S101 - for the type checker
        self._used = now
        self._mails += 1
        return self._smtp, fresh

    def drop(self) -> None:
        if self._smtp:
            self._smtp.close()
        self._smtp = None

    def reset(self) -> None:
        """End a transaction that was refused, so that the next can begin; or the connection, where it is broken."""
        try:
            if self._smtp and self._smtp.rset()[0] != 250:
                self.drop()
        except (OSError, smtplib.SMTPException):
            self.drop()

    def socket(self) -> "socket.socket | None":
        """What the watchdog shuts."""
        return self._smtp.sock if self._smtp else None

    def _open(self, now: float) -> None:
        self._smtp, self._opened, self._mails = _new(), now, 0
        try:
            _connect(self._smtp)
        except (OSError, smtplib.SMTPException, ValueError) as error:  # a password that no AUTH can carry, for one
            self.drop()
            raise _Unavailable(_reason(error)) from error

    def _alive(self, now: float) -> bool:
        if self._smtp is None or now - self._used < IDLE_CHECK:
            return self._smtp is not None
        try:
            return self._smtp.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.connection = _Connection()


_mine = _PerThread()


def send(*, sender: str, recipient: str, message: bytes | None) -> Reply:
    """
    Send one message (CRLF line ends, 7 bit) over this thread's connection, within DEADLINE seconds. None: only ask
    whether the server would take a message for this recipient, and send nothing.

    Never raises for what a server does. A fault of the service opens the breaker, any other answer closes it.
    """
    deadline = time.monotonic() + DEADLINE
    with guard(_mine.connection.socket, seconds=DEADLINE):
        reply = _send(sender, recipient, message, deadline)
    if reply.outcome is Outcome.UNAVAILABLE:
        breaker.failed()
        logger.warning("the mail server can't be used: %s", reply.text)
    else:
        breaker.ok()
    return reply


def _send(sender: str, recipient: str, message: bytes | None, deadline: float) -> Reply:
    connection = _mine.connection
    for _ in range(2):
        try:
            smtp, fresh = connection.get()
        except _Unavailable as error:
            return Reply(Outcome.UNAVAILABLE, str(error))
        try:
            return _transmit(connection, smtp, sender, recipient, message, fresh=fresh)
        except _HungUp as error:
            connection.drop()
            if (
                fresh or time.monotonic() >= deadline
            ):  # a kept connection may have been closed in the meantime: one free try on a new one
                return Reply(Outcome.DEFERRED, str(error))
    return Reply(Outcome.DEFERRED, "the server keeps hanging up")


@contextmanager
def session() -> Iterator[smtplib.SMTP]:
    """A connection of its own, open, secured and signed in within DEADLINE seconds. Raises what smtplib raises."""
    smtp = _new()
    try:
        with guard(lambda: smtp.sock, seconds=DEADLINE):
            _connect(smtp)
            yield smtp
    finally:
        smtp.close()


def drop_connection() -> None:
    """Close this thread's connection, if any."""
    _mine.connection.drop()


class _HungUp(Exception):
    """The connection failed before the final dot: the mail was certainly not accepted."""


def _transmit(
    connection: _Connection, smtp: smtplib.SMTP, sender: str, recipient: str, message: bytes | None, *, fresh: bool
) -> Reply:
    """One transaction, MAIL to the answer to the dot. Raises _HungUp before the dot."""
    try:
        answers = envelope.announce(smtp, sender=sender, recipient=recipient, data=message is not None)
        code, text = answers[-1]
        if code == 421 and not fresh and len(answers) < 3:
            raise _HungUp(_words(code, text))
        if len(answers) == 1:
            connection.drop()
            return Reply(Outcome.UNAVAILABLE, _words(code, text))
        if code == 354 and message is not None:
            smtp.send(message.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n") + b"\r\n.\r\n")
            return _after_dot(connection, smtp)
        if code == 552 and len(answers) == 2:
            code = 452  # at RCPT it means "too many recipients now" (RFC 5321 §4.5.3.1.10)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise _HungUp(_reason(error)) from error
    connection.reset()
    return _classify(connection, code, text)


def _after_dot(connection: _Connection, smtp: smtplib.SMTP) -> Reply:
    try:
        if smtp.sock:
            smtp.sock.settimeout(AFTER_DOT)
        code, text = smtp.getreply()
        if smtp.sock:
            smtp.sock.settimeout(settings.EMAIL_TIMEOUT)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        connection.drop()
        return Reply(Outcome.UNKNOWN, _reason(error))
    if not 200 <= code < 600:  # cut off, or garbage
        connection.drop()
        return Reply(Outcome.UNKNOWN, _words(code, text))
    return _classify(connection, code, text)


def _classify(connection: _Connection, code: int, text: bytes) -> Reply:
    """What an answer at RCPT or DATA means (RFC 5321 §4.2.1): about this mail, by its first digit."""
    if code == 421:
        connection.drop()
    if code // 100 == 2:
        return Reply(Outcome.ACCEPTED, _words(code, text))
    return Reply(Outcome.REFUSED if code // 100 == 5 else Outcome.DEFERRED, _words(code, text))


def _new() -> smtplib.SMTP:
    """A connection that is not open yet, so that the watchdog can hold it from its first byte."""
    smtp: Any
    if settings.EMAIL_USE_SSL:
        smtp = smtplib.SMTP_SSL(timeout=settings.EMAIL_TIMEOUT, context=_tls())
    else:
        smtp = smtplib.SMTP(timeout=settings.EMAIL_TIMEOUT)
    smtp._host = settings.EMAIL_HOST  # the name that TLS checks; smtplib sets it only where it connects at once
    return smtp  # type: ignore[no-any-return]


def _connect(smtp: smtplib.SMTP) -> None:
    """Open, secure and authenticate by EMAIL_URL."""
    code, text = smtp.connect(settings.EMAIL_HOST, settings.EMAIL_PORT)
    if code != 220:
        raise smtplib.SMTPConnectError(code, text)
    smtp.ehlo_or_helo_if_needed()
    if settings.EMAIL_USE_TLS:
        smtp.starttls(context=_tls())
        smtp.ehlo_or_helo_if_needed()  # what was said before TLS does not count (RFC 3207 §4.2)
    if settings.EMAIL_HOST_USER:
        smtp.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)


@cache
def _tls() -> ssl.SSLContext:
    """One context for all connections: loading the certificates takes longer than sending a mail."""
    return ssl.create_default_context()


def _words(code: int, text: bytes) -> str:
    words = text.decode(errors="replace")
    return f"{code} {''.join(char if char.isprintable() else ' ' for char in words)}".strip()


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        words = error.smtp_error
        return _words(error.smtp_code, words if isinstance(words, bytes) else str(words).encode())
    return f"{type(error).__name__}: {error}"
