"""Django's email backend for EMAIL_URL: it keeps its connections, has a total deadline, and reports each answer."""

import logging
import smtplib
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from enum import Enum

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from core.circuit_breaker import CircuitBreaker

from .classification import Cause, classify
from .smtp_pool import TOO_MUCH, Busy, Connection, Pool, Unavailable, printable, reason

logger = logging.getLogger(__name__)

AFTER_DOT = 20.0  # seconds to wait for the answer to DATA; RFC 5321 §4.5.3.2.6 asks for minutes, the lease allows this
DEADLINE = 30.0  # seconds for one mail in all, waiting and connecting included

# Of the process, as its connections are: Django makes a new backend object for each caller.
breaker = CircuitBreaker(first=5.0, longest=30.0)  # seconds without a try after a fault of the service
_throttled = threading.Event()  # the service isn't at fault: it takes no more mails for a while
_pool = Pool()


class Outcome(Enum):
    ACCEPTED = "accepted"
    DEFERRED = "deferred"  # not now: 4xx, 5xx about our rate, a time-out, a hang-up before the final dot
    REFUSED = "refused"  # this mail never: 5xx about the recipient or the content, and not about our rate
    UNAVAILABLE = "unavailable"  # the service's own fault: connecting, TLS, signing in, our sender address
    THROTTLED = "throttled"  # not now, nor any other mail: the server takes no more of them for a while
    BUSY = "busy"  # not tried: no connection was free, and the mail server takes no more of them
    DROPPED = "dropped"  # there is nothing to send
    UNKNOWN = "unknown"  # silence after the final dot: it may have been accepted


@dataclass(frozen=True)
class Reply:
    """The answer to a mail, and its meaning. `text` is the server's code and words, or the error that came instead."""

    outcome: Outcome
    text: str

    @property
    def cause(self) -> Cause | None:
        """Whose it is that this mail was refused or deferred; None where the server did not answer so."""
        return classify(self.text) if self.outcome in (Outcome.REFUSED, Outcome.DEFERRED) else None

    @property
    def is_refusal(self) -> bool:
        """Whether the server called it permanent, though a refusal because of our rate is tried again."""
        return self.cause is not None and self.text.startswith("5")


class EmailBackend(BaseEmailBackend):
    """
    Each message has one recipient. `send_messages` is Django's; workers call `submit`, which returns the server's
    answer. Connections open when they are needed, and `close` closes those that are not in use.
    """

    @property
    def breaker(self) -> CircuitBreaker:
        """Open while the mail server is left alone, as it is broken or throttles."""
        return breaker

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Return how many were accepted. Raises SMTPException at the first other one, unless `fail_silently`."""
        replies = []
        for message in email_messages:
            replies.append(self.submit(message))
            if replies[-1].outcome is not Outcome.ACCEPTED and not self.fail_silently:
                raise smtplib.SMTPException(replies[-1].text)
        return sum(reply.outcome is Outcome.ACCEPTED for reply in replies)

    def submit(self, message: EmailMessage, *, only_ask: bool = False) -> Reply:
        """
        Send one message within DEADLINE seconds. With `only_ask`, ask whether the server would take a message for this
        recipient, and send nothing.

        Never raises for what a server does; a message that can't be written raises before anything is sent. A fault of
        the service opens the circuit breaker, and so does a server that takes no more mails for a while; any other
        answer closes it.
        """
        content = message.message().as_bytes(linesep="\r\n")
        sender, [recipient] = parseaddr(message.from_email)[1], message.recipients()
        reply = _send(sender, recipient, None if only_ask else content, until=time.monotonic() + DEADLINE)
        if reply.outcome is Outcome.UNAVAILABLE:
            _throttled.clear()
            breaker.failed()
            logger.warning("the mail server can't be used: %s", reply.text)
        elif reply.outcome is Outcome.THROTTLED:
            _throttled.set()
            breaker.failed()
            logger.warning("the mail server takes no more mails for a while: %s", reply.text)
        elif reply.outcome is not Outcome.BUSY:
            breaker.succeeded()
        return reply

    def can_send(self) -> bool:
        """Whether this process has a connection to the mail server, be it in use, or may open one."""
        return _pool.can_send()

    def close(self) -> None:
        _pool.close_idle()


def is_broken() -> bool:
    """Whether the mail server is left alone because it can't be used, and not because it throttles."""
    return breaker.is_open and not _throttled.is_set()


