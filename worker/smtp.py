"""Hand a mail to the mail server over connections that stay open, and say what its answer means."""

import logging
import re
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from django.conf import settings

from core.circuit_breaker import CircuitBreaker

from .watchdog import guard

logger = logging.getLogger(__name__)

IDLE = 5.0  # seconds after which an idle connection is closed: the mail server may count it against other processes
IDLE_CHECK = 2.0  # seconds of silence after which a NOOP asks whether the server is still there
MAX_AGE = 300.0  # seconds, and
MAX_MAILS = 100  # mails, after which a connection is renewed
PATIENCE = 10.0  # seconds to wait for a free connection
AFTER_DOT = 20.0  # seconds to wait for the answer to DATA; RFC 5321 §4.5.3.2.6 asks for minutes, the lease allows this
DEADLINE = 30.0  # seconds for one send in all, waiting and connecting included

# How Postfix, Exim, Sendmail and Exchange say that it is about the number of connections or of mails.
TOO_MUCH = re.compile(r"too (many|much)|concurrent|\b(rate|limit|frequen)", re.IGNORECASE)

breaker = CircuitBreaker(
    first=5.0, longest=30.0
)  # seconds without a try after a fault of the service, or while it throttles
_throttled = threading.Event()  # that is what opened it


class Outcome(Enum):
    ACCEPTED = "accepted"
    DEFERRED = "deferred"  # not now: 4xx, a time-out, a hang-up before the final dot
    REFUSED = "refused"  # this mail never: 5xx about the recipient or the content
    UNAVAILABLE = "unavailable"  # the service's own fault: connecting, TLS, signing in, our sender address
    THROTTLED = "throttled"  # not now, nor any other mail: the server takes no more of them for a while
    BUSY = "busy"  # not tried: no connection was free, and the mail server takes no more of them
    DROPPED = "dropped"  # there is nothing to send
    UNKNOWN = "unknown"  # silence after the final dot: it may have been accepted


@dataclass(frozen=True)
class Reply:
    """What a mail server said, and what it means. `text` is its code and words, or the error that came instead."""

    outcome: Outcome
    text: str


class _Unavailable(Exception):
    """The mail server can't be used at all; carries the reason."""


class _Busy(Exception):
    """No connection is free, and no more can be opened now; carries the reason."""


class _HungUp(Exception):
    """The connection failed before the final dot: the mail was certainly not accepted."""


class _Client(smtplib.SMTP):
    """Connects at once, by EMAIL_URL; the watchdog holds it from its first byte, `until` that monotonic time."""

    def __init__(self, *, until: float, **options: Any) -> None:
        self._until = until
        super().__init__(settings.EMAIL_HOST, settings.EMAIL_PORT, timeout=settings.EMAIL_TIMEOUT, **options)

    def connect(self, *args: Any, **options: Any) -> tuple[int, bytes]:
        with guard(lambda: self.sock, seconds=self._until - time.monotonic()):
            return super().connect(*args, **options)


class _SecureClient(_Client, smtplib.SMTP_SSL):
    """The same, encrypted from the start."""


class _Connection:
    """An open connection, used by one thread at a time. `is_doubtful`: it must not be used again."""

    def __init__(self, *, until: float) -> None:
        """Open, secure and authenticate by EMAIL_URL. Raises OSError (smtplib's errors are) or ValueError."""
        self.opened = self.used = time.monotonic()
        self.mails = 0
        self.is_doubtful = False
        self.smtp = _SecureClient(until=until, context=_tls()) if settings.EMAIL_USE_SSL else _Client(until=until)
        try:
            with self.guarded(until):
                self._sign_in()
        except BaseException:
            self.smtp.close()
            raise

    def _sign_in(self) -> None:
        self.smtp.ehlo_or_helo_if_needed()
        if settings.EMAIL_USE_TLS:
            self.smtp.starttls(context=_tls())
            self.smtp.ehlo_or_helo_if_needed()  # what was said before TLS does not count (RFC 3207 §4.2)
        if settings.EMAIL_HOST_USER:
            self.smtp.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)

    @contextmanager
    def guarded(self, until: float) -> Iterator[None]:
        """Have the watchdog shut the socket at this monotonic time."""
        with guard(lambda: self.smtp.sock, seconds=until - time.monotonic()):
            yield

    def is_good(self, until: float) -> bool:
        """Whether it may take another mail: neither old nor worn, and the server still answers."""
        now = time.monotonic()
        if self.mails >= MAX_MAILS or now - self.opened > MAX_AGE:
            return False
        if now - self.used < IDLE_CHECK:
            return True
        self.is_doubtful = True
        with self.guarded(until), suppress(OSError):
            self.is_doubtful = self.smtp.noop()[0] != 250
        return not self.is_doubtful

    def reset(self, code: int) -> None:
        """End a transaction in which this was the last answer, so that the next can begin."""
        with suppress(OSError):
            self.is_doubtful = code == 421 or self.smtp.rset()[0] != 250

    def close(self) -> None:
        """Say goodbye where there is no doubt, within a moment, and hang up."""
        if not self.is_doubtful:
            with self.guarded(time.monotonic() + 1.0), suppress(OSError):
                self.smtp.quit()
        self.smtp.close()


