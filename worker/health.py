"""Health checks of a mail's way from the commit to the mailbox: broker, workers, sweeper, outbox, mail server."""

import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import product
from typing import Any

from celery import current_app
from django.conf import settings
from django.core import checks
from django.db.models import Count, Max, Min, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis.exceptions import NoPermissionError

from core import languages
from core.checks import is_local
from core.health.registry import Finding, failed, ok, skipped, warning
from core.observability import redaction
from verification import codes

from . import mailers, messages, notify
from .classification import Outcome, error_text, reply_text
from .models import Delivery, Heartbeat
from .smtp import DEADLINE, EmailBackend
from .smtp_pool import Busy, Connection, Pool, Server

BLOCKED_MINUTES = 10  # as the alert MailsBlocked
MAX_WAIT = 60  # seconds for which a mail may be overdue or deferred before it is a warning
# Hosts, and domains of hosts, that send only as the mailbox that signed in, or one that it may use. They refuse another
# sender or, as Gmail does, replace it: docs/how-to/mail-providers.md.
SENDER_IS_LOGIN = (
    *("qq.com", "163.com", "126.com", "yeah.net", "aliyun.com", "aliyuncs.com", "qcloudmail.com"),
    *("smtp.gmail.com", "smtp.office365.com", "smtp.yandex.com", "smtp.yandex.ru"),
)


def broker() -> Finding:
    """Whether it takes messages, and which transport it is."""
    with notify.broker_connection() as connection:
        if connection.transport.driver_type == "redis":
            with suppress(NoPermissionError):  # an ACL may allow no more keys than Celery's own
                # One that is full, or a replica, takes a connection.
                connection.default_channel.client.set("doorcode:health", 1, ex=1)
        return ok(connection.transport_cls or "")


def workers() -> Finding:
    """The names of the workers that answer over the broker, and take the messages about mails."""
    if settings.CELERY_BROKER_URL.startswith("memory"):
        return skipped(_("the broker is this process's own memory"))
    answers = current_app.control.inspect(timeout=1.5).active_queues() or {}
    mine = current_app.conf.task_default_queue
    names = sorted(name for name, queues in answers.items() if mine in [queue["name"] for queue in queues])
    return ok(", ".join(names)) if names else failed(_("no worker answers: start one with celery -A worker worker"))


def sweeper() -> Finding:
    """When a sweeper last ran, by the heartbeats in the database."""
    found = Heartbeat.objects.aggregate(last=Max("beat_at"), now=Max(Now()))
    if found["last"] is None:
        return failed(_("no sweeper has run: each worker has one, or run manage.py sweep"))
    age = max(0, int((found["now"] - found["last"]).total_seconds()))
    text = _("last run %(seconds)d s ago") % {"seconds": age}
    return ok(text) if age <= Heartbeat.ALIVE.total_seconds() else failed(text)


def waiting_mails() -> Finding:
    """How many mails are due and how many the mail server deferred, and for how long the oldest has waited."""
    number, longest = _number_and_age(Delivery.objects.due(), since="next_attempt_at")
    text = ngettext("%(n)d mail is due, for %(seconds)d s", "%(n)d mails are due, the oldest for %(seconds)d s", number)
    texts = [text % {"n": number, "seconds": longest} if number else _("no mail is due")]
    deferred = Delivery.objects.deferred()
    number, age = _number_and_age(deferred, since=Coalesce("admitted_at", "created_at"))
    if number:
        text = ngettext(
            "the mail server deferred %(n)d mail, which has waited for %(seconds)d s",
            "the mail server deferred %(n)d mails, the oldest of which has waited for %(seconds)d s",
            number,
        )
        texts += [text % {"n": number, "seconds": age}, _last_reply(deferred.order_by("-next_attempt_at"))]
        longest = max(longest, age)
    number, age = _number_and_age(Delivery.objects.unanswered(), since=Coalesce("first_tried_at", "created_at"))
    if number:
        text = ngettext(
            "the mail server took %(n)d mail and did not answer, which was %(seconds)d s ago",
            "the mail server took %(n)d mails and did not answer, the first time %(seconds)d s ago",
            number,
        )
        texts.append(text % {"n": number, "seconds": age})
        longest = max(longest, age)
    return (ok if longest <= MAX_WAIT else warning)("; ".join(texts))


def blocked_mails() -> Finding:
    """How many mails of the last minutes were refused, and not for their recipient."""
    recent = Delivery.objects.blocked().filter(created_at__gt=Now() - timedelta(minutes=BLOCKED_MINUTES))
    number = recent.count()
    if not number:
        return ok(_("none in the last %(minutes)d minutes") % {"minutes": BLOCKED_MINUTES})
    text = ngettext(
        "%(n)d mail of the last %(minutes)d minutes was refused, and not for its recipient: %(reply)s",
        "%(n)d mails of the last %(minutes)d minutes were refused, and not for their recipients: %(reply)s",
        number,
    )
    reply = _last_reply(recent.order_by("-pk"))
    return warning(text % {"n": number, "minutes": BLOCKED_MINUTES, "reply": reply})


def _number_and_age(rows: QuerySet[Delivery], *, since: Any) -> tuple[int, int]:
    """How many rows there are, and for how many seconds the oldest has waited."""
    found = rows.aggregate(n=Count("pk"), since=Min(since), now=Max(Now()))
    return found["n"], int((found["now"] - found["since"]).total_seconds()) if found["n"] else 0


