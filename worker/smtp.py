"""An email backend for mail servers: it keeps its connections, has a total deadline, and reports each answer."""

import smtplib
import time
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.encoding import punycode

from .classification import Cause, Outcome, Reply, cause_of, error_text, reply_about_mail, reply_text
from .smtp_pool import TOO_MUCH, Busy, Connection, Pool, Server, Unavailable

AFTER_DOT = 20.0  # seconds to wait for the answer to DATA; RFC 5321 §4.5.3.2.6 asks for minutes
DEADLINE = 30.0  # seconds for one mail in all, waiting and connecting included

_pools: dict[Server, Pool] = {}  # of the process: Django makes a new backend object for each caller


class EmailBackend(BaseEmailBackend):
    """
    `send_messages` is Django's. Workers call `submit` with a message to one recipient; it returns the server's answer.
    Connections open when needed, and `close` closes those that are not in use. Of the options of Django's own SMTP
    backend it takes host, port, username, password, use_tls and use_ssl; EMAIL_URL says those that are not given.
    """

    def __init__(self, *, fail_silently: bool = False, alias: str | None = None, **options: Any) -> None:
        super().__init__(alias=alias)
        self.fail_silently = fail_silently
        given = {name: value for name, value in options.items() if value is not None}
        self.server = Server(**settings.MAIL_ROUTES[0].options | given)
        self.pool = _pools.setdefault(self.server, Pool(self.server))

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """
        Return how many were accepted for all their recipients. Raises SMTPException after the first other one, unless
        `fail_silently`.
        """
        accepted = 0
        for message in email_messages:
            replies = [self.submit(message, recipient=each) for each in message.recipients()]
            refused = [reply.text for reply in replies if reply.outcome is not Outcome.ACCEPTED]
            if refused and not self.fail_silently:
                raise smtplib.SMTPException(refused[0])
            accepted += bool(replies) and not refused
        return accepted

    def submit(self, message: EmailMessage, *, probe: bool = False, recipient: str = "") -> Reply:
        """
        Send one message to `recipient`, by default its first, within DEADLINE seconds. With `probe`, ask whether the
        server would take a message for this recipient, and send nothing.

        Never raises for what a server does; a message that can't be written raises before anything is sent.
        """
        content = message.message().as_bytes().replace(b"\n", b"\r\n")
        sender, recipient = map(_in_envelope, (message.from_email, recipient or message.recipients()[0]))
        return _send(self.pool, sender, recipient, None if probe else content, until=time.monotonic() + DEADLINE)

    def leave_open(self) -> None:
        """Open a connection, or use one that is open, as for a mail."""
        with suppress(Unavailable, Busy):
            self.pool.give_back(self.pool.take(until=time.monotonic() + DEADLINE))

    def close(self) -> None:
        self.pool.close_idle()


def _in_envelope(address: str) -> str:
    """The address alone, its domain in ASCII, as Django's own backend sends it."""
    local, at, domain = parseaddr(address)[1].rpartition("@")
    return f"{local}{at}{domain if domain.isascii() else punycode(domain)}"


class _HungUp(Exception):
    """
    The connection failed before the final dot: the mail was certainly not accepted. `outcome` is that of the mail if
    another connection does not take it either.
    """

    def __init__(self, text: str, outcome: Outcome = Outcome.DEFERRED) -> None:
        super().__init__(text)
        self.outcome = outcome


def _send(pool: Pool, sender: str, recipient: str, content: bytes | None, *, until: float) -> Reply:
    for _ in range(2):
        try:
            connection = pool.take(until=until)
        except Unavailable as error:
            return Reply(Outcome.UNAVAILABLE, str(error))
        except Busy as error:
            return Reply(Outcome.BUSY, str(error))
        is_fresh = connection.mails == 0
        try:
            with connection.deadline(until):
                return _transmit(connection, sender, recipient, content)
        except _HungUp as error:
            reply = Reply(error.outcome, str(error))
            if is_fresh or time.monotonic() >= until:
                break
            pool.close_idle(doubtful=True)  # what closed this one may have closed them all: a free try on a new one
        finally:
            pool.give_back(connection)
    return reply


def _transmit(connection: Connection, sender: str, recipient: str, content: bytes | None) -> Reply:
    """One transaction, from MAIL to the answer after the final dot. Raises _HungUp before the dot."""
    is_fresh = connection.mails == 0
    connection.mails += 1
    connection.is_doubtful = True  # until its last answer is known
    try:
        code, text = connection.mail(sender)
    except (OSError, ValueError) as error:
        if is_fresh:  # it does not know the recipient yet: it would not answer any other mail either
            return Reply(Outcome.UNAVAILABLE, error_text(error))
        raise _HungUp(error_text(error)) from error
    if code // 100 != 2:
        words = reply_text(code, text)
        cause = cause_of(words)
        is_throttled = code // 100 == 4 and bool(cause is Cause.RATE or TOO_MUCH.search(words))
        if not is_fresh and (code == 421 or is_throttled):  # OpenSMTPD's limit of mails for a connection is a 452
            raise _HungUp(words, Outcome.THROTTLED if is_throttled else Outcome.DEFERRED)
        if is_throttled:
            return Reply(Outcome.THROTTLED, words)
        # No place on its disk, no sign-in, and 4.3.x or 4.4.x are about the server, whoever the sender is.
        is_about_sender = code not in (421, 452, 530) and cause is not Cause.SERVICE
        return Reply(Outcome.UNAVAILABLE, words, is_about_sender=is_about_sender)
    try:
        return _hand_over(connection, recipient, content)
    except (OSError, ValueError) as error:
        raise _HungUp(error_text(error)) from error


def _hand_over(connection: Connection, recipient: str, content: bytes | None) -> Reply:
    """RCPT and DATA. Raises _HungUp, OSError or ValueError before the final dot."""
    code, text = connection.rcpt(recipient)
    counts_as_452 = code == 552  # "too many recipients" (RFC 5321 §4.5.3.1.10), or a mailbox that is full now
    if code // 100 == 2 and content is not None:  # the first digit decides (RFC 5321 §4.2.1)
        code, text = connection.docmd("DATA")
        if code == 354:
            connection.send(content.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n") + b"\r\n.\r\n")
            return _after_dot(connection)
        if code // 100 == 2:  # the answer to another command: the mail is still here
            raise _HungUp(f"no 354 to DATA: {reply_text(code, text)}")
    if code == 421:
        raise _HungUp(reply_text(code, text))
    with suppress(OSError):  # end this transaction, so that the next can begin
        connection.is_doubtful = connection.rset()[0] != 250
    return reply_about_mail(452 if counts_as_452 else code, reply_text(code, text))


def _after_dot(connection: Connection) -> Reply:
    try:
        if connection.sock:
            connection.sock.settimeout(AFTER_DOT)
        code, text = connection.getreply()
        if connection.sock:
            connection.sock.settimeout(settings.SMTP_TIMEOUT)
    except (OSError, ValueError) as error:
        return Reply(Outcome.UNKNOWN, error_text(error))
    if not 200 <= code < 600:  # cut off, or garbage
        return Reply(Outcome.UNKNOWN, reply_text(code, text))
    connection.is_doubtful = code == 421
    return reply_about_mail(code, reply_text(code, text))