class Pool:
    """
    The open connections of this process, EMAIL_MAX_CONNECTIONS at the most, shared by its threads. The newest is taken
    first, so that those that are not needed become idle, and are closed.

    A mail server that takes no more of them is not broken: threads wait in turn for one of those that it took, and
    after a pause one more is tried.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[_Connection] = []  # the newest last
        self._number = 0  # idle, in use, and being opened
        self._line: list[object] = []  # of threads that wait, the first first
        self._more = CircuitBreaker(first=2.0, longest=10.0)  # seconds without another connection after one was refused
        self._refusal = ""
        self._reaper: threading.Thread | None = None

    def take(self, *, until: float) -> _Connection:
        """Return a connection for one mail; give it back. Raises _Unavailable or _Busy."""
        patience = min(until, time.monotonic() + PATIENCE)
        while True:
            kept = self._next(patience)
            if kept and kept.is_good(until):
                return kept
            if kept:
                kept.close()
            try:
                return self._open(until)
            except (OSError, ValueError) as error:  # a password that no AUTH can carry, for one
                if not self._note_refusal(error):
                    raise _Unavailable(reason(error)) from error

    def give_back(self, connection: _Connection) -> None:
        connection.used = time.monotonic()
        if connection.is_doubtful:
            connection.close()
        with self._changed:
            if connection.is_doubtful:
                self._number -= 1
            else:
                self._idle.append(connection)
                if self._reaper is None or not self._reaper.is_alive():  # a forked child has none yet
                    self._reaper = threading.Thread(target=self._reap, name="idle connections", daemon=True)
                    self._reaper.start()
            self._changed.notify_all()

    def close_idle(self, *, seconds: float = 0.0, doubtful: bool = False) -> None:
        """Close connections that have been idle for so long; without a word where they are doubtful."""
        before = time.monotonic() - seconds
        with self._changed:
            old = [each for each in self._idle if each.used <= before]
            self._idle = [each for each in self._idle if each.used > before]
        for each in old:
            each.is_doubtful = doubtful
            each.close()
        with self._changed:
            self._number -= len(old)
            self._changed.notify_all()

    def can_send(self) -> bool:
        """Whether there is a connection, be it in use, or one may be opened."""
        return self._number > 0 or not self._more.is_open

    def _next(self, until: float) -> _Connection | None:
        """Wait in turn for an idle connection, or for leave to open one (None). Raises _Busy."""
        me = object()
        with self._changed:
            self._line.append(me)
            try:
                while True:
                    if self._line[0] is me and self._idle:
                        return self._idle.pop()
                    if self._line[0] is me and self._may_open():
                        self._number += 1
                        return None
                    left = until - time.monotonic()
                    if left <= 0 or (self._line[0] is me and not self._number):
                        raise _Busy(self._refusal or "no connection was free")
                    self._changed.wait(min(left, 1.0))
            finally:
                self._line.remove(me)
                self._changed.notify_all()

    def _may_open(self) -> bool:
        return self._number < settings.EMAIL_MAX_CONNECTIONS and self._more.allow()

    def _open(self, until: float) -> _Connection:
        try:
            connection = _Connection(until=until)
        except BaseException:
            with self._changed:
                self._number -= 1
                self._changed.notify_all()
            raise
        self._more.succeeded()
        self._refusal = ""
        return connection

    def _note_refusal(self, error: OSError | ValueError) -> bool:
        """A connection could not be opened. Return whether only because there are too many."""
        if says_too_many(error) or (self._number > 0 and _may_mean_too_many(error)):
            self._more.failed()
            self._refusal = reason(error)
            logger.info("the mail server takes no more than %d connections: %s", self._number, self._refusal)
            return True
        self._more.cancelled()
        return False

    def _reap(self) -> None:
        """Close idle connections in time, as long as there are any."""
        while True:
            time.sleep(min(1.0, IDLE))
            self.close_idle(seconds=IDLE)
            with self._changed:
                if not self._idle:
                    self._reaper = None
                    return


_pool = Pool()


def can_send() -> bool:
    """Whether this process has a connection to the mail server, be it in use, or may open one."""
    return _pool.can_send()


def is_broken() -> bool:
    """Whether the mail server is left alone as it can't be used: not only as it throttles."""
    return breaker.is_open and not _throttled.is_set()


def close_connections() -> None:
    """Close the connections that nobody uses now."""
    _pool.close_idle()


