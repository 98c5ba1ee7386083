"""Health checks of what brings a mail from the commit to the mailbox: broker, workers, sweeper, outbox, mail server."""

import smtplib
import ssl

from celery import current_app
from django.conf import settings
from django.db.models import Count, Max, Min
from django.db.models.functions import Coalesce, Now
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from core.checks import is_local
from core.health.registry import Finding, failed, ok, skipped, warning
from core.observability import redaction

from . import checks, heartbeat, messages, smtp
from .models import Delivery, Heartbeat
from .smtp import Outcome

MAX_WAIT = 60  # seconds for which a mail may be overdue or deferred before it is a warning


def broker() -> Finding:
    """Whether it takes a connection, and which transport it is."""
    with current_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
        return ok(connection.transport_cls or "")


def workers() -> Finding:
    """The names of the workers that answer over the broker."""
    if settings.CELERY_BROKER_URL.startswith("memory"):
        return skipped(_("the broker is this process's own memory"))
    answers = current_app.control.ping(timeout=1.5) or []
    names = sorted(name for answer in answers for name in answer)
    if not names:
        return failed(_("no worker answers: start one with celery -A worker worker"))
    return ok(", ".join(names))


def sweeper() -> Finding:
    """When a sweeper last ran, by the heartbeats in the database."""
    found = Heartbeat.objects.aggregate(last=Max("beat_at"), now=Max(Now()))
    if found["last"] is None:
        return failed(_("no sweeper has run: each worker has one, or run manage.py sweep"))
    age = max(0, int((found["now"] - found["last"]).total_seconds()))
    text = _("last run %(seconds)d s ago") % {"seconds": age}
    return ok(text) if age <= heartbeat.ALIVE.total_seconds() else failed(text)


def waiting_mails() -> Finding:
    """How many mails are due and how many the mail server deferred, and for how long the oldest has waited."""
    due, deferred = Delivery.objects.due(), Delivery.objects.deferred()
    overdue = due.aggregate(n=Count("pk"), since=Min("next_attempt_at"), now=Max(Now()))
    waiting = deferred.aggregate(n=Count("pk"), since=Min(Coalesce("admitted_at", "created_at")), now=Max(Now()))
    texts, longest = [_("no mail is due")], 0
    if overdue["n"]:
        longest = int((overdue["now"] - overdue["since"]).total_seconds())
        text = ngettext("%(n)d is due, for %(seconds)d s", "%(n)d are due, the oldest for %(seconds)d s", overdue["n"])
        texts = [text % {"n": overdue["n"], "seconds": longest}]
    if waiting["n"]:
        age = int((waiting["now"] - waiting["since"]).total_seconds())
        text = ngettext(
            "the mail server deferred %(n)d, which has waited for %(seconds)d s",
            "the mail server deferred %(n)d, the oldest of which has waited for %(seconds)d s",
            waiting["n"],
        )
        reply = deferred.order_by("-next_attempt_at").values_list("last_reply", flat=True).first() or ""
        texts += [text % {"n": waiting["n"], "seconds": age}, redaction.scrub(reply)]
        longest = max(longest, age)
    return (ok if longest <= MAX_WAIT else warning)("; ".join(texts))


def mail_server() -> Finding:
    """Connect, EHLO, TLS and AUTH by EMAIL_URL, as a worker does; nothing is sent."""
    try:
        return _connect()
    except smtplib.SMTPResponseException as error:
        if smtp.says_too_many(error):
            return warning(_("it takes no more connections from here now: %(reply)s") % {"reply": smtp.reason(error)})
        raise


def _connect() -> Finding:
    with smtp.session() as connection:
        connection.ehlo_or_helo_if_needed()
        socket = connection.sock
        tls = socket.version() if isinstance(socket, ssl.SSLSocket) else None
    facts = [f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}", tls or _("without TLS")]
    facts += [_("signed in")] if settings.EMAIL_HOST_USER else []
    return ok(", ".join(facts)) if tls or is_local(settings.EMAIL_HOST) else warning(", ".join(facts))


def mails() -> Finding:
    """Whether each kind of mail can be built in each language, as for a delivery."""
    faults = list(checks.faults())
    return failed("; ".join(faults)) if faults else ok(_("every kind of mail can be built in every language"))


def test_mail(recipient: str) -> Finding:
    """Send one mail straight to the mail server, past the outbox; whether the server accepts it."""
    language = get_language() or settings.LANGUAGE_CODE
    message = messages.build(messages.sample(kind=messages.TEST, language=language, recipient=recipient))
    content = message.message().as_bytes(linesep="\r\n")
    reply = smtp.send(sender=message.from_email, recipient=recipient, message=content)
    smtp.close_connections()
    return (ok if reply.outcome is Outcome.ACCEPTED else failed)(f"{reply.outcome.value}: {reply.text}")
