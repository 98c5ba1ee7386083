"""Mailers: one for EMAIL_URL, and one for EMAIL_FALLBACK_URL, which is used while the first can't be."""

import logging
import threading
from functools import cache
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.module_loading import import_string

from core.circuit_breaker import CircuitBreaker

from . import mail_service
from .classification import Outcome, Reply
from .smtp import EmailBackend

logger = logging.getLogger(__name__)


class Mailer:
    """A Django email backend and its circuit breaker, for all threads of a process."""

    def __init__(self, position: int) -> None:
        self.position = position  # in MAIL_ROUTES: 0 is EMAIL_URL's
        self.breaker = CircuitBreaker(first=5.0, longest=30.0)  # seconds without a try after a fault of the service
        self._is_throttled = False  # whether the service, which isn't at fault, takes no more mails for a while
        self._of_thread = threading.local()

    @property
    def name(self) -> str:
        return ("EMAIL_URL", "EMAIL_FALLBACK_URL")[self.position]

    @property
    def backend(self) -> Any:
        """This thread's own backend, with its settings: not every backend may be shared."""
        if not hasattr(self._of_thread, "backend"):
            route = settings.MAIL_ROUTES[self.position]
            self._of_thread.backend = import_string(route.backend)(**route.options)
        return self._of_thread.backend

    def submit(self, message: EmailMessage, *, only_ask: bool = False) -> Reply:
        """
        Send one message, or with `only_ask` ask whether it would be taken, and send nothing; `can_ask` says who can.

        Never raises for what a server does; a message that can't be written raises before anything is sent. A fault of
        the service opens the circuit breaker, and so does a server that takes no more mails for a while; any other
        answer closes it.
        """
        backend = self.backend
        if isinstance(backend, EmailBackend):
            reply = backend.submit(message, only_ask=only_ask)
        else:
            reply = mail_service.submit(backend, message)
        if reply.outcome is Outcome.UNAVAILABLE:
            self._is_throttled = False
            self.breaker.failed()
            logger.warning("the mail server of %s can't be used: %s", self.name, reply.text)
        elif reply.outcome is Outcome.THROTTLED:
            self._is_throttled = True
            self.breaker.failed()
            logger.warning("the mail server of %s takes no more mails for a while: %s", self.name, reply.text)
        elif reply.outcome is not Outcome.BUSY:
            self.breaker.succeeded()
        return reply

    @property
    def can_ask(self) -> bool:
        """Whether it can be asked for a recipient without a mail."""
        return isinstance(self.backend, EmailBackend)

    def can_send(self) -> bool:
        """Whether this process has a connection to the mail server, free or in use, or may open one."""
        return not isinstance(self.backend, EmailBackend) or self.backend.pool.can_send()

    @property
    def is_broken(self) -> bool:
        """Whether the mail server is left alone because it can't be used, and not because it throttles."""
        return self.breaker.is_open and not self._is_throttled


@cache
def every() -> list[Mailer]:
    """All mailers of this process, in the order in which they are tried."""
    return [Mailer(position) for position in range(len(settings.MAIL_ROUTES))]


def choose() -> Mailer | None:
    """The first mailer whose circuit breaker is not open; the caller may try it. None if none can be used now."""
    for mailer in every():
        if mailer.breaker.is_open:
            continue
        if not mailer.can_send():
            return None  # the connections are all with other processes, and these send
        if mailer.breaker.allow():
            return mailer
    return None
