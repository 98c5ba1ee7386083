"""What the doctor asks of all that is between the commit and the mailbox."""

import ssl

from celery import current_app
from django.conf import settings
from django.db.models import Max, Min
from django.db.models.functions import Now
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from core.checks import is_local
from core.doctor import Finding, failed, ok, skipped, warning

from . import bell, checks, heartbeat, messages, smtp
from .models import Delivery, Heartbeat
from .smtp import Outcome

WAIT = 60  # seconds that a mail may be late before somebody should look


def broker() -> Finding:
    bell.probe()
    return ok(current_app.connection_for_write().transport_cls or "")


def workers() -> Finding:
    """Who answers over the broker."""
    if settings.CELERY_BROKER_URL.startswith("memory"):
        return skipped(_("the broker is this process's own memory"))
    answers = current_app.control.ping(timeout=1.5) or []
    names = sorted(name for answer in answers for name in answer)
    if not names:
        return failed(_("none answers: start one with celery -A worker worker"))
    return ok(", ".join(names))


def sweeper() -> Finding:
    """When one last looked after forgotten mails: it needs no broker, so it says so in the database."""
    found = Heartbeat.objects.aggregate(last=Max("beat_at"), now=Max(Now()))
    if found["last"] is None:
        return failed(_("none has run: each worker has one, or run manage.py sweep"))
    age = max(0, int((found["now"] - found["last"]).total_seconds()))
    text = _("last run %(seconds)d s ago") % {"seconds": age}
    return ok(text) if age <= heartbeat.ALIVE.total_seconds() else failed(text)


def waiting_mails() -> Finding:
    """How late the latest is."""
    due = Delivery.objects.filter(state=Delivery.State.PENDING, next_attempt_at__lte=Now())
    oldest = due.aggregate(since=Min("next_attempt_at"), now=Max(Now()))
    if oldest["since"] is None:
        return ok(_("none is due"))
    number, age = due.count(), int((oldest["now"] - oldest["since"]).total_seconds())
    text = ngettext("%(n)d is due, for %(seconds)d s", "%(n)d are due, the oldest for %(seconds)d s", number)
    text %= {"n": number, "seconds": age}
    return ok(text) if age <= WAIT else warning(text)


def mail_server() -> Finding:
    """EHLO, TLS and AUTH by EMAIL_URL, as a worker does it; nothing is sent."""
    with smtp.session() as connection:
        connection.ehlo_or_helo_if_needed()
        socket = connection.sock
        tls = socket.version() if isinstance(socket, ssl.SSLSocket) else None
    facts = [f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}", tls or _("without TLS")]
    facts += [_("signed in")] if settings.EMAIL_HOST_USER else []
    return ok(", ".join(facts)) if tls or is_local(settings.EMAIL_HOST) else warning(", ".join(facts))


def mails() -> Finding:
    """Each kind in each language, built as for a delivery."""
    faults = list(checks.faults())
    return failed("; ".join(faults)) if faults else ok(_("every kind of mail can be built in every language"))


def send(recipient: str) -> Finding:
    """Hand one mail to the mail server, past the outbox: what is asked is whether the server takes it."""
    language = get_language() or settings.LANGUAGE_CODE
    message = messages.build(messages.sample(kind=messages.TEST, language=language, recipient=recipient))
    content = message.message().as_bytes(linesep="\r\n")
    reply = smtp.send(sender=message.from_email, recipient=recipient, message=content)
    smtp.close_connections()
    return (ok if reply.outcome is Outcome.ACCEPTED else failed)(f"{reply.outcome.value}: {reply.text}")