def send(*, sender: str, recipient: str, message: bytes | None) -> Reply:
    """
    Send one message (CRLF line ends, 7 bit), within DEADLINE seconds. None: only ask whether the server would take a
    message for this recipient, and send nothing.

    Never raises for what a server does. A fault of the service opens the breaker, and so does one that takes no more
    mails for a while; any other answer closes it.
    """
    reply = _send(sender, recipient, message, time.monotonic() + DEADLINE)
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


def _send(sender: str, recipient: str, message: bytes | None, until: float) -> Reply:
    for _ in range(2):
        try:
            connection = _pool.take(until=until)
        except _Unavailable as error:
            return Reply(Outcome.UNAVAILABLE, str(error))
        except _Busy as error:
            return Reply(Outcome.BUSY, str(error))
        is_fresh = connection.mails == 0
        try:
            with connection.guarded(until):
                return _transmit(connection, sender, recipient, message)
        except _HungUp as error:
            if is_fresh or time.monotonic() >= until:
                return Reply(Outcome.DEFERRED, str(error))
            _pool.close_idle(doubtful=True)  # what closed this one may have closed them all: a free try on a new one
        finally:
            _pool.give_back(connection)
    return Reply(Outcome.DEFERRED, "the server keeps hanging up")


@contextmanager
def session() -> Iterator[smtplib.SMTP]:
    """A connection of its own, open, secured and signed in within DEADLINE seconds. Raises what smtplib raises."""
    until = time.monotonic() + DEADLINE
    connection = _Connection(until=until)
    try:
        with connection.guarded(until):
            yield connection.smtp
    finally:
        connection.close()


def _transmit(connection: _Connection, sender: str, recipient: str, message: bytes | None) -> Reply:
    """One transaction, MAIL to the answer to the dot. Raises _HungUp before the dot."""
    smtp, is_fresh = connection.smtp, connection.mails == 0
    connection.mails += 1
    connection.is_doubtful = True  # until its last answer is known
    try:
        code, text = smtp.mail(sender)
        if code == 421 and not is_fresh:
            raise _HungUp(_words(code, text))
        if code != 250:
            too_much = code // 100 == 4 and TOO_MUCH.search(_words(code, text))
            return Reply(Outcome.THROTTLED if too_much else Outcome.UNAVAILABLE, _words(code, text))
        code, text = smtp.rcpt(recipient)
        if code == 421 and not is_fresh:
            raise _HungUp(_words(code, text))
        if code == 552:
            code = 452  # at RCPT it means "too many recipients now" (RFC 5321 §4.5.3.1.10)
        if code in (250, 251) and message is not None:
            code, text = smtp.docmd("DATA")
            if code == 354:
                smtp.send(message.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n") + b"\r\n.\r\n")
                return _after_dot(connection)
    except (OSError, ValueError) as error:
        raise _HungUp(reason(error)) from error
    connection.reset(code)
    return _classify(code, text)


def _after_dot(connection: _Connection) -> Reply:
    smtp = connection.smtp
    try:
        if smtp.sock:
            smtp.sock.settimeout(AFTER_DOT)
        code, text = smtp.getreply()
        if smtp.sock:
            smtp.sock.settimeout(settings.EMAIL_TIMEOUT)
    except (OSError, ValueError) as error:
        return Reply(Outcome.UNKNOWN, reason(error))
    if not 200 <= code < 600:  # cut off, or garbage
        return Reply(Outcome.UNKNOWN, _words(code, text))
    connection.is_doubtful = code == 421
    return _classify(code, text)


def _classify(code: int, text: bytes) -> Reply:
    """What an answer at RCPT or DATA means (RFC 5321 §4.2.1): about this mail, by its first digit."""
    if code // 100 == 2:
        return Reply(Outcome.ACCEPTED, _words(code, text))
    return Reply(Outcome.REFUSED if code // 100 == 5 else Outcome.DEFERRED, _words(code, text))


def says_too_many(error: Exception) -> bool:
    """Whether a server that hangs up says that it is about the number of connections."""
    is_421 = isinstance(error, smtplib.SMTPResponseException) and error.smtp_code == 421
    return is_421 and bool(TOO_MUCH.search(reason(error)))


def _may_mean_too_many(error: Exception) -> bool:
    """Whether it may be about their number, where others are open: what is wrong passes, or nothing was said."""
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code // 100 == 4
    return isinstance(error, (ConnectionError, TimeoutError, smtplib.SMTPServerDisconnected))


@cache
def _tls() -> ssl.SSLContext:
    """One context for all connections: loading the certificates takes longer than sending a mail."""
    return ssl.create_default_context()


def _words(code: int, text: bytes) -> str:
    words = text.decode(errors="replace")
    return f"{code} {''.join(char if char.isprintable() else ' ' for char in words)}".strip()


def reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        words = error.smtp_error
        return _words(error.smtp_code, words if isinstance(words, bytes) else str(words).encode())
    return f"{type(error).__name__}: {error}"