def _last_reply(rows: QuerySet[Delivery]) -> str:
    """What the mail server said to the first of these rows, without addresses and codes."""
    return redaction.scrub(rows.values_list("last_reply", flat=True).first() or "")


def mail_server() -> Finding:
    """
    Connect, EHLO, TLS and AUTH by EMAIL_URL, as a worker does, and ask for each language's sender by MAIL and RSET;
    nothing is sent. A mail service can only be asked by a mail.
    """
    return _mail_server(mailers.every()[0])


def fallback_mail_server() -> Finding:
    """The same by EMAIL_FALLBACK_URL."""
    return _mail_server(mailers.every()[1]) if len(mailers.every()) > 1 else skipped(_("EMAIL_FALLBACK_URL is not set"))


def _mail_server(mailer: mailers.Mailer) -> Finding:
    if not isinstance(mailer.backend, EmailBackend):
        if not hasattr(mailer.backend, "esp_name"):  # one of Django's own, which sends nothing
            return ok(type(mailer.backend).__module__)
        return ok(_("%(service)s, by its API; --send-to tries it") % {"service": mailer.backend.esp_name})
    server = mailer.backend.server
    until = time.monotonic() + DEADLINE
    try:
        connection = Pool(server).take(until=until)
    except Busy as error:
        return warning(_("it takes no more connections from here now: %(reply)s") % {"reply": error})
    socket = connection.sock
    tls = socket.version() if isinstance(socket, ssl.SSLSocket) else None
    senders = sorted({languages.sender_address(code) for code, _name in settings.LANGUAGES})
    with connection.deadline(until):
        refusals = _refusals(connection, senders)
    connection.hang_up()
    facts = [f"{server.host}:{server.port}", tls or _("without TLS")]
    facts += [_("signed in")] if server.username else []
    texts = [", ".join(facts)]
    for sender, reply in refusals.items():
        texts.append(_("it refuses the sender %(sender)s: %(reply)s") % {"sender": sender, "reply": reply})
    if _wants_another_sender(server, senders):
        text = _("%(host)s sends only as the address that signs in: set DEFAULT_FROM_EMAIL to the user of %(url)s")
        texts.append(text % {"host": server.host, "url": mailer.name})
    is_fine = len(texts) == 1 and (tls or is_local(server.host))
    is_broken = any(not reply.startswith("4") for reply in refusals.values())
    return (failed if is_broken else ok if is_fine else warning)("; ".join(texts))


def _refusals(connection: Connection, senders: list[str]) -> dict[str, str]:
    """The senders that the mail server does not take, and its replies. It may hang up after one."""
    refusals = {}
    for sender in senders:
        connection.is_doubtful = True  # until its last answer is known
        try:
            code, text = connection.mail(sender)
            if code // 100 != 2:
                refusals[sender] = reply_text(code, text)
            connection.is_doubtful = code == 421 or connection.rset()[0] != 250
        except OSError as error:
            refusals.setdefault(sender, error_text(error))
        if connection.is_doubtful:
            break
    return refusals


def _wants_another_sender(server: Server, senders: list[str]) -> bool:
    """Whether the mail server is known to send only as the address that signs in, and a sender is another one."""
    host, login = server.host.lower(), server.username.lower()
    is_known = any(f".{host}".endswith(f".{each}") for each in SENDER_IS_LOGIN)
    return is_known and "@" in login and {sender.lower() for sender in senders} != {login}


def test_mail(recipient: str) -> Finding:
    """Send one mail straight to each mail server, past the outbox; whether all of them accept it."""
    texts, are_fine = [], True
    for mailer in mailers.every():
        sample = messages.sample(kind=messages.TEST, language=languages.active(), recipient=recipient)
        reply = mailer.submit(messages.build(sample))
        mailer.backend.close()
        whose = f" ({reply.cause.label})" if reply.cause else ""
        texts.append(f"{reply.outcome.value}: {reply.text}{whose}")
        are_fine = are_fine and reply.outcome is Outcome.ACCEPTED
    return (ok if are_fine else failed)("; ".join(texts))


def mails() -> Finding:
    """Whether each kind of mail can be built in each language, as for a delivery."""
    found = list(faults())
    return failed("; ".join(found)) if found else ok(_("every kind of mail can be built in every language"))


@checks.register("doorcode", deploy=True)
def check_mails(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """The same as a system check of Django. It doesn't query the database."""
    hint = _("Check SITE_NAME, DEFAULT_FROM_EMAIL and the mail templates in BRAND_DIR")
    return [checks.Error(text, hint=hint, id="doorcode.E020") for text in faults()]


def faults() -> Iterator[str]:
    """The kind and language of each mail that can't be sent as it is, and why."""
    for kind, (language, _name) in product([*Delivery.Kind.values, messages.TEST], settings.LANGUAGES):
        if fault := _fault(kind, language):
            facts = {"kind": kind, "language": language, "fault": fault}
            yield _("The mail %(kind)s in %(language)s: %(fault)s") % facts


def _fault(kind: str, language: str) -> str:
    """Why a mail can't be sent as it is; "" if it can."""
    try:
        delivery = messages.sample(kind=kind, language=language)
        message = messages.build(delivery)
        message.message().as_bytes()
    except Exception as error:
        notes = " ".join(getattr(error, "__notes__", []))
        return f"{type(error).__name__}: {error} {notes}".strip()
    code = codes.code_of(delivery.sign_up) if delivery.sign_up and kind == Delivery.Kind.CODE else None
    if code and code not in message.body.splitlines():
        return _("its text has no line with the code alone")
    return "" if message.subject else _("its subject is empty")
