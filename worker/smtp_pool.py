"""Connections to the mail server that stay open, shared by the threads of a process; and a deadline for each use."""

import logging
import os
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings

from core.circuit_breaker import CircuitBreaker

from .classification import error_text

logger = logging.getLogger(__name__)

IDLE = 5.0  # seconds after which an idle connection is closed: the mail server may count it against other processes
# Seconds of silence after which RSET asks whether the server is still there. Sendmail answers the 20th NOOP of a
# connection and further ones ever later, up to minutes.
IDLE_CHECK = 2.0
MAX_AGE = 300.0  # seconds after which a connection is renewed
MAX_MAILS = 100  # mails after which it is renewed
# The same for Exim: it delivers ten mails of a connection at once, and further ones with its next queue run, every 30
# minutes on Debian (smtp_accept_queue_per_connection).
MAX_MAILS_EXIM = 10
PATIENCE = 10.0  # seconds to wait for a free connection
NONE_FREE = "no connection was free"
TICK = 0.25  # seconds by which a deadline may be exceeded

# How Postfix, Exim, Sendmail and Exchange say that there are too many connections or mails. With "Too much load" Exim
# refuses everybody: fewer connections would not help, and another mail server does.
TOO_MUCH = re.compile(r"too (many|much(?! load))|concurrent|\b(rate|limit|frequen)", re.IGNORECASE)


class Unavailable(Exception):
    """The mail server can't be used at all; its text says why."""


class Busy(Exception):
    """No connection is free, and no more can be opened now; its text says why."""


