"""What the doctor asks of all that is between the commit and the mailbox."""

import smtplib
import ssl

from celery import current_app
from django.conf import settings
from django.db.models import Count, Max, Min
from django.db.models.functions import Coalesce, Now
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from core import logs
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
    """How late the latest is, and how many the mail server put off."""
    due, deferred = Delivery.objects.due(), Delivery.objects.deferred()
    late = due.aggregate(n=Count("pk"), since=Min("next_attempt_at"), now=Max(Now()))
    put_off = deferred.aggregate(n=Count("pk"), since=Min(Coalesce("admitted_at", "created_at")), now=Max(Now()))
    texts, longest = [_("none is due")], 0
    if late["n"]:
        longest = int((late["now"] - late["since"]).total_seconds())
        text = ngettext("%(n)d is due, for %(seconds)d s", "%(n)d are due, the oldest for %(seconds)d s", late["n"])
        texts = [text % {"n": late["n"], "seconds": longest}]
    if put_off["n"]:
        age = int((put_off["now"] - put_off["since"]).total_seconds())
        text = ngettext(
            "the mail server deferred %(n)d, which has waited for %(seconds)d s",
            "the mail server deferred %(n)d, the oldest of which has waited for %(seconds)d s",
            put_off["n"],
        )
        reply = deferred.order_by("-next_attempt_at").values_list("last_reply", flat=True).first() or ""
        texts += [text % {"n": put_off["n"], "seconds": age}, logs.scrub(reply)]
        longest = max(longest, age)
    return (ok if longest <= WAIT else warning)("; ".join(texts))


def mail_server() -> Finding:
    """EHLO, TLS and AUTH by EMAIL_URL, as a worker does it; nothing is sent."""
    try:
        return _greet()
    except smtplib.SMTPResponseException as error:
        if smtp.says_too_many(error):
            return warning(_("it takes no more connections from here now: %(reply)s") % {"reply": smtp.reason(error)})
        raise


def _greet() -> Finding:
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
