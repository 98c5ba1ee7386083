"""What `/metrics` shows of mails and workers. Gauges are read at the scrape, by an index of the mails that wait."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import product

from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Coalesce, Now
from prometheus_client.core import GaugeMetricFamily, Metric

from core import clock
from core.observability.counters import Counter, Histogram

from . import bounces, mail_limits, notify  # noqa: F401 - bounces: its counter is shown too
from .classification import Cause, Outcome, Reply
from .models import DEFERRED, PAST_LIMITS, WAITS_FOR_LIMIT, Delivery, Heartbeat

State = Delivery.State

WAITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)  # seconds
REPLIES = ("2xx", "4xx", "5xx", "5.3.x", "5.7.x", "none")
REASONS = ("refused", "given_up")

tries = Counter(
    "doorcode_mail_tries",
    "Tries to send a mail, by outcome",
    ["kind", "outcome"],
    known=product(Delivery.Kind.values, [outcome.value for outcome in Outcome]),
)
replies = Counter("doorcode_mail_replies", "Answers of the mail server", ["reply"], known=product(REPLIES))
refusals = Counter(
    "doorcode_mail_refusals",
    "Tries that the mail server refused with 5xx, by cause",
    ["cause"],
    known=product(Cause.values),
)
failed = Counter(
    "doorcode_mails_failed", "Mails that ended without being delivered, by reason", ["reason"], known=product(REASONS)
)
by_fallback = Counter("doorcode_mails_by_fallback", "Mails that the server of EMAIL_FALLBACK_URL accepted")
accepted_after = Histogram("doorcode_mail_acceptance_seconds", "From the request of a mail to its acceptance", WAITS)
reclaimed = Counter("doorcode_leases_reclaimed", "Mails taken over from a worker whose lease had ended")
fenced = Counter("doorcode_settles_fenced", "Outcomes that came after another worker had taken the mail over")


def count_try(delivery: Delivery, reply: Reply) -> None:
    """Count the outcome of one try."""
    tries.add(delivery.kind, reply.outcome.value)
    replies.add(reply_class(reply.text))
    if reply.cause and reply.text.startswith("5"):  # also one that is tried again, as our rate is the cause
        refusals.add(reply.cause)
    if reply.outcome is Outcome.ACCEPTED:
        accepted_after.observe((clock.now() - delivery.created_at).total_seconds())


def reply_class(text: str) -> str:
    """The class of an SMTP answer (RFC 5321 §4.2.1); 5.3.x and 5.7.x, about the service and its policy, apart."""
    found = re.match(r"([245])\d\d\b(?:[ -](5\.[37])\.\d)?", text)
    if not found:
        return "none"
    return f"{found[2]}.x" if found[2] else f"{found[1]}xx"


def mails() -> Iterator[Metric]:
    """How many mails wait, how long the longest has been due, and how many the site may send now."""
    is_due, is_left = Q(next_attempt_at__lte=Now()), Q(lease_until__lte=Now())
    admitted = Min(Coalesce("admitted_at", "created_at"), filter=PAST_LIMITS)
    pending = Delivery.objects.filter(state=State.PENDING).aggregate(
        due=Count("pk", filter=is_due),
        deferred=Count("pk", filter=DEFERRED),
        later=Count("pk", filter=WAITS_FOR_LIMIT),
        since=admitted,
    )
    taken = Delivery.objects.filter(state=State.SENDING).aggregate(
        sending=Count("pk", filter=~is_left),
        left=Count("pk", filter=is_left),
        left_since=Min("lease_until", filter=is_left),
        since=admitted,
    )
    waiting = GaugeMetricFamily("doorcode_mails_waiting", "Mails in the outbox", labels=["state"])
    for state in ("due", "deferred", "later"):
        waiting.add_metric([state], pending[state])
    for state in ("sending", "left"):
        waiting.add_metric([state], taken[state])
    yield waiting
    longest = Delivery.objects.longest_due()
    oldest_due = max(longest[1].total_seconds() if longest else 0.0, _age(taken["left_since"]))
    yield GaugeMetricFamily("doorcode_mail_oldest_due_seconds", "How long the longest has been due", value=oldest_due)
    oldest = max(oldest_due, _age(pending["since"]), _age(taken["since"]))
    text = "Age of the oldest mail that is not delivered, though no limit holds it back"
    yield GaugeMetricFamily("doorcode_mail_oldest_undelivered_seconds", text, value=oldest)
    room = mail_limits.site_room(mail_limits.SIGN_UP_MAILS, at=clock.now())
    if room is not None:
        text = "Sign-up mails that the site's limit lets pass now"
        yield GaugeMetricFamily("doorcode_mail_limit_left", text, value=room)


def workers() -> Iterator[Metric]:
    """The workers that run, by the heartbeats of their sweepers."""
    is_alive = Q(beat_at__gt=Now() - Heartbeat.ALIVE)
    beats = Heartbeat.objects.aggregate(
        workers=Count("pk", filter=is_alive),
        mail_server=Count("pk", filter=is_alive & Q(mail_server_broken=True)),
        broker=Count("pk", filter=is_alive & Q(broker_broken=True)),
        last=Max("beat_at"),
    )
    yield GaugeMetricFamily("doorcode_workers", "Worker processes with a recent heartbeat", value=beats["workers"])
    text = "Workers whose circuit breaker is open"
    breakers = GaugeMetricFamily("doorcode_breakers_open", text, labels=["breaker"])
    breakers.add_metric(["mail_server"], beats["mail_server"])
    breakers.add_metric(["broker"], beats["broker"])
    yield breakers
    last = beats["last"].timestamp() if beats["last"] else 0
    yield GaugeMetricFamily("doorcode_sweeper_last_run_timestamp_seconds", "When a sweeper last ran", value=last)


def broker() -> Iterator[Metric]:
    text = "Messages in the broker's queue that no worker has taken"
    yield GaugeMetricFamily("doorcode_broker_messages", text, value=notify.queue_length())


def _age(since: datetime | None) -> float:
    """Seconds since then; 0 for nothing."""
    return max(0.0, (clock.now() - since).total_seconds()) if since else 0.0
