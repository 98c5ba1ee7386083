"""What `/metrics` shows of mails and workers; read at the scrape, and by an index of what waits, not of what was."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Coalesce, Now
from prometheus_client.core import GaugeMetricFamily, Metric

from core import clock

from . import counts, mail_limits, notify
from .heartbeat import ALIVE
from .models import DEFERRED, EXEMPT, WAITS_FOR_LIMIT, Delivery, Heartbeat

State = Delivery.State

__all__ = ["broker", "counts", "mails", "workers"]


def mails() -> Iterator[Metric]:
    """How many mails wait, how long the longest has been due, and how many the site may send now."""
    is_due, is_left = Q(next_attempt_at__lte=Now()), Q(lease_until__lte=Now())
    admitted = Min(Coalesce("admitted_at", "created_at"), filter=EXEMPT)
    pending = Delivery.objects.filter(state=State.PENDING).aggregate(
        due=Count("pk", filter=is_due),
        deferred=Count("pk", filter=DEFERRED),
        later=Count("pk", filter=WAITS_FOR_LIMIT),
        due_since=Min("next_attempt_at", filter=is_due),
        since=admitted,
    )
    taken = Delivery.objects.filter(state=State.SENDING).aggregate(
        sending=Count("pk", filter=~is_left),
        left=Count("pk", filter=is_left),
        left_since=Min("lease_until", filter=is_left),
        since=admitted,
    )
    waiting = GaugeMetricFamily("doorcode_mails_waiting", "Mails in the outbox", labels=["state"])
    for state, number in (pending | taken).items():
        if not state.endswith("since"):
            waiting.add_metric([state], number)
    yield waiting
    oldest_due = max(_age(pending["due_since"]), _age(taken["left_since"]))
    yield GaugeMetricFamily("doorcode_mail_oldest_due_seconds", "How long the longest has been due", value=oldest_due)
    oldest = max(oldest_due, _age(pending["since"]), _age(taken["since"]))
    text = "Age of the oldest mail that is not delivered, though no limit holds it back"
    yield GaugeMetricFamily("doorcode_mail_oldest_undelivered_seconds", text, value=oldest)
    room = mail_limits.site_room(mail_limits.SIGN_UPS, at=clock.now())
    if room is not None:
        yield GaugeMetricFamily(
            "doorcode_mail_budget_left", "Sign-up mails that the site's limit lets pass now", value=room
        )


def workers() -> Iterator[Metric]:
    """Who is at work, by the heartbeats of their sweepers."""
    beats = Heartbeat.objects.annotate(alive=Q(beat_at__gt=Now() - ALIVE)).aggregate(
        workers=Count("pk", filter=Q(alive=True)),
        mail_server=Count("pk", filter=Q(alive=True, mail_server_broken=True)),
        broker=Count("pk", filter=Q(alive=True, broker_broken=True)),
        last=Max("beat_at"),
    )
    yield GaugeMetricFamily("doorcode_workers", "Worker processes heard of", value=beats["workers"])
    breakers = GaugeMetricFamily("doorcode_breakers_open", "Workers whose breaker is open", labels=["breaker"])
    breakers.add_metric(["mail_server"], beats["mail_server"])
    breakers.add_metric(["broker"], beats["broker"])
    yield breakers
    last = beats["last"].timestamp() if beats["last"] else 0
    yield GaugeMetricFamily("doorcode_sweeper_last_run_timestamp_seconds", "When a sweeper last ran", value=last)


def broker() -> Iterator[Metric]:
    """How many bells no worker has heard yet."""
    yield GaugeMetricFamily("doorcode_broker_messages", "Bells that wait in the broker", value=notify.queue_length())


def _age(since: datetime | None) -> float:
    """Seconds since then; 0 for nothing."""
    return max(0.0, (clock.now() - since).total_seconds()) if since else 0.0
