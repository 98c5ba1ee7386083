"""Mailers: one for EMAIL_URL, and one for EMAIL_FALLBACK_URL, which is used while the first can't be."""

import logging
import re
import threading
import time
from dataclasses import replace
from email.utils import parseaddr
from functools import cache
from typing import Any

import django
from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.module_loading import import_string

from core.circuit_breaker import CircuitBreaker
from core.mail_urls import Route
from core.observability import redaction

from . import mail_service
from .classification import Outcome, Reply, without_code
from .smtp import EmailBackend

logger = logging.getLogger(__name__)

# Seconds after which an idle connection to a service is not used again: some routers on the way forget idle ones, AWS's
# after 350 s, and then nobody could tell whether the service took the next mail.
IDLE = 60.0
PAUSE, LONGEST_PAUSE = 5.0, 30.0  # seconds without a try after a fault of the service; longest after further ones


class Mailer:
    """A Django email backend and its circuit breaker, for all threads of a process."""

    def __init__(self, name: str, route: Route) -> None:
        self.name = name  # the variable that names the mail server
        self._route = route
        self.breaker = CircuitBreaker(first=PAUSE, longest=LONGEST_PAUSE)
        self._senders: set[str] = set()  # of mails that it took: each language may have a sender of its own
        self._is_throttled = False  # whether the service, which isn't at fault, takes no more mails for a while
        self._of_thread = threading.local()

    @property
    def backend(self) -> Any:
        """
        This thread's own backend, with its settings: not every backend may be shared. If the settings name one of
        Django's own backends instead, as while tests run, that one: then no mail leaves.
        """
        if path := _djangos_own():
            return import_string(path)()
        if not hasattr(self._of_thread, "backend"):
            self._of_thread.backend = import_string(self._route.backend)(**self._route.options)
        return self._of_thread.backend

    def submit(self, message: EmailMessage, *, probe: bool = False) -> Reply:
        """
        Send one message, or with `probe` ask whether it would be taken, and send nothing: only if `can_probe`.

        Never raises for what a server does; a message that can't be written raises before anything is sent. A fault of
        the service opens the circuit breaker, and so does a server that takes no more mails for a while; any other
        answer closes it.
        """
        reply = self._hand_over(message, probe=probe)
        text = redaction.without_tokens(reply.text)  # some filters quote the link that they refuse
        for code in re.findall(r"\d{4,}", str(message.subject)):
            text = without_code(text, code)
        reply = replace(reply, text=text)
        self._note(reply, sender=parseaddr(message.from_email)[1])
        return reply

    def _hand_over(self, message: EmailMessage, *, probe: bool) -> Reply:
        backend = self.backend
        if isinstance(backend, EmailBackend):
            return backend.submit(message, probe=probe)
        if _djangos_own():
            backend.send_messages([message])
            return Reply(Outcome.ACCEPTED, f"250 {type(backend).__module__}")
        if not hasattr(backend, "esp_name"):  # it would send the mail at each try, and say nothing that can be read
            raise TypeError(f"{type(backend).__module__} is no backend of Anymail")
        if time.monotonic() - getattr(self._of_thread, "used_at", 0.0) > IDLE:
            backend.close()
        reply = mail_service.submit(backend, message)
        self._of_thread.used_at = time.monotonic()
        return reply

    def _note(self, reply: Reply, *, sender: str) -> None:
        """Open or close the circuit breaker by an answer."""
        if reply.outcome is Outcome.ACCEPTED:
            self._senders.add(sender)
        if reply.is_about_sender and self._senders and sender not in self._senders:
            return  # perhaps it refuses only this sender, which is that of one language
        if reply.is_for_any_mail:
            self._is_throttled = reply.outcome is Outcome.THROTTLED
            self.breaker.failed()
            fault = "takes no more mails for a while" if self._is_throttled else "can't be used"
            logger.warning("the mail server of %s %s: %s", self.name, fault, reply.text)
        elif reply.outcome is not Outcome.BUSY:
            self.breaker.succeeded()

    @property
    def can_probe(self) -> bool:
        """Whether it can be asked about a recipient without a mail."""
        return isinstance(self.backend, EmailBackend)

    def leave_open(self) -> None:
        """Open a connection as a mail would: else the next mail would take longer, as it would after no mail at all."""
        if isinstance(self.backend, EmailBackend):
            self.backend.leave_open()

    def can_send(self) -> bool:
        """Whether this process has a connection to the mail server, free or in use, or may open one."""
        return not isinstance(self.backend, EmailBackend) or self.backend.pool.can_send()

    @property
    def is_broken(self) -> bool:
        """Whether the mail server is left alone because it can't be used, and not because it throttles."""
        return self.breaker.is_open and not self._is_throttled


def _djangos_own() -> str:
    """
    The backend that Django's own functions use, if it is one of Django's that sends nothing: memory, console or file.
    With Django's SMTP backend, as many sites have it for their own mail, ours still leave by EMAIL_URL.
    """
    path = str(settings.MAILERS["default"]["BACKEND"] if django.VERSION >= (6, 1) else settings.EMAIL_BACKEND)
    return path if re.match(r"django\.core\.mail\.backends\.(?!smtp\.)", path) else ""


@cache
def every() -> list[Mailer]:
    """All mailers of this process, in the order in which they are tried."""
    return [Mailer(*each) for each in zip(("EMAIL_URL", "EMAIL_FALLBACK_URL"), settings.MAIL_ROUTES, strict=False)]


def can_take_over() -> bool:
    """Whether one mail server is left alone and another is not: a mail can leave by that at once."""
    return {mailer.breaker.is_open for mailer in every()} == {True, False}


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