@dataclass(frozen=True)
class Server:
    """A mail server, and how to sign in there."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    use_tls: bool = False
    use_ssl: bool = False


class Connection(smtplib.SMTP):
    """
    An open connection to a mail server, used by one thread at a time. One that `is_doubtful` is closed instead of used
    again.
    """

    def __init__(self, server: Server, until: float, **options: Any) -> None:
        """Open, secure and authenticate. Raises OSError (smtplib's errors are) or ValueError."""
        self.opened = self.used = time.monotonic()
        self.mails = 0
        self.max_mails = MAX_MAILS
        self.is_doubtful = False
        try:
            with self.deadline(until):
                options |= {"local_hostname": settings.EMAIL_HELO or None, "timeout": _share_of_address(server, until)}
                super().__init__(server.host, server.port, **options)
                if server.use_tls:
                    self.starttls(context=_tls())  # after an EHLO, whose answer no longer counts (RFC 3207 §4.2)
                self.ehlo_or_helo_if_needed()
                if server.username:
                    self.login(server.username, server.password)
        except BaseException:
            self.close()
            raise

    def connect(self, *args: Any, **options: Any) -> tuple[int, bytes]:
        code, greeting = super().connect(*args, **options)
        if b"Exim" in greeting:
            self.max_mails = MAX_MAILS_EXIM
        return code, greeting

    def ehlo(self, name: str = "") -> tuple[int, bytes]:
        code, words = super().ehlo(name)
        if code // 100 != 2 and code // 10 != 50:  # HELO is for servers that know no EHLO (RFC 5321 §3.2)
            raise smtplib.SMTPHeloError(code, words)  # a server that hangs up now would hide these words
        return code, words

    def getreply(self) -> tuple[int, bytes]:
        if self.sock and self.ehlo_resp is None:  # the greeting: only while connecting the addresses share the time
            self.sock.settimeout(settings.SMTP_TIMEOUT)
        return super().getreply()

    @contextmanager
    def deadline(self, until: float) -> Generator[None]:
        """
        Shut the socket at this monotonic time, so that its user gets an error. A socket's own time-out can't do this:
        it starts again with each byte of a server that trickles.
        """
        global _watcher  # noqa: PLW0603
        if not (_watcher and _watcher.is_alive()):  # a forked child has none
            _watcher = watcher = threading.Thread(target=_shut_late_sockets, name="deadlines", daemon=True)
            watcher.start()
        _deadlines[self] = until
        try:
            yield
        finally:
            del _deadlines[self]

    def is_good(self, until: float) -> bool:
        """Whether it may take another mail: not too old, and the server still answers."""
        now = time.monotonic()
        if self.mails >= self.max_mails or now - self.opened > MAX_AGE:
            return False
        if now - self.used < IDLE_CHECK:
            return True
        self.is_doubtful = True
        with self.deadline(until), suppress(OSError):
            self.is_doubtful = self.rset()[0] != 250
        return not self.is_doubtful

    def hang_up(self) -> None:
        """Close; with QUIT, and at most a second for its answer, unless the connection is doubtful."""
        if not self.is_doubtful:
            with self.deadline(time.monotonic() + 1.0), suppress(OSError):
                self.quit()
        self.close()


class SecureConnection(Connection, smtplib.SMTP_SSL):
    """The same, encrypted from the start."""


_deadlines: dict[Connection, float] = {}  # of the connections in use
_watcher: threading.Thread | None = None
os.register_at_fork(after_in_child=_deadlines.clear)  # they are the parent's


def _shut_late_sockets() -> None:
    while _watcher is threading.current_thread():  # connections that are opened at the same time start one each
        time.sleep(TICK)
        late = [connection for connection, until in list(_deadlines.items()) if until <= time.monotonic()]
        for connection in late:  # again at each tick: a socket may be opened after its deadline
            with suppress(OSError):
                if opened := connection.sock:
                    # Not an SSLSocket's own, which takes the encryption off first: its user may be writing.
                    socket.socket.shutdown(opened, socket.SHUT_RDWR)


class Pool:
    """
    At most EMAIL_MAX_CONNECTIONS connections to a mail server. The one that was used last is taken first, so that those
    that are not needed become idle, and are closed.

    A mail server that takes no more connections is not broken: threads wait in turn for one that is open, and after a
    pause one more is tried.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._turn = threading.Lock()  # held by the one thread that waits for a connection; the others wait for this
        self._changed = threading.Condition()
        self._idle: list[Connection] = []  # the one that was used last at the end
        self._places_taken = 0  # by connections that are idle, in use, or being opened
        self._growth = CircuitBreaker(first=2.0, longest=10.0)  # seconds without another connection after a refusal
        self._refusal = NONE_FREE
        self._closer: threading.Thread | None = None

    def take(self, *, until: float) -> Connection:
        """Return a connection for one mail; give it back. Raises Unavailable or Busy."""
        patience = min(until, time.monotonic() + PATIENCE)
        while True:
            kept = self._wait_for_place(patience)
            if kept and kept.is_good(until):
                return kept
            if kept:
                kept.hang_up()  # and its place is free for a new one
            if opened := self._open(until):
                return opened

    def give_back(self, connection: Connection) -> None:
        connection.used = time.monotonic()
        if connection.is_doubtful:
            connection.hang_up()
            self._free_places(1)
            return
        with self._changed:
            self._idle.append(connection)
            self._changed.notify()

    def close_idle(self, *, seconds: float = 0.0, doubtful: bool = False) -> None:
        """Close connections that have been idle for so long; without QUIT if they are doubtful."""
        before = time.monotonic() - seconds
        with self._changed:
            old = [each for each in self._idle if each.used <= before]
            self._idle = [each for each in self._idle if each.used > before]
        for each in old:
            each.is_doubtful = doubtful
            each.hang_up()
        self._free_places(len(old))

    def can_send(self) -> bool:
        """Whether there is a connection, idle or in use, or one may be opened now."""
        return self._places_taken > 0 or not self._growth.is_open

    def _wait_for_place(self, until: float) -> Connection | None:
        """Wait in turn for an idle connection; None: the place of one that the caller opens. Raises Busy."""
        if not self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            raise Busy(self._refusal)
        try:
            with self._changed:
                while True:
                    if self._idle:
                        return self._idle.pop()
                    if self._places_taken < settings.EMAIL_MAX_CONNECTIONS and self._growth.allow():
                        self._places_taken += 1
                        return None
                    left = until - time.monotonic()
                    if left <= 0 or not self._places_taken:
                        raise Busy(self._refusal)
                    self._changed.wait(min(left, 1.0))
        finally:
            self._turn.release()

    def _open(self, until: float) -> Connection | None:
        """Open a connection in a place of the caller; None if the server takes no more. Raises Unavailable."""
        opened: Connection | None = None
        try:
            self._start_closer()
            if self._server.use_ssl:
                opened = SecureConnection(self._server, until, context=_tls())
            else:
                opened = Connection(self._server, until)
            self._growth.succeeded()
            self._refusal = NONE_FREE
        except (OSError, ValueError) as error:  # ValueError: no AUTH can carry this password
            others = self._places_taken - 1
            if not _is_about_number(error, others=others):
                self._growth.cancelled()
                raise Unavailable(error_text(error)) from error
            self._growth.failed()
            self._refusal = error_text(error)
            logger.info("the mail server takes no more than %d connections: %s", others, self._refusal)
        finally:
            if not opened:
                self._free_places(1)
        return opened

    def _free_places(self, number: int) -> None:
        with self._changed:
            self._places_taken -= number
            self._changed.notify()

    def _start_closer(self) -> None:
        """Before the first mail: if the machine allows no more threads, the mail is not sent, nor repeated later."""
        with self._changed:
            if not (self._closer and self._closer.is_alive()):  # a forked child has none
                self._closer = threading.Thread(target=self._close_in_time, name="idle connections", daemon=True)
                self._closer.start()

    def _close_in_time(self) -> None:
        while True:
            time.sleep(1.0)
            self.close_idle(seconds=IDLE)


def _share_of_address(server: Server, until: float) -> float:
    """
    Seconds that each address of a server gets to answer, so that there is time for the last of them, and to send. No
    deadline ends the wait for a connection: there is no socket that could be shut.
    """
    addresses = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    left = max(1.0, until - time.monotonic())
    return min(float(settings.SMTP_TIMEOUT), left / (len(addresses) + 1))


@cache
def _tls() -> ssl.SSLContext:
    """One context for all connections: loading the certificates takes longer than sending a mail."""
    return ssl.create_default_context()


def _is_about_number(error: Exception, *, others: int) -> bool:
    """
    Whether a connection failed because there are too many: the server says so, or the failure is a passing one while
    `others` are open.
    """
    if isinstance(error, smtplib.SMTPResponseException):
        says_so = error.smtp_code == 421 and bool(TOO_MUCH.search(error_text(error)))
        return says_so or (others > 0 and error.smtp_code // 100 == 4)
    # An SSLError: Exim refuses before TLS begins.
    return others > 0 and isinstance(
        error, ConnectionError | TimeoutError | ssl.SSLError | smtplib.SMTPServerDisconnected
    )