class _HungUp(Exception):
    """The connection failed before the final dot: the mail was certainly not accepted."""


def _send(sender: str, recipient: str, content: bytes | None, *, until: float) -> Reply:
    for _ in range(2):
        try:
            connection = _pool.take(until=until)
        except Unavailable as error:
            return Reply(Outcome.UNAVAILABLE, str(error))
        except Busy as error:
            return Reply(Outcome.BUSY, str(error))
        is_fresh = connection.mails == 0
        try:
            with connection.deadline(until):
                return _transmit(connection, sender, recipient, content)
        except _HungUp as error:
            if is_fresh or time.monotonic() >= until:
                return Reply(Outcome.DEFERRED, str(error))
            _pool.close_idle(doubtful=True)  # what closed this one may have closed them all: a free try on a new one
        finally:
            _pool.give_back(connection)
    return Reply(Outcome.DEFERRED, "the server keeps hanging up")


def _transmit(connection: Connection, sender: str, recipient: str, content: bytes | None) -> Reply:
    """One transaction, from MAIL to the answer after the final dot. Raises _HungUp before the dot."""
    is_fresh = connection.mails == 0
    connection.mails += 1
    connection.is_doubtful = True  # until its last answer is known
    try:
        code, text = connection.mail(sender)
        if code == 421 and not is_fresh:
            raise _HungUp(printable(code, text))
        if code != 250:
            too_much = code // 100 == 4 and TOO_MUCH.search(printable(code, text))
            return Reply(Outcome.THROTTLED if too_much else Outcome.UNAVAILABLE, printable(code, text))
        code, text = connection.rcpt(recipient)
        if code == 421:
            raise _HungUp(printable(code, text))
        if code == 552:
            code = 452  # at RCPT it means "too many recipients now" (RFC 5321 §4.5.3.1.10)
        if code in (250, 251) and content is not None:
            code, text = connection.docmd("DATA")
            if code == 354:
                connection.send(content.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n") + b"\r\n.\r\n")
                return _after_dot(connection)
    except (OSError, ValueError) as error:
        raise _HungUp(reason(error)) from error
    with suppress(OSError):  # end this transaction, so that the next can begin
        connection.is_doubtful = code == 421 or connection.rset()[0] != 250
    return _classify(code, text)


def _after_dot(connection: Connection) -> Reply:
    try:
        if connection.sock:
            connection.sock.settimeout(AFTER_DOT)
        code, text = connection.getreply()
        if connection.sock:
            connection.sock.settimeout(settings.EMAIL_TIMEOUT)
    except (OSError, ValueError) as error:
        return Reply(Outcome.UNKNOWN, reason(error))
    if not 200 <= code < 600:  # cut off, or garbage
        return Reply(Outcome.UNKNOWN, printable(code, text))
    connection.is_doubtful = code == 421
    return _classify(code, text)


def _classify(code: int, text: bytes) -> Reply:
    """
    The meaning of an answer at RCPT or DATA (RFC 5321 §4.2.1): it is about this mail. Large services say 5xx where they
    limit a rate, and take the same mail some minutes later.
    """
    words = printable(code, text)
    if code // 100 == 5 and classify(words) is not Cause.RATE:
        return Reply(Outcome.REFUSED, words)
    return Reply(Outcome.ACCEPTED if code // 100 == 2 else Outcome.DEFERRED, words)
